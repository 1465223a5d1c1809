"""What is known of explained documents: their strongest words, where these stand, and where the documents lie.

Unusual: explanations, texts and ledgers are tables of different stages. Here they meet, one part at a time, for the few
documents that are looked at on their pages.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from nbpipe import copies
from nbpipe.addresses import address_of
from nbpipe.audit import Receipt
from nbpipe.errors import WorkError
from nbpipe.preprocess.options import Options
from nbpipe.records import LEDGER, PART, read_table
from nbpipe.run import Run

STRONGEST = 20  # words of a document that are boxed, wherever they stand

_WIDEST = ("timeout", "memory", "max_pages", "max_bytes")


class Mark(NamedTuple):
    """A place of a word and what it adds to the score, as records.ATTRIBUTION has it."""

    page: int
    start: int
    end: int
    word: str
    attribution: float


class Strong(NamedTuple):
    """One of a document's strongest words: its rank, what all its places add to the score, and these places."""

    rank: int
    word: str
    attribution: float
    marks: Sequence[Mark]


@dataclass(frozen=True)
class Reasons:
    """One explained document.

    path: its id; label: the class that the words speak for or against; marks: all places of words; file: where it lies
    on this machine, None where that is not known; sha256, pages: of its part; parser, ocr_pages: of its ledger's row.
    """

    path: str
    label: str
    marks: Sequence[Mark]
    file: Path | None
    sha256: str
    pages: Sequence[str]
    parser: str
    ocr_pages: Sequence[int] = ()

    @cached_property
    def strongest(self) -> list[Strong]:
        """The strongest words, for or against, the first with rank 1."""
        places = defaultdict[str, list[Mark]](list)
        for mark in self.marks:
            places[mark.word].append(mark)
        totals = {word: sum(mark.attribution for mark in marks) for word, marks in places.items()}
        order = sorted(totals, key=lambda word: (-abs(totals[word]), word))[:STRONGEST]
        return [Strong(rank, word, totals[word], places[word]) for rank, word in enumerate(order, 1)]


def gather(run: Run, shards: Sequence[Receipt], rows: Iterable[Mapping[str, Any]]) -> list[Reasons]:
    """Return the reasons of explained documents, with what the shards know of them.

    rows: of explanations.parquet, of which path, predicted and words are read. A document that no shard holds is left
    out.
    """
    wanted = list(rows)
    paths = pa.array({row["path"] for row in wanted}, pa.string())
    known = defaultdict[str, dict[str, Any]](dict)
    for file, schema in _tables(shards):
        table = read_table(file, schema)
        for row in table.filter(pc.is_in(table["path"], paths)).to_pylist():
            known[row["path"]] |= row if schema is PART else {name: row[name] for name in ("parser", "ocr_pages")}
    folder = run.documents()
    return [_reasons(row, known[row["path"]], folder) for row in wanted if row["path"] in known]


def ending(path: str, label: str) -> str:
    """Return what the names of the files about a document and a class end in: 8 hexadecimal digits of their own."""
    return hashlib.sha256("\0".join([path, label]).encode(errors="surrogateescape")).hexdigest()[:8]


def _tables(shards: Sequence[Receipt]) -> Iterable[tuple[Path, pa.Schema]]:
    """Yield the parts and the ledger of each shard, each with its schema."""
    for receipt in shards:
        for name in sorted(receipt.facts["files"]):
            if name.endswith(".parquet"):
                yield receipt.folder / name, PART if name.startswith("part-") else LEDGER


def _reasons(row: Mapping[str, Any], known: Mapping[str, Any], folder: Path | None) -> Reasons:
    facts = {name: known[name] for name in ("sha256", "pages", "parser", "ocr_pages")}
    file = _file(folder, row["path"]) if folder else None
    return Reasons(row["path"], row["predicted"], [Mark(**mark) for mark in row["words"]], file, **facts)


def _file(folder: Path, name: str) -> Path | None:
    """Return a document's file, of object storage after it was brought here; None where it cannot be."""
    path = folder / name
    try:
        return path if address_of(path) is None or copies.bring(path) else None
    except (OSError, WorkError):
        return None


def reading(shards: Sequence[Receipt]) -> Options:
    """Return how the documents of these shards were read, with their widest limits."""
    configs = [shard.facts["config"] for shard in shards]
    return Options.of(configs[0] | {name: max(config[name] for config in configs) for name in _WIDEST})
