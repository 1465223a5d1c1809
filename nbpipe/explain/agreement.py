"""A second opinion: do two methods that work differently name the same words?

Unusual: it is reported and judges nothing. Where they disagree, words that do the same work are a common cause: taking
one of them away changes little, though all of them together are the reason.
"""

from dataclasses import dataclass

import numpy as np

from nbpipe.explain.attribute import Attributions, attributions
from nbpipe.explain.faithfulness import correlations, interval, strongest
from nbpipe.explain.reading import Reading
from nbpipe.shown import Sentence, Shown, Table
from nbpipe.train.model import Classifier
from nbpipe.train.words import owners

_READ = 1 << 22  # words read for the second opinion, of few documents where these are long
_LEAST = 5  # documents, however long


@dataclass(frozen=True, eq=False, repr=False)
class Agreement(Shown):
    """How far two methods agree on the words of documents.

    methods: the one in question, and the second opinion. alike: [M], Spearman's correlation of both over the words of
    each document; common: [M], the share of its strongest words that both name; words: how many these are.
    """

    methods: tuple[str, str]
    alike: np.ndarray
    common: np.ndarray
    words: int
    documents: int

    def shown(self) -> list[Table | Sentence]:
        """The agreement with its intervals."""
        rows = [
            ("rank correlation over all words (1 is best)", *interval(self.alike)),
            (f"share of the {self.words} strongest words that both name", *interval(self.common)),
        ]
        of = "" if len(self.alike) == self.documents else f" of {self.documents:,}, drawn at random,"
        caption = f"{' and '.join(self.methods)} on {len(self.alike):,} documents{of} and their predicted classes"
        return [Table(["agreement", "mean", "95% from", "to"], rows, caption.replace("_", " "))]

    @property
    def measures(self) -> dict[str, dict[str, float]]:
        """Both means with their intervals, as JSON types."""
        return {"alike": interval(self.alike)._asdict(), "common": interval(self.common)._asdict()}


def check_agreement(classifier: Classifier, found: Attributions, other: str, top: int, seed: int) -> Agreement:
    """Explain documents by another method, as many as can be read in some minutes, and compare.

    Documents of fewer than two different words are left out.
    """
    drawn = _drawn(found.reading, other, seed)
    first = found.take(drawn)
    second = attributions(classifier, first.reading, first.targets, other)
    offsets, many = first.reading.offsets, np.minimum(top, first.reading.sizes // 2)
    both = strongest(first.values, offsets, many) & strongest(second.values, offsets, many)
    common = np.bincount(owners(offsets)[both], minlength=len(drawn))[many > 0] / many[many > 0]
    alike = correlations(first.values, second.values, offsets)
    return Agreement((found.method, other), alike, common, top, len(found.reading))


def _drawn(reading: Reading, method: str, seed: int) -> np.ndarray:
    """Return which documents are explained again, ascending: of a bag all, of others what a budget of words allows."""
    order = np.random.default_rng(seed).permutation(len(reading))
    if reading.pieces is None or method != "occlusion":
        return np.sort(order)
    costs = np.cumsum(np.diff(reading.inputs.offsets)[order] * np.minimum(reading.sizes[order], 256))
    return np.sort(order[: max(_LEAST, int((costs <= _READ).sum()))])
