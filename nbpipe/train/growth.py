"""Would more documents help? The scores of models that learnt from more and more of them, on the same test documents.

Unusual: the subsets are nested and dealt label by label, so that a larger one differs from a smaller one only by what
was added. The answer is about the last doubling, whose gain is paired over test documents: curves that are drawn on
beyond the last point promise what nobody has measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nbpipe.shown import Sentence, Shown, Table
from nbpipe.train.bootstrap import Bootstrap, bootstrap
from nbpipe.train.scores import Interval, Scores

SHARES = (0.125, 0.25, 0.5, 1.0)
LITTLE = 0.01


@dataclass(frozen=True, eq=False, repr=False)
class Growth(Shown):
    """Scores by the number of documents learnt from. sizes: rising; scores: of their models, named by the size."""

    sizes: list[int]
    scores: Bootstrap

    @property
    def intervals(self) -> list[Interval]:
        """The accuracy at each size."""
        found = self.scores.intervals
        return [found[str(size)]["accuracy"] for size in self.sizes]

    @property
    def half(self) -> int:
        """The size that is nearest to half of the largest."""
        return min(self.sizes[:-1], key=lambda size: abs(size - self.sizes[-1] / 2))

    @property
    def gain(self) -> Interval:
        """By how much accuracy rose from half of the documents to all."""
        return self.scores.difference("accuracy", str(self.sizes[-1]), str(self.half))

    @property
    def sentence(self) -> Sentence:
        """One sentence: would more documents help? Yes where the interval of the gain lies above 0.

        Hardly, where it lies below a point; otherwise the test documents are too few to tell.
        """
        if len(self.sizes) < 2:
            return Sentence("There are too few units to tell whether more documents would help.")
        value, low, high = (100 * number for number in self.gain)
        if low > 0:
            answer = "More documents would likely help"
        elif self.gain.high < LITTLE:
            answer = "More documents of this kind would hardly help"
        else:
            answer = f"{len(self.scores.models[0].truth):,} test documents cannot tell whether more would help"
        return Sentence(
            f"{answer}: going from {self.half:,} to {self.sizes[-1]:,} documents changed accuracy by "
            f"{value:+.1f} points ({low:+.1f} to {high:+.1f})."
        )

    def facts(self) -> dict[str, object]:
        """Return what metrics.json says of it."""
        points = [
            {"documents": size, **found._asdict()} for size, found in zip(self.sizes, self.intervals, strict=True)
        ]
        return {"accuracy": points, "gain": self.gain._asdict() if len(self.sizes) > 1 else None}

    def shown(self) -> list[Table | Sentence]:
        """Accuracy and macro F1 by the number of documents learnt from, and the sentence."""
        found = self.scores.intervals
        rows = [(size, *map(str, found[str(size)].values())) for size in self.sizes]
        columns = ["documents learnt from", "accuracy", "macro F1"]
        return [Table(columns, rows, "More documents, the same test, with 95% intervals"), self.sentence]


def growth(sizes: Sequence[int], predictions: Sequence[np.ndarray], truth: np.ndarray, seed: int) -> Growth:
    """Score models that learnt from so many documents, of different sizes, on the same test documents.

    predictions: bool [N, C] for each size; truth: bool [N, C].
    """
    order = sorted(range(len(sizes)), key=lambda place: sizes[place])
    models = [Scores(str(sizes[place]), predictions[place], truth) for place in order]
    return Growth([sizes[place] for place in order], bootstrap(models, seed))


def subsets(units: np.ndarray, truth: np.ndarray, shares: Sequence[float], seed: int) -> list[np.ndarray]:
    """Return for each share the rows of a subset of as many documents, or a few more: int64, ascending; 1 is all.

    units: int64 [N], documents of one unit stay together; truth: bool [N, C]. A larger subset holds a smaller one.
    Every set of labels keeps its share; before that, each label gets a unit, the commonest first, while there is room.
    """
    _, first, place, sizes = np.unique(units, return_index=True, return_inverse=True, return_counts=True)
    order = _spread(_strata(truth[first]), np.random.default_rng(seed))
    holds = np.zeros((len(first), truth.shape[1]), bool)
    np.logical_or.at(holds, place, truth)
    ahead = [found[0] for label in np.argsort(-holds.sum(axis=0)) if len(found := order[holds[order, label]])]
    order = np.array(list(dict.fromkeys([*ahead, *order])), dtype=np.int64)
    ends = np.cumsum(sizes[order])
    counts = [1 + np.searchsorted(ends, round(share * len(units))) for share in shares]
    return [np.flatnonzero(np.isin(place, order[:count])) for count in counts]


def _strata(truth: np.ndarray) -> np.ndarray:
    """Return a number for each row of yes and no that equal rows share: int64 [N]."""
    bits = np.ascontiguousarray(np.packbits(truth, axis=1))
    return np.unique(bits.view(np.dtype((np.void, bits.shape[1]))).ravel(), return_inverse=True)[1]


def _spread(strata: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """Return an order of places in which every stratum is spread evenly and its members come at random."""
    mixed = chance.permutation(len(strata))
    mixed = mixed[np.argsort(strata[mixed], kind="stable")]
    sizes = np.bincount(strata)
    ranks = np.arange(len(strata)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    shifts = chance.random(len(sizes))[strata[mixed]]
    return mixed[np.argsort((ranks + shifts) / sizes[strata[mixed]], kind="stable")]
