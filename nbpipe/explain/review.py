"""What a reviewer needs of the documents that are wrong or unsure: both sides' reasons, and what they were learnt from.

Unusual: two classes are set side by side, each with the words that speak for it. Of a mistake these are the predicted
and the true class, of a right but unsure answer the predicted one and the next likely. The nearest training documents
are the model's neighbours: of another label they tell what led it astray.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nbpipe.explain.nearest import Neighbour
from nbpipe.shown import Sentence, Shown, Table

SHOWN = 12  # documents; explanations.parquet holds them all
_WORDS = 5


class Side(NamedTuple):
    """One class of a document: its label, its probability, and its words with what they add, strongest first."""

    label: str
    probability: float
    words: Sequence[tuple[str, float]]

    def __str__(self) -> str:
        listed = ", ".join(f"{word} {value:+.2f}" for word, value in self.words[:_WORDS] if value > 0)
        return f"{self.label} {self.probability:.2f}: {listed or 'no word speaks for it'}"


class Case(NamedTuple):
    """One document to review. other: the true class, or of a right answer the next likely; near: the nearest training
    documents, none where the model knows no word of it or was kept without them."""

    path: str
    outcome: str
    predicted: Side
    other: Side
    near: Sequence[Neighbour]


@dataclass(frozen=True, eq=False, repr=False)
class Review(Shown):
    """The documents to review: the mistakes, surest first, then what is right but unsure, least sure first.

    of: how many documents were explained; lacking: why there are no nearest documents, where there are none.
    """

    cases: Sequence[Case]
    of: int
    lacking: str = ""

    def shown(self) -> list[Table | Sentence]:
        """Each document with both sides' words and its nearest training documents."""
        if not self.cases:
            return [Sentence(f"None of {self.of:,} explained documents is wrong or unsure.")]
        rows = [
            (case.path, case.outcome, str(case.predicted), str(case.other), _listed(case.near))
            for case in self.cases[:SHOWN]
        ]
        wrong = sum(case.outcome == "wrong" for case in self.cases)
        unsure = len(self.cases) - wrong
        caption = f"To review: {wrong:,} wrong and {unsure:,} right but unsure of {self.of:,} documents"
        caption += f"; the first {SHOWN}" if len(self.cases) > SHOWN else ""
        columns = ["document", "answer", "predicted, and what speaks for it", "the true, else the next likely class"]
        table = Table([*columns, "nearest training documents"], rows, caption)
        return [table, Sentence(self.lacking)] if self.lacking else [table]


def _listed(near: Sequence[Neighbour]) -> str:
    return "; ".join(f"{path} ({label}, {share:.2f})" for path, label, share in near) or "none"
