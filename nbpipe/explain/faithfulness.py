"""Whether reasons may be believed: what happens when their words are removed, and whether they are the model's at all.

Unusual: every check runs beside a control that knows nothing: random words, and copies of the model with shuffled
weights. A document without some words is weighed anew, so the model sees what it would see had they never stood there.
"""

import copy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl
import torch

from nbpipe.explain.attribute import Attributions, integrated_gradients, owners
from nbpipe.shown import Sentence, Shown, Table
from nbpipe.train.bag import Bag, score
from nbpipe.train.calibrate import probabilities
from nbpipe.train.text import Bags

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


def keep(bags: Bags, kept: np.ndarray) -> Bags:
    """Return documents with only these words (bool [E]), weighed as if the others had never stood there."""
    offsets = np.concatenate([[0], np.cumsum(kept)])[bags.offsets]
    owner = owners(bags.offsets)[kept]
    length = np.sqrt(np.bincount(owner, bags.weights[kept].astype(np.float64) ** 2, minlength=len(bags)))
    return Bags(bags.words[kept], (bags.weights[kept] / length[owner]).astype(np.float32), offsets)


def _probabilities(network: Bag, bags: Bags, found: Attributions) -> np.ndarray:
    """Return the probability of each document's target class when it holds these words, [N]."""
    logits = score(network, bags, network.bias.device).numpy()
    return probabilities(logits, found.multi)[np.arange(len(bags)), found.targets].astype(np.float64)


def _removed(found: Attributions, top: int) -> np.ndarray:
    """Return how many words are removed from each document: `top`, but never more than half of them."""
    return np.minimum(top, np.diff(found.bags.offsets) // 2)


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
    def drops(self) -> dict[str, Interval]:
        """The mean fall for the strongest words and for random ones."""
        return {
            f"{self.words} strongest words": interval(self.top),
            f"{self.words} random words": interval(self.random),
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
        caption = f"Fall of the predicted class' probability in {len(self.top):,} documents, {self.words} words each"
        return [Table(["check", "mean", "95% from", "to"], rows, caption)]


def check_deletion(network: Bag, found: Attributions, top: int, seed: int) -> Deletion:
    """Remove each document's `top` strongest words, and as many random ones, and measure the predicted class' fall."""
    bags, many, rng = found.bags, _removed(found, top), np.random.default_rng(seed)
    before = _probabilities(network, bags, found)

    def fall(keys: np.ndarray) -> np.ndarray:
        """Return the fall without the words of the largest keys, and with these alone: [2, documents checked]."""
        chosen = strongest(keys, bags.offsets, many)
        rest = [_probabilities(network, keep(bags, part), found) for part in (~chosen, chosen)]
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


def shuffled(network: Bag, seed: int) -> Bag:
    """Return a copy of a network with the numbers of each weight tensor in random order."""
    other = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in other.parameters():
            order = torch.randperm(weights.numel(), generator=generator).to(weights.device)
            weights.copy_(weights.flatten()[order].reshape(weights.shape))
    return other


def check_shuffled(network: Bag, found: Attributions, checked: Deletion, seed: int) -> Control:
    """Explain shuffled copies of the network for the same classes, and compare."""
    bags, many = found.bags, _removed(found, checked.words)
    before = _probabilities(network, bags, found)
    alike, strength, falls = [], [], []
    for number in range(COPIES):
        values = integrated_gradients(shuffled(network, seed + number), bags, found.targets).values
        rest = keep(bags, ~strongest(values, bags.offsets, many))
        falls.append((before - _probabilities(network, rest, found))[many > 0])
        alike.append(correlations(found.values, values, bags.offsets))
        strength.append(correlations(np.abs(found.values), np.abs(values), bags.offsets))
    return Control(*(np.mean(parts, axis=0) for parts in (alike, strength, falls)), checked)


def correlations(left: np.ndarray, right: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return Spearman's rank correlation of two lists of numbers [E] within each document that has two or more."""
    table = pl.DataFrame({"document": owners(offsets), "left": left, "right": right})
    found = table.group_by("document", maintain_order=True).agg(
        pl.corr("left", "right", method="spearman").alias("correlation"), pl.len().alias("words")
    )
    return found.filter(pl.col("words") > 1)["correlation"].fill_nan(0).fill_null(0).to_numpy()
