"""Copies are what lies in object storage, or they are not believed."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from nbpipe import addresses, copies, run, storage
from nbpipe.config import Preprocess, resolve
from nbpipe.errors import RequestError, WorkError
from nbpipe.report.gallery import _refuse
from nbpipe.run import Run


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryFileSystem]:
    """A storage in memory, and no copies yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    addresses.copies.cache_clear()
    system = MemoryFileSystem()
    yield system
    system.store.clear()
    addresses.copies.cache_clear()


FOLDER = "memory://lab/run"


def test_what_is_written_is_there_first_and_a_failure_leaves_the_copy_as_it_was(
    memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = resolve(FOLDER) / "plan.json"
    run.write(path, b"first")
    assert (memory.cat("/lab/run/plan.json"), path.read_bytes()) == (b"first", b"first")
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", lambda *_, **__: (_ for _ in ()).throw(OSError("no network")))
    with pytest.raises(WorkError, match=r"memory://lab/run/plan\.json: cannot be reached \(OSError: no network\)"):
        run.write(path, b"second")
    assert path.read_bytes() == b"first"
    assert [entry.name for entry in path.parent.iterdir()] == ["plan.json"]


def test_a_copy_is_fetched_again_when_its_object_or_it_was_changed_and_goes_with_its_object(
    memory: MemoryFileSystem,
) -> None:
    here = Run(resolve(FOLDER))
    memory.pipe({"/lab/run/model/a": b"one", "/lab/run/model/b": b"two", "/lab/run/other": b"three"})
    here.fetch("model/*")
    assert {path.name: path.read_bytes() for path in here.model.iterdir()} == {"a": b"one", "b": b"two"}
    assert not (here.folder / "other").exists()
    (here.model / "a").write_bytes(b"changed")
    memory.pipe("/lab/run/model/b", b"newer")
    here.fetch("model/*")
    assert ((here.model / "a").read_bytes(), (here.model / "b").read_bytes()) == (b"one", b"newer")
    memory.rm("/lab/run/model/a")
    here.fetch("model/*")
    assert [path.name for path in here.model.iterdir()] == ["b"]


def test_what_is_as_it_was_is_not_fetched_again_unless_no_copy_is_trusted(
    memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Run(resolve(FOLDER))
    memory.pipe("/lab/run/model/a", b"one")
    here.fetch("model/*")
    fetched: list[str] = []
    original = storage.download
    monkeypatch.setattr(storage, "download", lambda place, path: (fetched.append(place), original(place, path)))
    here.fetch("model/*")
    assert not fetched
    state, copy = (here.model / "a").stat(), here.model / "a"
    copy.write_bytes(b"two")
    os.utime(copy, ns=(state.st_atime_ns, state.st_mtime_ns))  # as if nobody had touched it
    here.fetch(anew=True)
    assert (fetched, copy.read_bytes()) == ([f"{FOLDER}/model/a"], b"one")


def test_an_object_that_was_there_first_and_went_is_not_ours(
    memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = resolve(FOLDER) / "claim"
    assert storage.create(path, b"theirs")
    monkeypatch.setattr(MemoryFileSystem, "cat_file", lambda self, path, **_: self.open(f"{path} is gone"))
    assert not storage.create(path, b"ours")


def test_names_that_look_like_patterns_are_names(memory: MemoryFileSystem) -> None:
    memory.pipe({"/lab/r1/shards/a": b"other's", "/lab/r[1]/shards/a": b"own", "/lab/r[1]/l*.csv": b"x"})
    memory.pipe("/lab/r[1]/lother.csv", b"y")
    folder = resolve("memory://lab/r[1]")
    assert copies.bring(folder / "l*.csv")
    assert not (folder / "lother.csv").exists()
    run.move_folder(folder / "shards", folder / "earlier" / "00000")
    assert memory.cat_file("/lab/r[1]/earlier/00000/a") == b"own"
    run.remove_folder(folder / "earlier")
    assert memory.find("/lab") == ["/lab/r1/shards/a", "/lab/r[1]/l*.csv", "/lab/r[1]/lother.csv"]
    memory.rm_file("/lab/r[1]/l*.csv")
    assert not copies.bring(folder / "l*.csv")


def test_a_moved_file_leaves_nothing_behind_and_a_replaced_folder_nothing_old(memory: MemoryFileSystem) -> None:
    folder = resolve(FOLDER)
    run.write(folder / "audit" / "train.failed.ipynb", b"{}")
    run.move(folder / "audit" / "train.failed.ipynb", folder / "audit" / "train.ipynb")
    memory.pipe("/lab/run/report/old.html", b"old")
    with run.replacing_folder(folder / "report") as draft:
        run.write(draft / "index.html", b"new")
        assert memory.find("/lab/run/report") == ["/lab/run/report/old.html"]
    assert memory.find("/lab/run") == ["/lab/run/audit/train.ipynb", "/lab/run/report/index.html"]


def test_a_comparison_replaces_nothing_that_is_not_ours(memory: MemoryFileSystem) -> None:
    memory.pipe({"/lab/precious/a.txt": b"a", "/lab/precious/index.html": b"not ours", "/lab/file": b"a"})
    for out in ("memory://lab/precious", "memory://lab/file"):
        with pytest.raises(RequestError, match="is there and is no report of ours"):
            _refuse([Run(resolve("memory://lab/one")), Run(resolve("memory://lab/two"))], resolve(out))


def test_a_file_is_no_run_and_a_folder_of_documents_holds_something(memory: MemoryFileSystem, tmp_path: Path) -> None:
    memory.pipe({"/lab/labels.csv": b"path,label", "/lab/documents/a.txt": b"a"})
    with pytest.raises(RequestError, match=r"run = 'memory://lab/labels\.csv': a file, not a folder"):
        Preprocess(documents="memory://lab/documents", run="memory://lab/labels.csv")
    with pytest.raises(RequestError, match="documents = 'memory://lab/nothing': holds nothing"):
        Preprocess(documents="memory://lab/nothing", run="memory://lab/run")
    with pytest.raises(RequestError, match="lies inside documents"):
        Preprocess(documents="memory://lab/documents", run="memory://lab/documents/run")


def test_where_documents_of_this_machine_lie_does_not_depend_on_that_of_the_copies(
    memory: MemoryFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Run(resolve(FOLDER)).remember_documents(tmp_path / "documents")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a" / "deeper" / "cache"))
    addresses.copies.cache_clear()
    here = Run(resolve(FOLDER))
    here.fetch()
    assert here.documents() == tmp_path / "documents"


def test_a_cache_that_cannot_be_written_is_said(memory: MemoryFileSystem, tmp_path: Path) -> None:
    memory.pipe("/lab/run/plan.json", b"{}")
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(WorkError, match="XDG_CACHE_HOME"):
        Run(resolve(FOLDER)).fetch("plan.json")
