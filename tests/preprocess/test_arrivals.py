"""Documents of object storage come ahead of the parsers, a few at a time, and go again."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from nbpipe import addresses, storage
from nbpipe.config import resolve
from nbpipe.errors import WorkError
from nbpipe.preprocess import arrivals
from nbpipe.preprocess.arrivals import Arrivals
from nbpipe.preprocess.files import Document, here, list_documents
from nbpipe.preprocess.options import Options
from nbpipe.preprocess.sandbox import parse_all

MOST = 1_000_000


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files lie; three hundred documents of ten bytes are in a storage."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    addresses.copies.cache_clear()
    memory = MemoryFileSystem()
    memory.pipe({f"/lab/documents/{index:03d}.txt": b"ten bytes!" for index in range(300)})
    yield tmp_path / "temporary"
    memory.store.clear()
    addresses.copies.cache_clear()


def listed() -> list[Document]:
    """Return the documents of the storage."""
    return list_documents(resolve("memory://lab/documents"))


def files(place: Path) -> list[Path]:
    """Return what lies in the temporary folder."""
    return [path for path in place.rglob("*") if path.is_file()]


def test_no_more_lie_here_than_are_ahead_and_none_after_they_are_done(place: Path) -> None:
    came = []
    with Arrivals(listed(), MOST) as coming:
        while coming.more:
            for document in coming.take(wait=True):
                assert document.path.read_bytes() == b"ten bytes!"
                came.append(document)
                assert len(files(place)) <= arrivals._AHEAD
                coming.done(document.id)
                assert not document.path.exists()
    assert sorted(document.id for document in came) == [f"{index:03d}.txt" for index in range(300)]
    assert not list(place.iterdir())


def test_so_many_bytes_are_ahead_but_always_one_document(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "_AHEAD_BYTES", 5)
    with Arrivals(listed()[:3], MOST) as coming:
        (first,) = coming.take(wait=True)
        assert not coming.take(wait=False)
        coming.done(first.id)
        assert len(coming.take(wait=True)) == 1
    assert not list(place.iterdir())


def test_what_arrives_when_all_is_over_does_not_stay_and_no_more_is_asked_for(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(address: str, path: Path) -> None:
        asked.append(address)
        over.wait()
        path.parent.mkdir(exist_ok=True)
        path.touch()

    asked, over, before = [], threading.Event(), set(threading.enumerate())
    monkeypatch.setattr(storage, "download", late)
    with Arrivals(listed(), MOST):
        while len(asked) < storage.THREADS:
            time.sleep(0.01)
    over.set()
    for thread in set(threading.enumerate()) - before:
        thread.join()
    assert (len(asked), list(place.iterdir())) == (storage.THREADS, [])


def test_what_is_too_large_is_not_brought(place: Path) -> None:
    with Arrivals(listed(), 9) as coming:
        assert len(coming.take(wait=False)) == 300
        assert not list(place.iterdir())
    (outcome,) = parse_all(listed()[:1], Options(max_bytes=9), 1)
    assert (outcome.parsed.status, outcome.parsed.reason) == ("too_large", "the file has 10 bytes; max_bytes = 9")


def test_a_long_name_in_any_letters_fits_a_disk(place: Path) -> None:
    MemoryFileSystem().pipe(f"/lab/long/{'文' * 150}.txt", b"some text")
    (outcome,) = parse_all(list_documents(resolve("memory://lab/long")), Options(), 1)
    assert (outcome.parsed.status, outcome.parsed.pages) == ("ok", ["some text"])


def test_a_temporary_folder_that_goes_ends_the_work_and_makes_no_row(place: Path) -> None:
    with Arrivals(listed(), MOST) as coming:
        (first, *_) = coming.take(wait=True)
        next(place.iterdir()).rename(place / "elsewhere")
        with pytest.raises(WorkError, match="TMPDIR"):
            coming.done(first.id)


def test_what_a_killed_process_left_is_removed_later(place: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left, fresh, alive = (place / f"nbpipe-{pid}-{n}" for n, pid in enumerate([ended.pid, ended.pid, os.getpid()]))
    for folder in (left, fresh, alive):
        folder.mkdir()
        (folder / "a").touch()
    for folder in (left, alive):
        os.utime(folder, (0, 0))
    with Arrivals(listed()[:1], MOST) as coming:
        assert not left.exists()
        coming.take(wait=True)
    assert sorted(place.iterdir()) == sorted([fresh, alive])


def test_a_document_is_here_for_as_long_as_it_is_looked_at(place: Path) -> None:
    with here(listed()[0]) as path:
        assert path.read_bytes() == b"ten bytes!"
    assert not list(place.iterdir())
    MemoryFileSystem().rm("/lab/documents/001.txt")
    with here(Document("001.txt", 10, Path(), "memory://lab/documents/001.txt")) as path:
        assert not path.exists()
