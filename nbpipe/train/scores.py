"""What a model said about documents, how much of it is right, and whether that is more than guessing.

Unusual: one code for one label a document and for many. Both are tables of yes and no, [N, C]: a document is right when
its whole row is. A label that neither occurs nor is predicted has no F1 and does not count in the mean; scikit-learn
counts it so for one label a document, and as 0 for many.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.stats import binomtest

from nbpipe.shown import Shown, Table
from nbpipe.train.labels import BAR

CHANCE, DIFFERENCE = 0.01, 0.05
_MEASURES = {"accuracy": "accuracy", "macro_f1": "macro F1", "micro_f1": "micro F1"}


class Interval(NamedTuple):
    """A measure, and the 95% interval of it."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def decide(probabilities: np.ndarray, multi: bool) -> np.ndarray:
    """Return which labels documents get, bool [N, C]: the likeliest one, or with `multi` all of 0.5 and above."""
    if multi:
        return probabilities >= 0.5
    return np.arange(probabilities.shape[1]) == probabilities.argmax(axis=1)[:, None]


def confidence(probabilities: np.ndarray, multi: bool) -> np.ndarray:
    """Return how sure answers are, [N]: the highest probability; with `multi` that of the least sure decision."""
    return np.maximum(probabilities, 1 - probabilities).min(axis=1) if multi else probabilities.max(axis=1)


def joined(row: np.ndarray, labels: Sequence[str]) -> str:
    """Return the labels of a row of yes and no [C], as they are written: joined by a bar."""
    return BAR.join(labels[place] for place in np.flatnonzero(row))


def f1(hits: np.ndarray, said: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Return F1 = 2 hits / (said + held) of counts of any shape; NaN where a label neither occurs nor is predicted."""
    with np.errstate(invalid="ignore"):
        return 2 * hits / (said + held)


def mean_f1(hits: np.ndarray, said: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Return the macro F1 of counts [C, ...]: the mean over labels that occur or are predicted, 0 where none does."""
    each = f1(hits, said, held)
    return np.nan_to_num(each).sum(axis=0) / np.maximum((~np.isnan(each)).sum(axis=0), 1)


@dataclass(frozen=True, eq=False, repr=False)
class Scores(Shown):
    """What one model said about documents. predicted, truth: bool [N, C]; seconds: of fitting and predicting."""

    name: str
    predicted: np.ndarray
    truth: np.ndarray
    seconds: float = 0.0

    @cached_property
    def right(self) -> np.ndarray:
        """Whether each document got exactly its labels, bool [N]."""
        return (self.predicted == self.truth).all(axis=1)

    @property
    def multi(self) -> bool:
        """Whether any document has no label or several."""
        return bool((self.truth.sum(axis=1) != 1).any())

    @property
    def accuracy(self) -> float:
        """The share of documents that got exactly their labels."""
        return float(self.right.mean())

    @property
    def macro_f1(self) -> float:
        """The mean over labels of each label's F1."""
        return float(mean_f1(*self._counts))

    @property
    def micro_f1(self) -> float:
        """The F1 of all decisions together; with one label a document it is the accuracy."""
        return float(np.nan_to_num(f1(*(counts.sum() for counts in self._counts))))

    @cached_property
    def _counts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """How many documents were rightly given, were given, and hold each label."""
        return (self.predicted & self.truth).sum(axis=0), self.predicted.sum(axis=0), self.truth.sum(axis=0)

    @cached_property
    def confusion(self) -> np.ndarray:
        """Counts [C, C] of documents that hold a label (rows) and were given one (columns)."""
        truth, predicted = (csr_array(table, dtype=np.int64) for table in (self.truth, self.predicted))
        return (truth.T @ predicted).toarray()

    def by_label(self, labels: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return precision, recall, F1 and number of documents of each label; 0 where they are undefined."""
        hits, said, held = self._counts
        numbers = hits / np.maximum(said, 1), hits / np.maximum(held, 1), np.nan_to_num(f1(*self._counts)), held
        rows = zip(labels, *(values.tolist() for values in numbers), strict=True)
        return {
            label: dict(zip(("precision", "recall", "f1", "documents"), values, strict=True)) for label, *values in rows
        }

    def per_label(self, labels: Sequence[str]) -> Table:
        """Return precision, recall and F1 of each label, the worst first."""
        ranked = sorted(self.by_label(labels).items(), key=lambda item: item[1]["f1"])
        rows = [(label, *values.values()) for label, values in ranked]
        return Table(["label", "precision", "recall", "F1", "test documents"], rows, "Labels, the hardest first")

    def facts(self) -> dict[str, float]:
        """Return the scores as they are written to metrics.json; micro F1 only where documents may hold many labels."""
        names = _MEASURES if self.multi else list(_MEASURES)[:2]
        return {name: getattr(self, name) for name in names}

    def shown(self) -> list[Table]:
        """The scores of this model."""
        return [compared([self])]


def compared(models: Sequence[Scores], intervals: Mapping[str, Mapping[str, Interval]] | None = None) -> Table:
    """Return the scores of models, a row each; intervals: by the model's name and the measure, where there are any."""
    known, names = intervals or {}, list(models[0].facts())

    def cell(model: Scores, measure: str) -> float | str:
        found = known.get(model.name, {}).get(measure)
        return str(found) if found else getattr(model, measure)

    rows = [(model.name, *(cell(model, name) for name in names), model.seconds) for model in models]
    caption = f"{len(models[0].truth):,} test documents{', with 95% intervals' if known else ''}"
    return Table(["model", *(_MEASURES[name] for name in names), "seconds"], rows, caption)


def guesses(model: Scores) -> bool:
    """Return whether a model is not shown to be better than always giving the commonest answer to these documents."""
    _, counts = np.unique(model.truth, axis=0, return_counts=True)
    return _chance(model, counts.max() / len(model.truth)) >= CHANCE


def _chance(model: Scores, guess: float) -> float:
    """Return how likely guessing of this accuracy does as well as a model; exact one-sided binomial test."""
    return float(binomtest(int(model.right.sum()), len(model.right), guess, alternative="greater").pvalue)


def against_guessing(model: Scores, majority: Scores) -> str:
    """Say whether a model beats always giving the commonest answer."""
    right, total, guess = int(model.right.sum()), len(model.right), majority.accuracy
    chance = _chance(model, guess)
    answer = "Yes: better" if chance < CHANCE else "No: not shown to be better"
    labels = "exactly their labels" if model.multi else "their label"
    return (
        f"{answer} than guessing: {right:,} of {total:,} test documents got {labels} ({model.accuracy:.3f}), "
        f"always giving the commonest answer gets {guess:.3f}; such guessing would do as well with a probability of "
        f"{_probability(chance)}."
    )


def against(model: Scores, other: Scores, name: str) -> str:
    """Say how a model stands against another, called `name`; McNemar's exact test on what one of them gets right."""
    ours, theirs = int((model.right & ~other.right).sum()), int((other.right & ~model.right).sum())
    if ours + theirs == 0:
        return f"No test document tells it from {name} ({other.accuracy:.3f})."
    chance = binomtest(ours, ours + theirs, 0.5).pvalue
    how = "level with" if chance >= DIFFERENCE else "above" if ours > theirs else "below"
    return (
        f"It is {how} {name} ({other.accuracy:.3f}): only it is right on {ours:,} documents, only {name} on "
        f"{theirs:,}; equally good models would differ as much with a probability of {_probability(chance)}."
    )


def _probability(value: float) -> str:
    return "less than 0.001" if value < 0.001 else f"{value:.3f}"
