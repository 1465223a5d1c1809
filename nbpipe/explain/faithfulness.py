"""Whether reasons may be believed: what happens when their words are removed, and whether they are the model's at all.

Unusual: every check runs beside a control that knows nothing: random words, and copies of the model with shuffled
weights. Words are taken away in all their places at once; what that means for a family is said in `Reading.without`.
"""

import copy
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from torch import nn

from nbpipe.explain.attribute import Attributions, attributions
from nbpipe.explain.reading import read_answers
from nbpipe.shown import Sentence, Shown, Table
from nbpipe.train.families import Inputs
from nbpipe.train.model import Classifier
from nbpipe.train.words import owners

DRAWS = 10  # random choices of words per document
COPIES = 3  # models with shuffled weights
_RESAMPLES, _AT_ONCE = 2000, 100


class Interval(NamedTuple):
    """A mean over documents, and the 95% interval of it."""

    mean: float
    low: float
    high: float


def interval(values: np.ndarray, seed: int = 0) -> Interval:
    """Return the mean of values between -1 and 1 with its bootstrap interval; fewer than two prove nothing."""
    if len(values) < 2:
        return Interval(float(values.sum()), -1.0, 1.0)
    rng = np.random.default_rng(seed)
    means = [rng.choice(values, (_AT_ONCE, len(values))).mean(axis=1) for _ in range(_RESAMPLES // _AT_ONCE)]
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return Interval(float(values.mean()), float(low), float(high))


def strongest(keys: np.ndarray, offsets: np.ndarray, many: np.ndarray) -> np.ndarray:
    """Return which entries have the largest keys of their document, as many as asked: bool [E].

    keys: [E]; offsets: int64 [N + 1]; many: int64 [N].
    """
    owner = owners(offsets)
    order = np.lexsort((-keys, owner))
    chosen = np.zeros(len(keys), bool)
    chosen[order] = np.arange(len(keys)) - offsets[owner] < many[owner]
    return chosen


def _probabilities(classifier: Classifier, inputs: Inputs, targets: np.ndarray) -> np.ndarray:
    """Return the probability of each document's target class when this is what is read, [N]."""
    return read_answers(classifier, inputs)[np.arange(len(targets)), targets].astype(np.float64)


def _removed(found: Attributions, top: int) -> np.ndarray:
    """Return how many words are removed from each document: `top`, but never more than half of them."""
    return np.minimum(top, found.reading.sizes // 2)


@dataclass(frozen=True, eq=False, repr=False)
class Deletion(Shown):
    """By how much the probability of the predicted class falls, per document [N], when words are removed or kept.

    Documents of fewer than two known words are left out. top: the strongest words removed; random: as many random ones,
    mean of DRAWS draws; only_top, only_random: all words but these removed. The first two are the comprehensiveness,
    the others the sufficiency of DeYoung et al. 2020 (ERASER, arXiv:1911.03429).
    """

    words: int
    top: np.ndarray
    random: np.ndarray
    only_top: np.ndarray
    only_random: np.ndarray

    @property
    def gain(self) -> Interval:
        """How much more the strongest words matter than random ones, document by document."""
        return interval(self.top - self.random)

    @property
    def _noun(self) -> str:
        return "word" if self.words == 1 else "words"

    @property
    def drops(self) -> dict[str, Interval]:
        """The mean fall for the strongest words and for random ones."""
        return {
            f"{self.words} strongest {self._noun}": interval(self.top),
            f"{self.words} random {self._noun}": interval(self.random),
        }

    @property
    def measures(self) -> dict[str, dict[str, float]]:
        """Every mean with its interval, as JSON types."""
        arrays = {"top": self.top, "random": self.random, "only_top": self.only_top, "only_random": self.only_random}
        return {name: interval(values)._asdict() for name, values in arrays.items()}

    def shown(self) -> list[Table | Sentence]:
        """How far the probability falls, with 95% intervals."""
        rows = [
            ("without its strongest words (more is better)", *interval(self.top)),
            ("without as many random words", *interval(self.random)),
            ("difference of these two", *self.gain),
            ("with its strongest words alone (less is better)", *interval(self.only_top)),
            ("with as many random words alone", *interval(self.only_random)),
        ]
        each = f"{self.words} {self._noun} each, of short documents half of all"
        caption = f"Fall of the predicted class' probability in {len(self.top):,} documents, {each}"
        return [Table(["check", "mean", "95% from", "to"], rows, caption)]


def check_deletion(classifier: Classifier, found: Attributions, top: int, seed: int) -> Deletion:
    """Remove each document's `top` strongest words, and as many random ones, and measure the predicted class' fall."""
    reading, many, rng = found.reading, _removed(found, top), np.random.default_rng(seed)
    before = _probabilities(classifier, reading.inputs, found.targets)

    def fall(keys: np.ndarray) -> np.ndarray:
        """Return the fall without the words of the largest keys, and with these alone: [2, documents checked]."""
        chosen = strongest(keys, reading.offsets, many)
        rest = [_probabilities(classifier, reading.without(gone), found.targets) for gone in (chosen, ~chosen)]
        return (before - np.array(rest))[:, many > 0]

    removed, kept = fall(found.values)
    drawn_removed, drawn_kept = np.mean([fall(rng.random(len(found.values))) for _ in range(DRAWS)], axis=0)
    return Deletion(top, removed, drawn_removed, kept, drawn_kept)


@dataclass(frozen=True, eq=False, repr=False)
class Control(Shown):
    """The same explanation of copies of the model whose weights were shuffled.

    alike: per document [N], Spearman's correlation of the true attributions with those of the copies, mean of COPIES;
    strength: the same of their absolute values; fall: [M], how far the probability falls when the copies' strongest
    words are removed; gain: how much more the model's own words matter. After Adebayo et al. 2018, arXiv:1810.03292.
    """

    alike: np.ndarray
    strength: np.ndarray
    fall: np.ndarray
    deletion: Deletion

    @property
    def gain(self) -> Interval:
        """How much more the model's strongest words matter than the shuffled copies', document by document."""
        return interval(self.deletion.top - self.fall)

    @property
    def drops(self) -> dict[str, Interval]:
        """The mean fall for the strongest words, for random ones and for those of the shuffled copies."""
        return self.deletion.drops | {"strongest words of shuffled models": interval(self.fall)}

    @property
    def measures(self) -> dict[str, dict[str, float]]:
        """Every mean with its interval, as JSON types."""
        arrays = {"alike": self.alike, "strength": self.strength, "fall": self.fall}
        return {name: interval(values)._asdict() for name, values in arrays.items()}

    def shown(self) -> list[Table | Sentence]:
        """How alike the copies' explanations are, and what their words do."""
        rows = [
            ("rank correlation with the true attributions (0 is best)", *interval(self.alike)),
            ("the same without signs: what both owe to the document alone", *interval(self.strength)),
            ("fall of probability without the copies' strongest words", *interval(self.fall)),
            ("how much more it falls without the model's own", *self.gain),
        ]
        caption = f"The same explanations of {COPIES} copies of the model with shuffled weights"
        return [Table(["check", "mean", "95% from", "to"], rows, caption)]


def shuffled(network: nn.Module, seed: int) -> nn.Module:
    """Return a copy of a network with the numbers of each weight tensor in random order."""
    other = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in other.parameters():
            order = torch.randperm(weights.numel(), generator=generator).to(weights.device)
            weights.copy_(weights.flatten()[order].reshape(weights.shape))
    return other


def check_shuffled(classifier: Classifier, found: Attributions, checked: Deletion, seed: int) -> Control:
    """Explain shuffled copies of the network for the same classes, and compare."""
    reading, many = found.reading, _removed(found, checked.words)
    before = _probabilities(classifier, reading.inputs, found.targets)
    alike, strength, falls = [], [], []
    for number in range(COPIES):
        other = replace(classifier, network=shuffled(classifier.network, seed + number))
        values = attributions(other, reading, found.targets, found.method, exact=False).values
        rest = reading.without(strongest(values, reading.offsets, many))
        falls.append((before - _probabilities(classifier, rest, found.targets))[many > 0])
        alike.append(correlations(found.values, values, reading.offsets))
        strength.append(correlations(np.abs(found.values), np.abs(values), reading.offsets))
    return Control(*(np.mean(parts, axis=0) for parts in (alike, strength, falls)), checked)


def correlations(left: np.ndarray, right: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return Spearman's rank correlation of two lists of numbers [E] within each document that has two or more."""
    table = pl.DataFrame({"document": owners(offsets), "left": left, "right": right})
    found = table.group_by("document", maintain_order=True).agg(
        pl.corr("left", "right", method="spearman").alias("correlation"), pl.len().alias("words")
    )
    return found.filter(pl.col("words") > 1)["correlation"].fill_nan(0).fill_null(0).to_numpy()
