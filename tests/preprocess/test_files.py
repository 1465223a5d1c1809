"""Listing survives whatever a folder may hold."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbpipe.errors import RequestError
from nbpipe.preprocess.files import list_documents


def ids(folder: Path) -> list[str]:
    return [document.id for document in list_documents(folder)]


def touch(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_names_of_any_script_keep_their_letters(tmp_path: Path) -> None:
    names = ["数据结构/文.pdf", "=cmd()/a|b.txt", "Ünï/é.md", "<b>/' \".html", "-p"]
    for name in names:
        touch(tmp_path / name)
    assert ids(tmp_path) == sorted(names)


def test_names_that_are_no_unicode_are_written_out(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.pdf"))).touch()
    assert ids(tmp_path) == ["\\xff.pdf"]


def test_hidden_files_and_folders_are_skipped(tmp_path: Path) -> None:
    for name in (".hidden.pdf", ".git/config", "seen/.DS_Store", "seen/a.pdf"):
        touch(tmp_path / name)
    assert ids(tmp_path) == ["seen/a.pdf"]


def test_loops_of_links_end_and_the_real_place_gives_the_id(tmp_path: Path) -> None:
    touch(tmp_path / "b" / "x.pdf")
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    assert ids(tmp_path) == ["b/x.pdf", "self"]


def test_a_linked_folder_elsewhere_is_walked(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere" / "x.pdf", "12345")
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "label").symlink_to(tmp_path / "elsewhere")
    (document,) = list_documents(tmp_path / "documents")
    assert (document.id, document.bytes) == ("label/x.pdf", 5)


def test_what_is_no_regular_file_is_listed_too(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.pdf")
    (tmp_path / "dangling.pdf").symlink_to(tmp_path / "gone")
    assert [(document.id, document.bytes) for document in list_documents(tmp_path)] == [
        ("dangling.pdf", 0),
        ("fifo.pdf", 0),
    ]


def test_a_folder_that_cannot_be_listed_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir()
    listing = os.scandir

    def refuse(folder: Path) -> Iterator[os.DirEntry[str]]:
        if Path(folder).name == "closed":
            raise PermissionError(13, "Permission denied")
        return listing(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(RequestError, match="'closed/' cannot be listed: Permission denied"):
        list_documents(tmp_path)
