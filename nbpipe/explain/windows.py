"""What the words of documents that are read in windows add to their scores: integrated gradients and occlusion.

Unusual: a document's logits are a weighted mean of its windows' logits, so windows are explained by themselves, in
batches of similar length from many documents, and what their words add is weighed the same way. The path leads from
vectors that say nothing to those of the words; the words' places, lengths and rarity stay as they are on all of it.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from captum.attr import IntegratedGradients
from torch import Tensor

from nbpipe.explain.bags import FLOOR, GAP
from nbpipe.explain.reading import Reading
from nbpipe.train.networks import Windowed
from nbpipe.train.windows import Batch, Corpus, Piece, Windows, by_length, cut

STEPS, MOST_STEPS, FEW_STEPS = 32, 4096, 8
_NUMBERS = 1 << 21  # numbers of word vectors in memory at once


class _Windows(NamedTuple):
    """All windows of a reading, and what is needed to batch and weigh them. shares: float64 [W], of their documents."""

    cut: Windows
    corpus: Corpus
    shares: np.ndarray
    contrasts: np.ndarray

    def batch(self, places: np.ndarray) -> tuple[Batch, Tensor]:
        """Return some windows as they lie on the device, and how the logits of each make its score."""
        chosen = self.cut.take(places)
        batch = self.corpus.batch(Piece(chosen, np.zeros(0, np.int64)))
        return batch, _on(self.contrasts[chosen.owners], self.corpus.device)

    def tokens(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where the words of some windows stand among all, int64 [W, L], and which of these are words."""
        steps = np.arange(self.cut.lengths[places].max())
        real = steps < self.cut.lengths[places][:, None]
        return np.where(real, self.cut.starts[places][:, None] + steps, 0), real

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return the sums of numbers of words [T] over each window: float64 [W]."""
        until = np.concatenate([[0], np.cumsum(values, dtype=np.float64)])
        return until[self.cut.starts + self.cut.lengths] - until[self.cut.starts]


def _on(array: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(array).to(device)


def _cut(network: Windowed, reading: Reading, contrasts: np.ndarray) -> _Windows:
    windows = cut(reading.inputs.offsets, np.arange(len(reading)), network.longest)
    total = np.bincount(windows.owners, windows.lengths, minlength=len(reading))
    shares = windows.lengths / total[windows.owners]
    return _Windows(windows, Corpus(reading.inputs, network.output.weight.device), shares, contrasts)


def _budget(network: Windowed, steps: int) -> int:
    """Return how many words a batch may hold when each is read so many times."""
    one = torch.zeros(1, 1, dtype=torch.int32, device=network.output.weight.device)
    return max(1, _NUMBERS // (network.embed(one).shape[-1] * steps))


def gradients(
    network: Windowed, reading: Reading, contrasts: np.ndarray, limits: tuple[int, int]
) -> tuple[np.ndarray, ...]:
    """Return what each token adds to the score of its document, by integrated gradients from blank words.

    contrasts: float32 [N, C], how the logits make the score. Returns values float32 [T], differences float32 [N] to the
    score of as many blank words, and gaps float32 [N] and steps int64 [N] as in Attributions; steps, first and most,
    are doubled where the gap exceeds GAP, for the windows to which it is due.
    """
    network.eval()
    windows = _cut(network, reading, contrasts)
    owners, many = windows.cut.owners, len(reading)
    values, differences = np.zeros(len(reading.inputs.words), np.float32), np.zeros(len(windows.cut))
    gaps, score, taken, (steps, most) = np.full(many, np.inf), np.zeros(many), np.zeros(many, np.int64), limits
    wrong = np.full(len(windows.cut), np.inf)
    while steps <= most and (gaps > GAP).any():
        allowed = GAP * np.maximum(np.abs(score), FLOOR) / np.bincount(owners, minlength=many).clip(1)
        wanted = np.flatnonzero((gaps[owners] > GAP) & (np.abs(wrong) > allowed[owners] / 2))
        for places in _batches(windows.cut, wanted, _budget(network, steps)):
            differences[places] = _integrate(network, windows, places, steps, values, reading.blank)
        taken[gaps > GAP] = steps
        score = np.bincount(owners, windows.shares * differences, minlength=many)
        wrong = windows.sums(values) - windows.shares * differences
        missing = np.abs(np.bincount(owners, wrong, minlength=many))
        gaps, steps = missing / np.maximum(np.abs(score), FLOOR), 2 * steps
    return values, score.astype(np.float32), gaps.astype(np.float32), taken


def _batches(windows: Windows, wanted: np.ndarray, budget: int) -> Iterator[np.ndarray]:
    yield from (wanted[places] for places in by_length(windows.take(wanted), budget))


def _integrate(
    network: Windowed, windows: _Windows, places: np.ndarray, steps: int, values: np.ndarray, blank: int
) -> np.ndarray:
    """Fill in what the tokens of some windows add, and return the differences of these windows' own logits [W]."""
    batch, contrasts = windows.batch(places)
    with torch.no_grad():
        vectors = network.embed(batch.words)
        nothing = network.embed(torch.full_like(batch.words, blank))
        logits = (network.windows(batch.words, batch.lengths, start) for start in (vectors, nothing))
        whole, empty = ((found * contrasts).sum(1) for found in logits)

    def forward(inputs: Tensor, words: Tensor, lengths: Tensor, contrasts: Tensor) -> Tensor:
        return (network.windows(words, lengths, inputs) * contrasts).sum(1)

    slopes = IntegratedGradients(forward).attribute(
        vectors,
        nothing,
        additional_forward_args=(batch.words, batch.lengths, contrasts),
        n_steps=steps,
        method="riemann_middle",
    )
    where, real = windows.tokens(places)
    found = slopes.sum(2).cpu().numpy() * windows.shares[places][:, None]
    values[where[real]] = found[real]
    return (whole - empty).double().cpu().numpy()


@torch.no_grad()
def occlusion(network: Windowed, reading: Reading, contrasts: np.ndarray) -> np.ndarray:
    """Return by how much the score of its document falls without each word: float32 [E]; contrasts: as above.

    A word is taken away in all its places; only the windows that hold it are read again.
    """
    network.eval()
    windows, entries, budget = _cut(network, reading, contrasts), reading.entries, _budget(network, 1)
    falls, whole = np.zeros(len(reading.words)), np.zeros(len(windows.cut))
    for places in _batches(windows.cut, np.arange(len(windows.cut)), budget):
        batch, weighed = windows.batch(places)
        whole[places] = (network.windows(batch.words, batch.lengths) * weighed).sum(1).cpu().numpy()
    window = np.repeat(np.arange(len(windows.cut)), windows.cut.lengths)
    pairs = np.unique(np.stack([window, entries[_flat(windows.cut)]]), axis=1)
    for chosen in _batches(windows.cut.take(pairs[0]), np.arange(pairs.shape[1]), budget):
        places, gone = pairs[:, chosen]
        batch, weighed = windows.batch(places)
        where, real = windows.tokens(places)
        hidden = _on((entries[where] == gone[:, None]) & real, batch.words.device)
        words = batch.words.masked_fill(hidden, reading.blank)
        rest = (network.windows(words, batch.lengths) * weighed).sum(1).cpu().numpy()
        falls += np.bincount(gone, windows.shares[places] * (whole[places] - rest), minlength=len(falls))
    return falls.astype(np.float32)


def _flat(windows: Windows) -> np.ndarray:
    """Return where the words of all windows stand, window after window: int64 [T]."""
    first = np.repeat(windows.starts - np.cumsum(windows.lengths) + windows.lengths, windows.lengths)
    return first + np.arange(len(first))
