"""Probabilities that mean what they say, and which answers are sure enough to be given without a person.

Unusual: little evidence claims little. The temperature is fitted to labels that are held for true only as far as their
number allows (Platt 1999), so five documents that are all right do not make a network certain. A confidence counts as
reaching the target accuracy only with as many documents above it as it takes to meet a single mistake; otherwise no
answer is given without a person. Bins hold equally many answers: most answers of a good model are sure, and bins of
equal width would judge it by the few that are not.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit, log_softmax, softmax

from nbpipe.shown import Sentence, Shown, Table
from nbpipe.train.scores import confidence, decide

TEMPERATURES = (0.05, 20.0)
BINS, LEAST_A_BIN = 15, 10
FEW = 0.1  # error by chance alone, beyond which an error says nothing
MOST_NEEDED = 100
COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)


def fit_temperature(logits: np.ndarray, truth: np.ndarray, multi: bool) -> float:
    """Return the temperature T for which softmax(logits / T) gives the truth the highest likelihood.

    Guo et al. 2017, arXiv:1706.04599; with `multi` a sigmoid for each label. logits: [N, C]; truth: bool [N, C] of
    documents that were not learnt from. Targets are Platt's: of N documents a label that is held counts (N + 1) / (N +
    2), and the rest goes to the other labels. T lies between 0.05 and 20.
    """
    logits, doubt = np.asarray(logits, dtype=np.float64), 1 / (len(truth) + 2)
    share = doubt if multi else doubt / (truth.shape[1] - 1)
    targets = np.where(truth, 1 - doubt, share)

    def loss(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        if multi:
            return -float((targets * log_expit(scaled) + (1 - targets) * log_expit(-scaled)).sum())
        return -float((targets * log_softmax(scaled, axis=1)).sum())

    low, high = map(math.log, TEMPERATURES)
    return math.exp(minimize_scalar(loss, bounds=(low, high), method="bounded").x)


def probabilities(logits: np.ndarray, multi: bool, temperature: float = 1.0) -> np.ndarray:
    """Return the probabilities of labels, float32 [N, C]: softmax, or with `multi` a sigmoid for each label."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    return (expit(scaled) if multi else softmax(scaled, axis=1)).astype(np.float32)


class Reliability(NamedTuple):
    """By bin [K]: mean confidence, share right, variance of an answer that is as sure as it says, number of answers."""

    confidence: np.ndarray
    accuracy: np.ndarray
    spread: np.ndarray
    answers: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error: the mean distance of confidence and share right over answers."""
        return float(np.average(np.abs(self.confidence - self.accuracy), weights=self.answers))

    @property
    def chance(self) -> float:
        """The error that answers as sure as they say show on so many: E|x| = sd * sqrt(2 / pi) of a normal."""
        return float(np.average(np.sqrt(2 / np.pi * self.spread / self.answers), weights=self.answers))


def reliability(confidence: np.ndarray, right: np.ndarray) -> Reliability:
    """Compare confidence [N] with right [N] in up to 15 bins of equally many answers, 10 at least.

    Answers of equal confidence share a bin.
    """
    number = min(BINS, max(1, len(right) // LEAST_A_BIN))
    edges = np.unique(np.quantile(confidence, np.linspace(0, 1, number + 1)[1:-1]))
    places = np.searchsorted(edges, confidence, side="right")
    answers = np.bincount(places, minlength=len(edges) + 1)
    filled = answers > 0
    spread = confidence * (1 - confidence)
    means = (np.bincount(places, values)[filled] / answers[filled] for values in (confidence, right, spread))
    return Reliability(*means, answers[filled])


@dataclass(frozen=True, eq=False, repr=False)
class Calibration(Shown):
    """How far confidence and accuracy lie apart on test documents, before and after dividing logits by a temperature.

    With one label a document an answer is a document; with many it is the decision on one label.
    """

    temperature: float
    before: Reliability
    after: Reliability

    @property
    def sentence(self) -> Sentence:
        """One sentence: may its probabilities be believed? Yes where the error is at most twice that of chance.

        On few answers chance alone makes so large an error that nothing can be said.
        """
        answer = "mean what they say" if self.after.error <= 2 * self.after.chance else "are not quite what they say"
        if self.after.chance > FEW:
            answer = "cannot be judged by so few answers"
        return Sentence(
            f"Its probabilities {answer}: the expected calibration error is {self.after.error:.3f} "
            f"({self.before.error:.3f} before the temperature of {self.temperature:.2f}); perfect ones would show "
            f"{self.after.chance:.3f} on {int(self.after.answers.sum()):,} answers."
        )

    def facts(self) -> dict[str, float]:
        """Return what metrics.json says of it."""
        errors = {"ece_before": self.before.error, "ece": self.after.error, "ece_chance": self.after.chance}
        return {"temperature": self.temperature, **errors}

    def shown(self) -> list[Table | Sentence]:
        """Confidence beside share right by bin, after calibration, and the sentence."""
        found = self.after
        columns = (found.confidence, found.accuracy, found.answers)
        rows = list(zip(*(values.tolist() for values in columns), strict=True))
        caption = f"Calibrated: {len(rows)} bins of equally many answers to test documents"
        return [Table(["mean confidence", "share right", "answers"], rows, caption), self.sentence]


def calibration(logits: np.ndarray, truth: np.ndarray, multi: bool, temperature: float) -> Calibration:
    """Judge a temperature that was fitted elsewhere on test documents: logits [N, C] before it, truth bool [N, C]."""

    def judge(value: float) -> Reliability:
        shares = probabilities(logits, multi, value).astype(np.float64)
        if multi:
            return reliability(np.maximum(shares, 1 - shares).ravel(), ((shares >= 0.5) == truth).ravel())
        return reliability(confidence(shares, multi), (decide(shares, multi) == truth).all(axis=1))

    return Calibration(temperature, judge(1.0), judge(temperature))


def needed(target: float) -> int:
    """Return how many documents it takes to meet one mistake at this accuracy: 1 / (1 - target), 100 at most."""
    return MOST_NEEDED if target > 1 - 1 / MOST_NEEDED else math.ceil(1 / (1 - target) - 1e-9)


def threshold(confidence: np.ndarray, right: np.ndarray, target: float) -> float:
    """Return the lowest confidence at and above which the share of right documents is `target` or more.

    confidence, right: [N], of documents that were not learnt from. Infinity, so that everything is left to a person,
    where no confidence with `needed(target)` documents at or above it reaches the target.
    """
    levels, kept, accuracy = levels_of(confidence, right)
    good = (accuracy >= target - 1e-12) & (kept * len(right) >= needed(target) - 1e-6)
    return float(levels[good].min()) if good.any() else math.inf


def levels_of(confidence: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return every level of confidence [K], falling; the share of documents at or above it; and how many are right."""
    order = np.argsort(-confidence, kind="stable")
    last = np.flatnonzero(np.diff(confidence[order], append=-np.inf))  # equal ones are kept or left together
    hits = np.cumsum(right[order])[last]
    return confidence[order][last], (last + 1) / len(order), hits / (last + 1)


@dataclass(frozen=True, eq=False, repr=False)
class Coverage(Shown):
    """How many test documents are answered, and how many of these rightly, when unsure ones are left to a person.

    confidence: [N]; right: bool [N]; threshold: answers below it are left; target: the accuracy it was chosen for.
    """

    confidence: np.ndarray
    right: np.ndarray
    threshold: float
    target: float

    @property
    def kept(self) -> np.ndarray:
        """Which documents are answered, bool [N]."""
        return self.confidence >= self.threshold

    @property
    def share(self) -> float:
        """The share of documents that are answered."""
        return float(self.kept.mean())

    @property
    def accuracy(self) -> float | None:
        """The share of answered documents that are right; None where none is answered."""
        return float(self.right[self.kept].mean()) if self.kept.any() else None

    @property
    def curve(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Levels of confidence [K], falling, with the share of documents answered there and its accuracy."""
        return levels_of(self.confidence, self.right)

    @property
    def points(self) -> tuple[np.ndarray, np.ndarray, tuple[float, float | None]]:
        """Shares of documents answered [K] with their accuracies [K], and both at the threshold."""
        _, kept, accuracy = self.curve
        return kept, accuracy, (self.share, self.accuracy)

    @property
    def sentence(self) -> Sentence:
        """One sentence: what the threshold does to the test documents."""
        if math.isinf(self.threshold):
            return Sentence(
                f"Every document is left to a person: no confidence reaches {self.target:.1%} right answers on "
                f"{needed(self.target)} validation documents or more."
            )
        if self.accuracy is None:
            return Sentence(f"Every test document is left to a person: no answer is as sure as {self.threshold:.2f}.")
        short = "" if self.accuracy >= self.target else f", short of the {self.target:.1%} it was chosen for"
        return Sentence(
            f"At {self.threshold:.2f} the model answers {self.share:.1%} of documents and {self.accuracy:.1%} of "
            f"these are right{short}; without a threshold {self.right.mean():.1%} are."
        )

    def facts(self) -> dict[str, float | None]:
        """Return what metrics.json says of it; threshold null where every document is left to a person."""
        level = None if math.isinf(self.threshold) else self.threshold
        return {"threshold": level, "target": self.target, "share": self.share, "accuracy": self.accuracy}

    def shown(self) -> list[Table | Sentence]:
        """The confidence needed and the accuracy for a few shares of documents answered, and the sentence."""
        levels, kept, accuracy = self.curve
        places = dict.fromkeys(np.searchsorted(kept, np.array(COVERAGES) - 1e-9).tolist())
        rows = [(float(levels[place]), float(kept[place]), float(accuracy[place])) for place in places]
        columns = ["confidence at least", "share answered", "share of these right"]
        return [Table(columns, rows, f"{len(self.right):,} test documents, the rest left to a person"), self.sentence]
