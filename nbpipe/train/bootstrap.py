"""How far scores would move with other test documents: 95% intervals by the bootstrap over documents.

Unusual: documents with the same truth and the same answers of all models are interchangeable, so what is drawn is how
often each such kind occurs: one multinomial draw a resample, the very distribution of drawing documents one by one. All
models are scored on the same resamples, so their differences are paired. Where no resample differs, as with 20 right of
20, the bootstrap would claim certainty; then the interval is what a kind never seen in N documents may still amount to.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from nbpipe.shown import Sentence, Shown, Table
from nbpipe.train.scores import Interval, Scores, compared, mean_f1

RESAMPLES = 1000
TAIL = 0.025
_AT_ONCE = 2_000_000  # counts drawn at a time


def interval(value: float, draws: np.ndarray, documents: int, bounds: tuple[float, float] = (0.0, 1.0)) -> Interval:
    """Return a measure with the 95% interval of its draws [R] from so many documents, by percentiles.

    Where all draws are equal, the interval is as wide as the share u that N documents miss with a probability of 2.5%:
    (1 - u)^N = 0.025 (the "rule of three"). bounds: the lowest and highest value of the measure.
    """
    low, high = np.quantile(draws, [TAIL, 1 - TAIL])
    if np.ptp(draws) < 1e-12:  # rounding aside
        unseen = 1 - TAIL ** (1 / documents)
        low, high = max(bounds[0], value - unseen), min(bounds[1], value + unseen)
    return Interval(value, float(low), float(high))


@dataclass(frozen=True, eq=False, repr=False)
class Bootstrap(Shown):
    """The scores of models on resamples of the same test documents. draws: by measure, float64 [R, models]."""

    models: list[Scores]
    draws: dict[str, np.ndarray]

    @property
    def intervals(self) -> dict[str, dict[str, Interval]]:
        """Each measure with its interval, by the model's name."""
        return {model.name: {name: self._interval(model, name) for name in self.draws} for model in self.models}

    def facts(self) -> dict[str, dict[str, dict[str, float]]]:
        """Return the intervals as JSON types: by model and measure, value, low and high."""
        return {
            model: {measure: found._asdict() for measure, found in measures.items()}
            for model, measures in self.intervals.items()
        }

    def difference(self, measure: str, name: str, other: str) -> Interval:
        """Return by how much one model's measure exceeds another's on the same documents, with its interval."""
        ours, theirs = self._place(name), self._place(other)
        value = getattr(self.models[ours], measure) - getattr(self.models[theirs], measure)
        draws = self.draws[measure][:, ours] - self.draws[measure][:, theirs]
        return interval(value, draws, len(self.models[0].truth), (-1.0, 1.0))

    def sentence(self, name: str, other: str) -> Sentence:
        """Return one sentence: is the difference of two models real? It is where its interval excludes 0."""
        accuracy, macro = (self.difference(measure, name, other) for measure in ("accuracy", "macro_f1"))
        answer = "real" if accuracy.low > 0 or accuracy.high < 0 else "not shown to be real"
        return Sentence(
            f"The difference of {name} to {other} in accuracy is {answer}: {_points(accuracy)}; in macro F1 it is "
            f"{_points(macro)}, with 95% intervals over the test documents."
        )

    def shown(self) -> list[Table]:
        """The scores of all models with their intervals."""
        return [compared(self.models, self.intervals)]

    def _place(self, name: str) -> int:
        return [model.name for model in self.models].index(name)

    def _interval(self, model: Scores, measure: str) -> Interval:
        draws = self.draws[measure][:, self._place(model.name)]
        return interval(getattr(model, measure), draws, len(model.truth))


def bootstrap(models: Sequence[Scores], seed: int, number: int = RESAMPLES) -> Bootstrap:
    """Score models of different names on `number` resamples of the test documents, the same ones for all models."""
    kinds, counts = _kinds(models)
    held = csr_array(models[0].truth[kinds].T, dtype=np.float64)
    hits = [csr_array((model.predicted & model.truth)[kinds].T, dtype=np.float64) for model in models]
    said = [csr_array(model.predicted[kinds].T, dtype=np.float64) for model in models]
    right = np.stack([model.right[kinds] for model in models]).astype(np.float64)
    accuracy, macro = [], []
    for drawn in _draws(counts, number, seed):
        there = held @ drawn
        accuracy.append(right @ drawn / counts.sum())
        macro.append([mean_f1(ours @ drawn, given @ drawn, there) for ours, given in zip(hits, said, strict=True)])
    draws = {"accuracy": accuracy, "macro_f1": macro}
    return Bootstrap(list(models), {name: np.concatenate(found, axis=1).T for name, found in draws.items()})


def _kinds(models: Sequence[Scores]) -> tuple[np.ndarray, np.ndarray]:
    """Return one document of each kind, and how many there are of it: int64 [K] both."""
    tables = [models[0].truth, *(model.predicted for model in models)]
    bits = np.ascontiguousarray(np.packbits(np.concatenate(tables, axis=1), axis=1))
    keys = bits.view(np.dtype((np.void, bits.shape[1]))).ravel()
    _, first, counts = np.unique(keys, return_index=True, return_counts=True)
    return first, counts


def _draws(counts: np.ndarray, number: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each kind is drawn, float64 [K, resamples], a bounded number of resamples at a time."""
    chance, many = np.random.default_rng(seed), counts.sum()
    size = max(1, _AT_ONCE // len(counts))
    for first in range(0, number, size):
        yield chance.multinomial(many, counts / many, min(size, number - first)).T.astype(np.float64)


def _points(found: Interval) -> str:
    value, low, high = (100 * number for number in found)
    return f"{value:+.1f} points ({low:+.1f} to {high:+.1f})"
