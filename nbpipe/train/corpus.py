"""What the shards hold, read once: which documents there are, how often each holds each word, and which are alike.

Unusual: no text is kept. Texts pass by in pieces and leave counts and sketches behind, a few bytes a word; the few that
people look at later are read again from the shards.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl

from nbpipe.addresses import address_of
from nbpipe.audit import Receipt
from nbpipe.config import Train, base
from nbpipe.errors import WorkError
from nbpipe.run import Run
from nbpipe.shown import Shown, Table
from nbpipe.train.labels import read_labels
from nbpipe.train.shards import check_shards, planned_paths, removed_paths, stream_texts
from nbpipe.train.text import Counts, count_parts
from nbpipe.train.twins import Sketches

_SHOWN = 60


@dataclass(frozen=True, eq=False, repr=False)
class Documents(Shown):
    """Every document of the run. table: path, status, labels (null = unlabelled), group, copy, twin; sorted by path.

    usable: those that became text, in the same order. counts: their words; receipts: of the shards. copy, twin: the
    same number for documents of the same and of nearly the same text, null without text.
    """

    table: pl.DataFrame
    counts: Counts
    receipts: list[Receipt]

    @cached_property
    def usable(self) -> pl.DataFrame:
        """The documents that became text: path, labels, group, copy, twin."""
        return self.table.filter(pl.col("status") == "ok").select("path", "labels", "group", "copy", "twin")

    def link(self, path: str) -> str:
        """Return where a document lies, seen from the notebook that is at work; nothing where that may not be shown.

        Both must lie below the working directory: a way through other folders would tell whose machine this is.
        """
        run, here = Run(self.receipts[0].folder.parents[1]), base()
        folder = run.documents()
        if not folder or address_of(folder) or not (folder.is_relative_to(here) and run.folder.is_relative_to(here)):
            return ""
        start = Path.cwd() if Path.cwd() != here else run.audit
        return Path(os.path.relpath(folder / path, start)).as_posix()

    @property
    def inputs(self) -> dict[str, str]:
        """The digest of each shard's receipt, by the shard's name."""
        return {receipt.folder.name: receipt.digest for receipt in self.receipts}

    @property
    def tally(self) -> dict[str, int]:
        """How many documents there are, are usable, and of these are labelled and unlabelled."""
        unlabelled, usable = self.usable["labels"].null_count(), len(self.usable)
        return {
            "documents": len(self.table),
            "usable": usable,
            "labelled": usable - unlabelled,
            "unlabelled": unlabelled,
        }

    def texts(self) -> Iterator[pl.DataFrame]:
        """Yield the usable documents in pieces: row (int64, their position in `usable`), text."""
        rows = self.usable.select("path").with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
        left = len(rows)
        for piece in stream_texts(self.receipts):
            found = piece.join(rows, on="path", how="inner", maintain_order="left").select("row", "text")
            left -= len(found)
            yield found
            if not left:
                return

    def sample(self, rows: np.ndarray, most: int, bigrams: bool = False) -> tuple[Self, np.ndarray]:
        """Return at most so many of these documents (int64 [M]), counted in reading order, and their positions.

        They are the first that come, so that few parts are read. bigrams: count pairs of words, too.
        """
        wanted, found = pl.Series(rows), list[pl.DataFrame]()
        for piece in self.texts():
            found.append(piece.filter(pl.col("row").is_in(wanted.implode())))
            if sum(map(len, found)) >= most:
                break
        chosen = pl.concat(found).head(most).sort("row")
        table = self.table.filter(pl.col("status") == "ok")[chosen["row"]]
        counts = count_parts([chosen["text"]], order=True, bigrams=bigrams)
        return type(self)(table, counts, self.receipts), chosen["row"].to_numpy()

    def shown(self) -> list[Table]:
        """The counts, and the usable documents of each label."""
        found = self.usable["labels"].explode().drop_nulls().value_counts().sort("labels")
        rows = [*self.tally.items(), *((f"label {label}", count) for label, count in found.head(_SHOWN).iter_rows())]
        rows += [("words in all", int(self.counts.times.sum())), ("different words", len(self.counts.words))]
        hidden = [(f"... {len(found) - _SHOWN:,} more labels", "")] if len(found) > _SHOWN else []
        return [Table(["documents", "number"], [*rows, *hidden])]


def read_documents(config: Train) -> Documents:
    """Read every document of the run through its shards' receipts, and label it by its folder or by the CSV file.

    Raises WorkError where the shards break the contracts or hold no text, RequestError where the labels are wrong.
    """
    run = Run(config.run)
    receipts, listed, sketches = check_shards(run), list[pl.DataFrame](), Sketches()
    labels = read_labels(config.labels, planned_paths(run), removed_paths(run)).table  # judged before the texts

    def usable() -> Iterator[pl.Series]:
        for piece in stream_texts(receipts):
            listed.append(piece.select("path", "status"))
            texts = piece.filter(pl.col("status") == "ok")["text"]
            sketches.add(texts)
            yield texts

    counts = count_parts(usable(), order=config.model in ("gru", "attention"), bigrams=config.bigrams)
    table = _listing(listed)
    paths = table.filter(pl.col("status") == "ok")["path"]
    if paths.is_empty():
        raise WorkError(f"none of {len(table):,} documents became text, so there is nothing to learn from")
    order = paths.arg_sort().to_numpy()
    alike = pl.DataFrame({"path": paths.gather(order), "copy": sketches.copies(order), "twin": sketches.groups(order)})
    for known in (labels, alike):
        table = table.join(known, on="path", how="left", maintain_order="left")
    return Documents(table.sort("path"), counts.take(order), receipts)


def _listing(pieces: list[pl.DataFrame]) -> pl.DataFrame:
    """Return path and status of all documents, as they came.

    Raises WorkError where there are none, or one stands in two shards.
    """
    if not pieces:
        raise WorkError("preprocess: the shards hold no documents; run preprocess on a folder that has some")
    table = pl.concat(pieces)
    twice = table.filter(pl.col("path").is_duplicated())["path"].unique().sort()
    if len(twice):
        raise WorkError(f"preprocess: {len(twice):,} documents stand in two shards, such as {twice[0]!r}; run it again")
    return table
