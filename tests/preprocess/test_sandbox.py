"""Whatever a parser does costs its own row."""

import hashlib
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from nbpipe.errors import StoppedError, WorkError
from nbpipe.preprocess import sandbox
from nbpipe.preprocess.files import Document, list_documents
from nbpipe.preprocess.options import MOST_TEXT, Options
from nbpipe.preprocess.sandbox import Outcome, Sandbox, parse_all
from nbpipe.stopping import terminable

OPTIONS = Options(timeout=2, memory=300_000_000)
PATIENT = replace(OPTIONS, timeout=60)  # where nothing is to take too long, on the busiest machine
Made = Callable[..., list[Document]]


def outcomes(
    documents: list[Document], parsers: ModuleType, workers: int = 2, options: Options = OPTIONS
) -> dict[str, Outcome]:
    found = list(parse_all(documents, options, workers, parsers.by_name))
    assert sorted(outcome.id for outcome in found) == sorted(document.id for document in documents)
    return {outcome.id: outcome for outcome in found}


@pytest.mark.parametrize(
    ("deed", "status", "reason"),
    [
        ("sleep", "timeout", "took longer than 2 s"),
        ("spin", "timeout", "took longer than 2 s"),
        ("native", "timeout", "took longer than 2 s"),
        ("segfault", "crashed", "SIGSEGV"),
        ("abort", "crashed", "SIGABRT"),
        ("exit", "crashed", "exit code 3"),
        ("leave", "crashed", "exit code 0"),
        ("hog", "crashed", "memory limit of 0.3 GB"),
        ("recurse", "crashed", "RecursionError"),
        ("dive", "crashed", "SIGSEGV"),
        ("raise", "crashed", "AssertionError"),
        ("deaf", "crashed", "the parser's process died"),
        ("nothing", "crashed", "AttributeError"),
        ("grow", "unreadable", "the file changed while it was read"),
        ("vanish", "unreadable", "the file vanished while it was read"),
    ],
)
def test_a_misbehaving_parser_costs_its_own_row(
    deed: str, status: str, reason: str, made: Made, misbehaving: ModuleType
) -> None:
    documents = made("a-1.txt", f"{deed}-1.txt", *(f"b-{index}.txt" for index in range(10)))
    found = outcomes(documents, misbehaving, options=OPTIONS if status == "timeout" else PATIENT)
    assert found[f"{deed}-1.txt"].parsed.status == status
    assert reason in found[f"{deed}-1.txt"].parsed.reason
    assert sum(outcome.parsed.status == "ok" for outcome in found.values()) == len(documents) - 1


def test_misbehaving_one_after_the_other_costs_each_its_own_row(made: Made, misbehaving: ModuleType) -> None:
    deeds = ("segfault", "exit", "leave", "abort", "thread", "raise")
    documents = made(*(f"{deed}-{index}.txt" for index in range(5) for deed in (*deeds, "a")))
    found = outcomes(documents, misbehaving, options=PATIENT)
    good = {name for name, outcome in found.items() if outcome.parsed.status == "ok"}
    assert good == {name for name in found if name.startswith(("a-", "thread-"))}


def test_stopped_while_a_process_starts_it_says_so_and_leaves_none(
    made: Made, misbehaving: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ends(sandbox.DefaultSelector):
        def register(self, *_: object) -> None:
            raise StoppedError("stopped")

    monkeypatch.setattr(sandbox, "DefaultSelector", Ends)
    with pytest.raises(StoppedError):
        outcomes(made("sleep-1.txt"), misbehaving)
    assert not [child for child in multiprocessing.active_children() if child.is_alive()]


def test_sigterm_while_an_answer_is_received_stops_the_work(
    made: Made, misbehaving: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def recv(pipe: Connection) -> object:
        signal.raise_signal(signal.SIGTERM)
        return before(pipe)

    before = Connection.recv
    monkeypatch.setattr(Connection, "recv", recv)
    with pytest.raises(StoppedError), terminable():
        outcomes(made("a-1.txt"), misbehaving)


def test_an_answer_that_came_in_time_counts_however_late_it_is_heard(made: Made, misbehaving: ModuleType) -> None:
    running = parse_all(made("rest-0.3.txt", "rest-0.6.txt"), OPTIONS, 2, misbehaving.by_name)
    first = next(running)
    time.sleep(OPTIONS.timeout + 0.5)  # as long as the rows of others may take to be written
    assert {outcome.parsed.status for outcome in (first, *running)} == {"ok"}


def test_a_dead_parser_still_leaves_the_digest(made: Made, misbehaving: ModuleType) -> None:
    (document,) = made("abort-1.txt")
    found = outcomes([document], misbehaving)[document.id]
    assert found.sha256 == hashlib.sha256(b"text of abort-1.txt").hexdigest()
    assert found.bytes == len("text of abort-1.txt")


def test_a_parser_that_writes_is_not_heard(
    made: Made, misbehaving: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    assert outcomes(made("write-1.txt"), misbehaving)["write-1.txt"].parsed.status == "ok"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("deed", ["thread", "child"])
def test_what_a_parser_leaves_running_ends_before_the_next_document(
    deed: str, made: Made, misbehaving: ModuleType
) -> None:
    names = ["pid-1.txt", f"{deed}-2.txt", "pid-3.txt", "pid-4.txt"]
    found = outcomes(made(*names), misbehaving, workers=1)
    first, left, second, third = (found[name].parsed.pages[0] for name in names)
    assert (first != second, second == third) == (True, True)
    assert deed != "child" or ended(int(left))


def ended(pid: int) -> bool:
    """Tell whether a process is no more, or no more than an entry that nobody has asked for."""
    for _ in range(50):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.1)
    return False


def test_a_child_of_a_killed_parser_is_killed_too(made: Made, misbehaving: ModuleType) -> None:
    assert outcomes(made("nurse-1.txt"), misbehaving)["nurse-1.txt"].parsed.status == "timeout"
    nursed = [process for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"] == ["sleep", "599"]]
    assert all(ended(process.pid) for process in nursed)


def test_a_gigabyte_of_text_is_cut_and_the_row_says_so(made: Made, misbehaving: ModuleType) -> None:
    options = replace(OPTIONS, memory=4_000_000_000, timeout=60)
    parsed = outcomes(made("gigabyte-1.txt"), misbehaving, options=options)["gigabyte-1.txt"].parsed
    assert (parsed.status, sum(map(len, parsed.pages))) == ("ok", MOST_TEXT)
    assert parsed.reason == "only the first 20,000,000 bytes of text were kept, to page 2 of 3"


def test_pages_beyond_the_limit_are_cut_and_the_row_says_so(made: Made, misbehaving: ModuleType) -> None:
    found = outcomes(made("pages-1.txt", "a-1.txt"), misbehaving, options=replace(OPTIONS, max_pages=3))
    assert list(found["pages-1.txt"].parsed.pages) == ["0", "1", "2"]
    assert found["pages-1.txt"].parsed.reason == "only the first 3 of 5,000 pages were read (max_pages)"
    assert found["a-1.txt"].parsed.reason == ""


def test_a_file_above_the_limit_is_not_opened(made: Made, misbehaving: ModuleType) -> None:
    documents = made("sleep-1.txt", "a.txt")
    found = outcomes(documents, misbehaving, options=replace(OPTIONS, max_bytes=15))
    assert found["sleep-1.txt"].parsed.status == "too_large"
    assert found["sleep-1.txt"].parsed.reason == "the file has 19 bytes; max_bytes = 15"
    assert (found["sleep-1.txt"].sha256, found["a.txt"].parsed.status) == ("", "ok")


def test_text_that_is_no_unicode_is_mended(made: Made, misbehaving: ModuleType) -> None:
    assert list(outcomes(made("surrogate-1.txt"), misbehaving)["surrogate-1.txt"].parsed.pages) == ["a?b"]


def test_what_cannot_be_opened_is_unreadable(tmp_path: Path, misbehaving: ModuleType) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    (tmp_path / "device").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        documents = [*list_documents(tmp_path), Document("vanished", 0, tmp_path / "vanished")]
        found = outcomes(documents, misbehaving)
    assert {name: outcome.parsed.reason for name, outcome in found.items()} == {
        "fifo": "not a regular file",
        "device": "not a regular file",
        "socket": "not a regular file",
        "dangling": "a link that leads nowhere",
        "vanished": "the file has vanished",
    }


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can stop being root")
def test_a_file_without_permission_is_unreadable(made: Made, misbehaving: ModuleType) -> None:
    parsed = outcomes(made("forbidden-1.txt"), misbehaving)["forbidden-1.txt"].parsed
    assert (parsed.status, parsed.reason) == ("unreadable", "the file cannot be read: Permission denied")


def test_a_file_that_grew_since_it_was_listed_is_unreadable(made: Made, misbehaving: ModuleType) -> None:
    (document,) = made("a-1.txt")
    document.path.write_text("another text than before")
    reason = outcomes([document], misbehaving)["a-1.txt"].parsed.reason
    assert reason == "the file has 24 bytes; when it was listed it had 15"


def test_each_document_has_its_own_peak(made: Made, misbehaving: ModuleType) -> None:
    found = outcomes(made("hog-1.txt", "a-1.txt"), misbehaving, workers=1)
    assert found["hog-1.txt"].peak_bytes > found["a-1.txt"].peak_bytes > 0


def test_no_documents_need_no_workers(misbehaving: ModuleType) -> None:
    assert outcomes([], misbehaving) == {}


def test_many_small_documents_with_long_names_do_not_block(made: Made, misbehaving: ModuleType) -> None:
    found = outcomes(made(*(f"{'long' * 60}{index}.txt" for index in range(300))), misbehaving)
    assert {outcome.parsed.status for outcome in found.values()} == {"ok"}


def test_processes_that_cannot_start_stop_the_work(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "serve", os._exit)  # what each process would run, with arguments it does not take
    with pytest.raises(WorkError, match="the parsers' process cannot be started"):
        list(parse_all(made("a-1.txt"), OPTIONS, 2))


def test_a_process_is_kept_for_the_next_documents_and_blames_none_if_it_died_meanwhile(
    made: Made, misbehaving: ModuleType
) -> None:
    documents = made("pid-1.txt", "pid-2.txt", "pid-3.txt")
    with Sandbox(OPTIONS, 1, misbehaving.by_name) as kept:
        first, second = (next(kept.parse([document])).parsed.pages[0] for document in documents[:2])
        assert first == second
        os.kill(int(first), signal.SIGKILL)
        assert ended(int(first))
        (third,) = kept.parse(documents[2:])
    assert (third.parsed.status, third.parsed.pages[0] == first) == ("ok", False)
    assert ended(int(third.parsed.pages[0]))


def test_stopping_early_leaves_no_process(made: Made, misbehaving: ModuleType) -> None:
    running = parse_all(made("pid-1.txt", "sleep-2.txt", "sleep-3.txt"), OPTIONS, 1, misbehaving.by_name)
    first = next(running)
    running.close()
    assert ended(int(first.parsed.pages[0]))
