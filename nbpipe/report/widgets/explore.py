"""Looks for reasons: of which documents, for which class, by which method.

Unusual: where nobody is there to choose, it chooses what a reviewer would open first: the surest mistake, and the
document that the model was least sure of.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from nbpipe.explain.highlight import Highlight
from nbpipe.report.widgets.played import Played
from nbpipe.report.widgets.reasons import Reasons, reasons_of
from nbpipe.shown import Sentence, Table
from nbpipe.train.labels import BAR

if TYPE_CHECKING:
    from nbpipe.report.widgets.controls import Panel

OUTCOMES = ("all", "right", "wrong", "unsure")
_KEPT = {"all": pl.lit(True), "right": pl.col("right"), "wrong": ~pl.col("right"), "unsure": pl.col("unsure")}


def explore(run: str | Path | Reasons) -> "Explore":
    """Return the explained documents of a run folder, or of the sample that `attribute` gave, to look into.

    Raises RequestError and WorkError where the run holds nothing that can be explained.
    """
    return Explore(reasons_of(run)).ready()


@dataclass(frozen=True, eq=False, repr=False)
class Explore(Played):
    """Explained documents with their reasons; numbered as listed, the surest first."""

    reasons: Reasons

    @cached_property
    def listing(self) -> pl.DataFrame:
        """The documents: path, label, predicted, probability, right, unsure."""
        return self.reasons.listing.sort(["probability", "path"], descending=[True, False])

    @cached_property
    def true_labels(self) -> list[str]:
        """The labels that the documents hold."""
        return self.listing["label"].drop_nulls().str.split(BAR).explode().unique().sort().to_list()

    def find(self, outcome: str, label: str = "", words: str = "") -> list[int]:
        """Return the numbers of documents: of an outcome, that hold a label if given, with words in their path.

        The surest come first, of the unsure ones the least sure.
        """
        rows = self.listing.with_row_index("number").filter(_KEPT[outcome])
        if label:
            rows = rows.filter(pl.col("label").str.split(BAR).list.contains(label))
        if words.strip():
            path = pl.col("path").str.to_lowercase()
            rows = rows.filter(path.str.contains(words.strip().lower(), literal=True))
        return (rows.reverse() if outcome == "unsure" else rows)["number"].to_list()

    def label(self, number: int) -> str:
        """A document's path, what was predicted, and whether that is right."""
        path, _, predicted, probability, right, _ = self._row(number)
        return f"{path}: {predicted} {probability:.2f}{'' if right else ', wrong'}"

    def path(self, number: int) -> str:
        """A document's path."""
        return self.listing["path"][number]

    def _row(self, number: int) -> tuple[Any, ...]:
        return self.listing.select("path", "label", "predicted", "probability", "right", "unsure").row(number)

    def shown(self) -> list[Table | Sentence | Highlight]:
        """How many documents are right, wrong and unsure; the surest mistake and the least sure document, coloured."""
        rows = [(outcome, len(self.find(outcome))) for outcome in OUTCOMES]
        counts = Table(["explained documents", "number"], rows)
        return [counts, *self._first("wrong", "The surest mistake"), *self._first("unsure", "The least sure answer")]

    def _first(self, outcome: str, name: str) -> list[Sentence | Highlight]:
        found = self.find(outcome)
        if not found:
            return [Sentence(f"{name}: none, no explained document is {outcome}.")]
        return [Sentence(f"{name}:"), self.reasons.document(self.path(found[0]))]

    def panel(self) -> "Panel":
        """Return the controls: outcome, label, search, list of documents, class, method."""
        from nbpipe.report.widgets.exploring import Exploring

        return Exploring(self)
