"""What a model answered to the test documents of its run, from the run folder or from the evaluation at work.

Unusual: a threshold is chosen by the share of documents that it leaves to the model. Good models are nearly always
sure, so steps of confidence would jump over most documents; and two models compare at one share, not at one confidence.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from nbpipe.audit import read_receipt
from nbpipe.config import relative
from nbpipe.errors import RequestError, WorkError
from nbpipe.records import read_table
from nbpipe.report.widgets.texts import check, run_of
from nbpipe.run import Run
from nbpipe.shown import Sentence, Table
from nbpipe.train.calibrate import Coverage
from nbpipe.train.evaluate import Evaluation
from nbpipe.train.labels import BAR
from nbpipe.train.stage import listing

_LISTED = {"path": pa.string(), "label": pa.string(), "part": pa.string(), "predicted": pa.string()}
_SCHEMA = pa.schema(_LISTED | {"probability": pa.float32()})
COLUMNS = ("confidence at least", "answered", "share answered", "right", "share of these right")
SHARES = (100, 95, 90, 80, 70, 50)
FIRST = 20  # documents listed


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers to a run's test documents. table: path, label, predicted, probability, right; the least sure first.

    coverage: what the model's own threshold does to them.
    """

    name: str
    table: pl.DataFrame
    coverage: Coverage

    @cached_property
    def _levels(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.coverage.curve

    @property
    def start(self) -> int:
        """The share of documents that the model's own threshold answers, in percent."""
        return round(100 * self.coverage.share)

    def at(self, percent: int) -> Coverage:
        """Return what the threshold does that answers this share of documents, or a little more: equals stay together.

        At 0 nothing is answered.
        """
        levels, kept, _ = self._levels
        place = int(np.searchsorted(kept, percent / 100 - 1e-9))
        level = float(levels[place]) if percent else math.inf
        return Coverage(self.coverage.confidence, self.coverage.right, level, self.coverage.target)

    def summary(self, percents: Sequence[int]) -> Table:
        """The confidence needed, and how many are answered and right, for some shares of documents answered."""
        rows = [self.row(self.at(percent)) for percent in percents]
        return Table(COLUMNS, rows, f"{self.name}: {len(self.table):,} test documents, the rest left to a person")

    @staticmethod
    def row(found: Coverage) -> tuple[Any, ...]:
        """Return what a threshold does, in the order of COLUMNS."""
        right, level = int(found.right[found.kept].sum()), found.threshold
        level = level if math.isfinite(level) else "none reaches it"
        return level, int(found.kept.sum()), found.share, right, found.accuracy

    def by_label(self, percent: int) -> Table:
        """How many documents of each label are answered, and how many of these rightly, the worst first; and of all."""
        table = self.table.with_columns(kept=pl.Series(self.at(percent).kept))
        each = _counted(table.with_columns(pl.col("label").str.split(BAR)).explode("label"))
        every = _counted(table.with_columns(label=pl.lit("all")))
        rows = every.rows() + each.rows()
        return Table(
            ["label", "test documents", "answered", "right", "share of these right"], rows, "Labels, the worst first"
        )

    def left(self, percent: int) -> Table:
        """The documents that are left to a person, the least sure first."""
        found = self.table.filter(~pl.Series(self.at(percent).kept))
        return _listed(found, f"{len(found):,} documents are left to a person")

    def wrong(self, percent: int) -> Table:
        """The documents that get a wrong answer, the surest first."""
        found = self.table.filter(pl.Series(self.at(percent).kept) & ~pl.col("right")).reverse()
        return _listed(found, f"{len(found):,} documents are answered wrongly")

    def sentence(self, percent: int) -> Sentence:
        """One sentence: what the threshold does."""
        found = self.at(percent)
        if found.accuracy is None:
            return Sentence(f"Every one of {len(self.table):,} test documents is left to a person.")
        meets = "reaches" if found.accuracy >= found.target else "misses"
        return Sentence(
            f"Answers as sure as {found.threshold:.3f} are given: {found.kept.sum():,} of {len(self.table):,} test "
            f"documents, {found.accuracy:.1%} of them right, which {meets} the wanted {found.target:.1%}."
        )


def _counted(answers: pl.DataFrame) -> pl.DataFrame:
    """Return documents, answered, right and the share of these of each label, the worst first."""
    kept, right = pl.col("kept"), pl.col("kept") & pl.col("right")
    counts = answers.group_by("label").agg(documents=pl.len(), answered=kept.sum(), right=right.sum())
    share = pl.when(pl.col("answered") > 0).then(pl.col("right") / pl.col("answered"))
    return counts.with_columns(share=share).sort("share", "label", nulls_last=True)


def _listed(found: pl.DataFrame, caption: str) -> Table:
    hidden = f"; the first {FIRST} of them" if len(found) > FIRST else ""
    return Table(["path", "label", "predicted", "probability", "right"], found.head(FIRST).rows(), caption + hidden)


def answers_of(given: str | Path | Evaluation) -> Answers:
    """Return the answers of a run's model, or of an evaluation.

    Raises WorkError where the folder holds no finished model, or its files are damaged.
    """
    if isinstance(given, Evaluation):
        listed = listing(given.training.start.documents, given)
        return _answers(given.training.start.config.run.name, listed, given.coverage.facts())
    folder = run_of(given).folder
    if not folder.is_dir():
        raise RequestError(f"run = {relative(folder)!r}: no such folder")
    receipt, model = read_receipt(Run(folder).model), Run(folder).model
    for name in ("documents.parquet", "metrics.json"):
        check(receipt, name)
    listed = pl.from_arrow(read_table(model / "documents.parquet", _SCHEMA))
    return _answers(folder.name, listed, json.loads((model / "metrics.json").read_bytes())["coverage"])


def _answers(name: str, listed: pl.DataFrame, facts: dict[str, Any]) -> Answers:
    """Return the answers to the documents of the test part; facts: what metrics.json says of the coverage."""
    test = listed.filter(pl.col("part") == "test").select("path", "label", "predicted", "probability")
    if test.is_empty():
        raise WorkError(f"{name}: its model was tested on no documents; train again, on more documents")
    table = test.with_columns(right=pl.col("label") == pl.col("predicted")).sort("probability", "path")
    level = math.inf if facts["threshold"] is None else facts["threshold"]
    sure, right = table["probability"].to_numpy(), table["right"].to_numpy()
    return Answers(name, table, Coverage(sure, right, level, facts["target"]))
