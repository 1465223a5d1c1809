"""Explanations, parts and ledgers of two shards meet."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from nbpipe.audit import Receipt, as_json
from nbpipe.explain.reasons import STRONGEST, Mark, Reasons, gather, reading
from nbpipe.records import LEDGER, PART, write_table
from nbpipe.run import Run

CONFIG = {"timeout": 60, "memory": 1_000, "max_pages": 10, "max_bytes": 500, "ocr": "off", "ocr_languages": "eng"}


@pytest.fixture
def shards(tmp_path: Path) -> list[Receipt]:
    """Two shards with a document each."""
    receipts = []
    for number, (name, parser, ocr) in enumerate([("a.pdf", "pdfium", []), ("b/c.pdf", "pdfium+ocr", [2])]):
        folder = tmp_path / f"{number}"
        part = {"path": name, "sha256": f"{number:064}", "bytes": 1, "status": "ok", "pages": ["hot oven", "oven"]}
        ledger = (name, "ok", "", parser, 0.1, 1, 2, ocr, ocr, [])
        write_table(folder / "part-00000.parquet", pa.Table.from_pylist([part], PART))
        rows = [dict(zip(LEDGER.names, ledger, strict=True))]
        write_table(folder / "ledger.parquet", pa.Table.from_pylist(rows, LEDGER))
        facts = {"files": {"part-00000.parquet": "", "ledger.parquet": ""}, "config": CONFIG | {"timeout": 60 + number}}
        receipts.append(Receipt(folder, as_json(facts)))
    return receipts


def row(path: str) -> dict[str, object]:
    word = {"page": 0, "start": 4, "end": 8, "word": "oven", "attribution": 0.5}
    return {"path": path, "predicted": "cooking", "words": [word]}


def test_documents_meet_what_their_shards_know(shards: list[Receipt], tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.remember_documents(tmp_path / "documents")
    one, two = gather(run, shards, [row("b/c.pdf"), row("a.pdf")])
    assert one == Reasons(
        "b/c.pdf",
        "cooking",
        [Mark(0, 4, 8, "oven", 0.5)],
        tmp_path / "documents" / "b" / "c.pdf",
        f"{1:064}",
        ["hot oven", "oven"],
        "pdfium+ocr",
        [2],
    )
    assert (two.path, two.parser, two.ocr_pages) == ("a.pdf", "pdfium", [])


def test_where_the_documents_lie_may_be_unknown(shards: list[Receipt], tmp_path: Path) -> None:
    assert gather(Run(tmp_path / "run"), shards, [row("a.pdf"), row("stranger.pdf")])[0].file is None
    assert len(gather(Run(tmp_path / "run"), shards, [row("a.pdf"), row("stranger.pdf")])) == 1


def test_documents_are_read_with_the_widest_limits(shards: list[Receipt], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NBPIPE_PASSWORDS", raising=False)
    options = reading(shards)
    assert (options.timeout, options.memory, options.passwords) == (61, 1_000, None)


@pytest.fixture
def make_reasons() -> Callable[..., Reasons]:
    def make(*marks: Mark) -> Reasons:
        return Reasons("a.pdf", "cooking", list(marks), None, "", [], "pdfium")

    return make


def test_a_word_is_as_strong_as_its_places_together(make_reasons: Callable[..., Reasons]) -> None:
    marks = [Mark(0, 0, 4, "oven", 0.2), Mark(0, 5, 9, "mast", -0.3), Mark(1, 0, 4, "oven", 0.2)]
    strongest = make_reasons(*marks).strongest
    assert [(word.rank, word.word, word.attribution) for word in strongest] == [(1, "oven", 0.4), (2, "mast", -0.3)]
    assert strongest[0].marks == [marks[0], marks[2]]


def test_only_the_strongest_are_shown(make_reasons: Callable[..., Reasons]) -> None:
    strongest = make_reasons(*(Mark(0, i, i + 1, f"w{i}", i / 100) for i in range(100))).strongest
    assert (len(strongest), strongest[0].word) == (STRONGEST, "w99")
