"""What tells of a machine and its people is taken out, and what only looks like it stays."""

import pytest

from nbpipe.report import private
from nbpipe.report.clean import plain
from nbpipe.report.private import anonymous, machine, owners, shorten


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no such file: '/home/John Smith/my papers/a b.pdf'", "no such file: '…/a b.pdf'"),
        ("at /home/alice/papers/x.pdf, line 3", "at …/x.pdf, line 3"),
        ("at /home/John Smith/papers/x.pdf, line 3", "at …/x.pdf, line 3"),
        (r"C:\Users\alice\papers", "…/papers"),
        ("~/private/papers and file:///home/a/b.txt", "…/papers and …/b.txt"),
        ("OSError:/home/alice/papers/x", "OSError:…/x"),
        ("/home/alice and '/home/alice' and /Users/alice/", "~ and '~' and ~"),
        ("~alice/papers", "~/papers"),
        ("alice@build:/data/alice/x.pdf", "alice@build:…/x.pdf"),
        (r"\\server\share\alice\x.pdf", "…/x.pdf"),
        (
            "physics/a.pdf and/or 1/2, see https://example.org/home/a",
            "physics/a.pdf and/or 1/2, see https://example.org/home/a",
        ),
    ],
)
def test_absolute_paths_keep_only_their_last_name(text: str, expected: str) -> None:
    assert shorten(text) == expected


def test_owners_of_home_folders_are_known_and_common_accounts_tell_nothing() -> None:
    texts = [
        "run = '/home/alice/x'",
        "C:\\Users\\Bob Smith\\x",
        "/home/ubuntu/x",
        "/home/jo",
        "https://a.org/home/eve/x",
    ]
    assert owners(texts) == {"alice", "Bob Smith", "Bob"}


def test_names_go_where_they_are_words_of_their_own() -> None:
    assert anonymous("Alice: malice, alice-7, alice@x", {"alice"}) == "…: malice, alice-7, …@x"
    assert anonymous("a", set()) == "a"


def test_the_names_of_this_machine_are_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private.socket, "gethostname", lambda: "tower-7.example.org")
    monkeypatch.setattr(private.getpass, "getuser", lambda: "alice")
    machine.cache_clear()
    try:
        assert plain("alice on tower-7, or tower-7.example.org") == "… on …, or …"
    finally:
        machine.cache_clear()


@pytest.mark.parametrize("part", ["\\", "/a", "'/", "~/", "/home/", "a ", "/home/a ", "<", '"'])
def test_a_long_text_of_what_paths_are_made_of_comes_to_an_end(part: str) -> None:
    for text in ("'" + part * 20_000, part * 20_000):  # one that tried every way to split it would take hours
        assert len(shorten(text)) <= len(text)
