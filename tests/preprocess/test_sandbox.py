"""Whatever a parser does costs its own row."""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import ModuleType

import pytest
from pebble import ProcessPool

from nbpipe.preprocess.files import Document
from nbpipe.preprocess.options import Options
from nbpipe.preprocess.sandbox import Outcome, parse_all

OPTIONS = Options(timeout=2, memory=300_000_000)


def outcomes(documents: list[Document], parsers: ModuleType, workers: int = 2) -> dict[str, Outcome]:
    return {outcome.id: outcome for outcome in parse_all(documents, OPTIONS, workers, parsers.by_name)}


@pytest.mark.parametrize(
    ("deed", "status", "reason"),
    [
        ("hang", "timeout", "took longer than 2 s"),
        ("spin", "timeout", "took longer than 2 s"),
        ("segfault", "crashed", "SIGSEGV"),
        ("abort", "crashed", "SIGABRT"),
        ("exit", "crashed", "exit code 3"),
        ("hog", "crashed", "memory limit of 0.3 GB"),
        ("raise", "crashed", "AssertionError"),
    ],
)
def test_a_misbehaving_parser_costs_its_own_row(
    deed: str, status: str, reason: str, made: Callable[..., list[Document]], misbehaving: ModuleType
) -> None:
    documents = made("a-1.txt", f"{deed}-1.txt", *(f"b-{index}.txt" for index in range(10)))
    found = outcomes(documents, misbehaving)
    assert found.keys() == {document.id for document in documents}
    assert found[f"{deed}-1.txt"].parsed.status == status
    assert reason in found[f"{deed}-1.txt"].parsed.reason
    assert sum(outcome.parsed.status == "ok" for outcome in found.values()) == len(documents) - 1


def test_a_dead_parser_still_leaves_the_digest(made: Callable[..., list[Document]], misbehaving: ModuleType) -> None:
    (document,) = made("abort-1.txt")
    found = outcomes([document], misbehaving)[document.id]
    assert found.sha256 == hashlib.sha256(b"text of abort-1.txt").hexdigest()
    assert found.bytes == len("text of abort-1.txt")


def test_a_parser_that_writes_is_not_heard(
    made: Callable[..., list[Document]], misbehaving: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    assert outcomes(made("write-1.txt"), misbehaving)["write-1.txt"].parsed.status == "ok"
    assert capfd.readouterr() == ("", "")


def test_what_cannot_be_opened_is_unreadable(tmp_path: Path, misbehaving: ModuleType) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    documents = [Document(name, 0, tmp_path / name) for name in ("fifo", "dangling", "vanished")]
    found = outcomes(documents, misbehaving)
    assert {name: outcome.parsed.reason for name, outcome in found.items()} == {
        "fifo": "not a regular file",
        "dangling": "a link that leads nowhere",
        "vanished": "the file has vanished",
    }


def test_each_document_has_its_own_peak(made: Callable[..., list[Document]], misbehaving: ModuleType) -> None:
    found = outcomes(made("hog-1.txt", "a-1.txt"), misbehaving, workers=1)
    assert found["hog-1.txt"].peak_bytes > found["a-1.txt"].peak_bytes > 0


def test_no_documents_need_no_workers(misbehaving: ModuleType) -> None:
    assert outcomes([], misbehaving) == {}


@pytest.mark.parametrize("where", ["in a future", "in schedule"])
def test_a_pool_that_breaks_loses_no_document(
    where: str, made: Callable[..., list[Document]], misbehaving: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, breaks = ProcessPool.schedule, iter([False, True])

    def schedule(pool: ProcessPool, *args: object, **kwargs: object) -> Future:
        future = whole(pool, *args, **kwargs)
        if next(breaks, False):
            if where == "in schedule":
                raise RuntimeError("Unexpected error within the Pool")
            future = Future()
            future.set_exception(BrokenProcessPool("All workers expired"))
        return future

    monkeypatch.setattr(ProcessPool, "schedule", schedule)
    found = outcomes(made("a-1.txt", "a-2.txt", "a-3.txt"), misbehaving)
    assert {outcome.parsed.status for outcome in found.values()} == {"ok"}
    assert len(found) == 3


def test_a_document_that_breaks_every_pool_costs_its_own_row(
    made: Callable[..., list[Document]], misbehaving: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def schedule(pool: ProcessPool, *args: object, **kwargs: object) -> Future:
        raise RuntimeError("Unexpected error within the Pool")

    monkeypatch.setattr(ProcessPool, "schedule", schedule)
    (found,) = outcomes(made("a-1.txt"), misbehaving).values()
    assert (found.parsed.status, "pool broke" in found.parsed.reason) == ("crashed", True)
