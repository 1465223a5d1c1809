"""How much each word of a document moved the score of one class, by two methods that check each other.

Unusual: one call explains all documents of any family. Integrated gradients (Sundararajan et al. 2017,
arXiv:1703.01365) add up to the score and say how nearly; occlusion (Zeiler and Fergus 2014, arXiv:1311.2901) takes
each word away, in all its places, and looks. The second needs no gradient and so shares none of the first one's faults.

The score that words add to is how far the class leads its rivals: its logit less the mean of the others', each weighed
by its probability. It is linear in the logits, so windows add up, and it moves as the log-odds of the class do.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from nbpipe.explain import bags, windows
from nbpipe.explain.reading import Reading, read_answers
from nbpipe.train.model import Classifier

METHODS = ("integrated_gradients", "occlusion")


@dataclass(frozen=True, eq=False)
class Attributions:
    """What was found for the words of documents, each document for one class.

    reading: the documents [N] and their words [E]; targets: int64 [N], the class; values: float32 [E], of each word;
    places: float32 [K], of each of its places. By integrated gradients, differences: float32 [N], the score less
    that of a document that says nothing; gaps: float32 [N], how far the values are from summing to it, as a
    share of it; steps: int64 [N]. By occlusion nothing need add up, and these are NaN, NaN and 1.
    """

    method: str
    reading: Reading
    targets: np.ndarray
    values: np.ndarray
    places: np.ndarray
    differences: np.ndarray
    gaps: np.ndarray
    steps: np.ndarray

    def occurrences(self, document: int) -> "Occurrences":
        """Return the places of one document (0-based), in reading order, with what each adds."""
        first, last = self.reading.offsets[document : document + 2]
        places = self.reading.places
        here = (places.entry >= first) & (places.entry < last)
        rows = self.reading.words[places.entry[here]]
        return Occurrences(places.page[here], places.start[here], places.end[here], rows, self.places[here])

    def take(self, documents: np.ndarray) -> Self:
        """Return what was found for some documents (int64 [M], ascending)."""
        kept = np.isin(self.reading.owners, documents)
        facts = (array[documents] for array in (self.differences, self.gaps, self.steps))
        values, places = self.values[kept], self.places[kept[self.reading.places.entry]]
        reading, targets = self.reading.take(documents), self.targets[documents]
        return type(self)(self.method, reading, targets, values, places, *facts)


class Occurrences(NamedTuple):
    """Where words stand in a document, and what each place adds to the score.

    page, start, end: int64 [K], characters of the page's text; row: int64 [K], position in the names of a reading;
    attribution: float32 [K].
    """

    page: np.ndarray
    start: np.ndarray
    end: np.ndarray
    row: np.ndarray
    attribution: np.ndarray


def attributions(
    classifier: Classifier, reading: Reading, targets: np.ndarray, method: str, exact: bool = True
) -> Attributions:
    """Attribute the score of each document's target class (int64 [N]) to its words by one of METHODS.

    exact: as of `integrated_gradients`; occlusion is always exact.
    """
    if method == "occlusion":
        return occlusion(classifier, reading, targets)
    return integrated_gradients(classifier, reading, targets, exact)


def contrasts(classifier: Classifier, reading: Reading, targets: np.ndarray) -> np.ndarray:
    """Return how the logits of each document make the score of its target class: float32 [N, C].

    With several labels a document the logit alone is the score, for labels are no rivals there.
    """
    shares = read_answers(classifier, reading.inputs)
    each = np.arange(len(targets))
    shares[each, targets] = 0
    rivals = shares / np.maximum(shares.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    weighed = np.zeros_like(shares) if classifier.multi else -rivals
    weighed[each, targets] = 1
    return weighed


def integrated_gradients(
    classifier: Classifier, reading: Reading, targets: np.ndarray, exact: bool = True
) -> Attributions:
    """Attribute by integrated gradients: steps are doubled for the documents whose gap exceeds GAP.

    The path starts at the document without words; where windows are read, at as many words with vectors that say
    nothing. exact: False takes a few steps, whatever the gap.
    """
    kind = bags if reading.pieces is None else windows
    inputs = reading.inputs if reading.pieces is None else reading
    steps = (kind.STEPS, kind.MOST_STEPS) if exact else (kind.FEW_STEPS,) * 2
    score = contrasts(classifier, reading, targets)
    values, *facts = kind.gradients(classifier.network, inputs, score, steps)
    if reading.pieces is None:
        return Attributions(METHODS[0], reading, targets, values, _single(reading.shared(values)), *facts)
    places = _single(np.bincount(reading.pieces, values, minlength=len(reading.places.entry)))
    words = _single(np.bincount(reading.places.entry, places, minlength=len(reading.words)))
    return Attributions(METHODS[0], reading, targets, words, places, *facts)


def occlusion(classifier: Classifier, reading: Reading, targets: np.ndarray) -> Attributions:
    """Attribute by occlusion: by how much the score falls when the word is taken away in all its places."""
    score = contrasts(classifier, reading, targets)
    if reading.pieces is None:
        values = bags.occlusion(classifier.network, reading.inputs, score)
    else:
        values = windows.occlusion(classifier.network, reading, score)
    unknown = np.full(len(reading), np.nan, np.float32)
    facts = (unknown, unknown, np.ones(len(reading), np.int64))
    return Attributions(METHODS[1], reading, targets, values, _single(reading.shared(values)), *facts)


def _single(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)
