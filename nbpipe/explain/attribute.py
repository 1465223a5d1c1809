"""Integrated gradients: how much each word of a document moved the score of one class, and where these words stand.

Unusual: the path from the empty document to the whole one is straight, and the first layer is a weighted sum, so the
path stays straight behind it. Captum integrates there, over a few hundred numbers a document, and the chain rule takes
the result back to the words: the same attributions as from the words themselves, many times faster.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from captum.attr import IntegratedGradients
from torch import Tensor

from nbpipe.train.bag import Bag, flat
from nbpipe.train.text import Bags, Vocabulary, spans

GAP = 0.01  # of the score; more steps are taken until the gap is smaller
STEPS, MOST_STEPS = 32, 4096
_FLOOR = 0.01  # a score nearer to that of the empty document is taken as this, for there is no part of nothing
_POINTS = 4096  # documents times steps in memory at once


@dataclass(frozen=True, eq=False)
class Attributions:
    """What integrated gradients found for documents, each for one class.

    bags: the documents [N]; targets: int64 [N], the class; values: float32 [E], one per word of each document;
    differences: float32 [N], the logit of the class less that of an empty document; gaps: float32 [N], how far the
    values are from summing to it, as a share of it; steps: int64 [N]; multi: whether a document may be of many classes.
    """

    bags: Bags
    targets: np.ndarray
    values: np.ndarray
    differences: np.ndarray
    gaps: np.ndarray
    steps: np.ndarray
    multi: bool = False


def integrated_gradients(network: Bag, bags: Bags, targets: np.ndarray, multi: bool = False) -> Attributions:
    """Attribute the logit of each document's target class to the weights of its words.

    The baseline is the document without words. Method: Sundararajan et al. 2017, arXiv:1703.01365. Steps are doubled
    for the documents whose gap exceeds GAP.
    """
    network.eval()
    size = _POINTS // STEPS
    pieces = [_attribute(network, bags, targets, start) for start in range(0, len(bags), size)]
    empty = (np.zeros(0, np.float32),) * 3 + (np.zeros(0, np.int64),)
    found = (np.concatenate(arrays) for arrays in zip(empty, *pieces, strict=True))
    return Attributions(bags, targets, *found, multi)


def _attribute(network: Bag, bags: Bags, targets: np.ndarray, start: int) -> tuple[np.ndarray, ...]:
    """Return values, differences, gaps and steps of one batch of documents."""
    stop = min(start + _POINTS // STEPS, len(bags))
    words, weights, offsets = flat(bags.take(np.arange(start, stop)), network.bias.device)
    weights.requires_grad_()
    sums = network.embedding(words, offsets, per_sample_weights=weights)
    classes = torch.from_numpy(targets[start:stop]).to(sums.device)
    slopes, differences, gaps, steps = _integrate(network.head, sums.detach(), classes)
    (slope,) = torch.autograd.grad(sums, weights, slopes)
    found = (weights.detach() * slope, differences, gaps, steps)
    return tuple(tensor.cpu().numpy() for tensor in found)


def _integrate(head: Callable[[Tensor], Tensor], sums: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
    """Return the mean slope along the path [B, H], the differences, the gaps and the steps [B] of a batch."""
    with torch.no_grad():
        logits = head(torch.cat([sums, torch.zeros_like(sums[:1])]))
        differences = (logits[:-1] - logits[-1]).gather(1, targets[:, None])[:, 0]
    gradients = IntegratedGradients(head, multiply_by_inputs=False)
    slopes, gaps = torch.zeros_like(sums), torch.full_like(differences, torch.inf)
    taken, steps = torch.zeros_like(targets), STEPS
    while steps <= MOST_STEPS and (gaps > GAP).any():
        for part in torch.nonzero(gaps > GAP)[:, 0].split(_POINTS // steps):
            found = gradients.attribute(sums[part], target=targets[part], n_steps=steps, method="riemann_middle")
            slopes[part], taken[part] = found, steps
            wrong = (found * sums[part]).sum(1) - differences[part]
            gaps[part] = wrong.abs() / differences[part].abs().clamp(min=_FLOOR)
        steps *= 2
    return slopes, differences, gaps, taken


@dataclass(frozen=True, eq=False)
class Occurrences:
    """Where words of the model stand in documents, and what each place adds to the score.

    page, start, end: int32 [K], characters of the page's text; row: int64 [K], the word's row in the vocabulary;
    attribution: float32 [K]; offsets: int64 [N + 1], where each document starts.
    """

    page: np.ndarray
    start: np.ndarray
    end: np.ndarray
    row: np.ndarray
    attribution: np.ndarray
    offsets: np.ndarray

    def of(self, document: int) -> Self:
        """Return the places of one document (0-based)."""
        first, last = self.offsets[document : document + 2]
        arrays = (self.page, self.start, self.end, self.row, self.attribution)
        return type(self)(*(array[first:last] for array in arrays), np.array([0, last - first]))


def locate(found: Attributions, pages: Iterable[Sequence[str]], vocabulary: Vocabulary) -> Occurrences:
    """Return every place of every known word, and pair of words, in reading order.

    pages: of each document, its pages' texts. A word's attribution is shared equally among its places, since the model
    sees how often a word occurs, never where. A pair that runs over the end of a page stands where its first word does.
    """
    places = [_places(document, vocabulary) for document in pages]
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in places])]).astype(np.int64)
    table = np.concatenate([np.zeros((0, 4), np.int64), *places])
    entries = _entries(found.bags, table[:, 3], offsets)
    share = found.values[entries] / np.bincount(entries, minlength=len(found.values))[entries]
    page, start, end = table[:, :3].astype(np.int32).T
    return Occurrences(page, start, end, table[:, 3], share.astype(np.float32), offsets)


def _places(pages: Sequence[str], vocabulary: Vocabulary) -> np.ndarray:
    """Return page, start, end and row of each known word: int64 [K, 4]."""
    index, places, last = vocabulary.index, list[tuple[int, int, int, int]](), None
    for number, page in enumerate(pages):
        found = spans(page, vocabulary.bigrams)
        single = [place for place in found if " " not in place[2]]
        if last and single and (row := index.get(f"{last[3]} {single[0][2]}")):
            places.append((*last[:3], row))
        places += [(number, start, end, index[word]) for start, end, word in found if word in index]
        last = (number, *single[-1]) if single else last
    return np.array(places, np.int64).reshape(-1, 4)


def _entries(bags: Bags, rows: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return which entry of the bags each place belongs to: int64 [K]."""
    most = int(max(rows.max(initial=0), bags.words.max(initial=0))) + 1
    keys = owners(bags.offsets) * most + bags.words
    order = np.argsort(keys)
    return order[np.searchsorted(keys, owners(offsets) * most + rows, sorter=order)]


def owners(offsets: np.ndarray) -> np.ndarray:
    """Return the document of each entry: int64 [E]."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
