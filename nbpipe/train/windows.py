"""Documents of any length as windows of at most so many words, and batches of windows of similar length.

Unusual: a batch is picked out of one flat array of all words by position, so no text is ever touched again and no loop
runs over documents. On CUDA that array lies on the device where it fits; else batches are built in pinned memory and
copied one ahead of the step that needs them. A long document is cut into windows of nearly equal length.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from nbpipe.train.words import Tokens

POOL = 20  # batches whose documents are sorted by length together: little padding, and still mixed
SHARE = 0.25  # of the device's free memory that the words may fill


@dataclass(frozen=True)
class Windows:
    """Windows of documents. All int64 [W]: where each starts among the words, its length, and whose it is.

    owners: positions among the documents asked for, ascending; documents: how many were asked for. A document without
    words has no window.
    """

    starts: np.ndarray
    lengths: np.ndarray
    owners: np.ndarray
    documents: int

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, places: np.ndarray) -> Self:
        """Return these windows (int [M]) of the same documents."""
        return type(self)(self.starts[places], self.lengths[places], self.owners[places], self.documents)


def cut(offsets: np.ndarray, rows: np.ndarray, longest: int) -> Windows:
    """Cut these documents (int [B]) into as few windows of at most `longest` words as there can be, nearly equal."""
    sizes = np.diff(offsets)[rows]
    pieces = -(-sizes // longest)
    owners = np.repeat(np.arange(len(rows)), pieces)
    number = np.arange(len(owners)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    first, last = ((number + step) * sizes[owners] // pieces[owners] for step in (0, 1))
    return Windows(offsets[rows][owners] + first, last - first, owners, len(rows))


def draw(windows: Windows, most: int, chance: np.random.Generator) -> Windows:
    """Return at most `most` windows of each document, drawn at random, in reading order."""
    counts = np.bincount(windows.owners, minlength=windows.documents)
    order = np.lexsort((chance.random(len(windows)), windows.owners))
    rank = np.arange(len(windows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return windows.take(np.sort(order[rank < most]))


@dataclass(frozen=True)
class Batch:
    """Windows of some documents, the longest first.

    words: int32 [W, L] on the device, 0 behind a window's end; lengths: int64 [W], on the CPU; owners: int64 [W] on the
    device, positions among the B documents; rows: int64 [B], what the caller calls these documents. Where asked for,
    distinct: int32 [U], 0 and the batch's words, once each, ascending; places: int64 [W, L], where each word is there.
    """

    words: Tensor
    lengths: Tensor
    owners: Tensor
    rows: np.ndarray
    distinct: Tensor | None = None
    places: Tensor | None = None

    def parts(self, most: int) -> list[Self]:
        """Return batches of at most `most` documents that together are this one."""
        return [self._part(first, min(first + most, len(self.rows))) for first in range(0, len(self.rows), most)]

    def _part(self, first: int, last: int) -> Self:
        if last - first == len(self.rows):
            return self
        found = ((self.owners >= first) & (self.owners < last)).nonzero().flatten()
        lengths = self.lengths[found.cpu()]
        longest = int(lengths.max()) if len(lengths) else 1
        words, places = (None if x is None else x[found, :longest] for x in (self.words, self.places))
        return type(self)(words, lengths, self.owners[found] - first, self.rows[first:last], self.distinct, places)


@dataclass(frozen=True)
class Piece:
    """What a batch is to be made of: its windows, the longest first, and its documents' rows (int64 [B])."""

    windows: Windows
    rows: np.ndarray


def deal(windows: Windows, rows: np.ndarray, size: int, chance: np.random.Generator) -> list[Piece]:
    """Deal documents to batches of `size` for one epoch: similar lengths together, the order random.

    rows: int64 [N], the windows' documents as the caller calls them. The last batch of all may be smaller.
    """
    longest = np.zeros(windows.documents, np.int64)
    np.maximum.at(longest, windows.owners, windows.lengths)
    order = chance.permutation(windows.documents)
    order = order[np.lexsort((longest[order], np.arange(len(order)) // (size * POOL)))]
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    number, local = np.divmod(place[windows.owners], size)
    sorted_ = np.lexsort((-windows.lengths, number))
    bounds = np.searchsorted(number[sorted_], np.arange(-(-len(order) // size) + 1))
    dealt = []
    for batch in chance.permutation(len(bounds) - 1).tolist():
        places, documents = sorted_[bounds[batch] : bounds[batch + 1]], order[batch * size : (batch + 1) * size]
        part = Windows(windows.starts[places], windows.lengths[places], local[places], len(documents))
        dealt.append(Piece(part, rows[documents]))
    return dealt


def by_length(windows: Windows, budget: int) -> Iterator[np.ndarray]:
    """Yield the places of windows, the longest first, in batches of one or at most `budget` words with padding."""
    order, first = np.argsort(-windows.lengths, kind="stable"), 0
    while first < len(order):
        last = first + max(1, budget // int(windows.lengths[order[first]]))
        yield order[first:last]
        first = last


class Corpus:
    """The words of documents, placed for a device, as batches are built from them.

    tokens: what it was made from; resident: whether the words lie on the device.
    """

    def __init__(self, tokens: Tokens, device: torch.device) -> None:
        self.tokens, self.device = tokens, device
        words = torch.from_numpy(np.require(tokens.words, np.int32, ["C", "W"]))
        self.resident = device.type != "cuda" or words.nbytes <= SHARE * torch.cuda.mem_get_info(device)[0]
        self._words = words.to(device) if self.resident else words

    def batch(self, piece: Piece, distinct: bool = False) -> Batch:
        """Return one batch on the device; distinct: with each of its words once."""
        windows = piece.windows
        lengths = torch.from_numpy(windows.lengths)
        words = self._pick(torch.from_numpy(windows.starts), lengths)
        batch = Batch(words, lengths, move(torch.from_numpy(windows.owners), self.device), piece.rows)
        if not distinct:
            return batch
        found, places = torch.unique(torch.cat([words.new_zeros(1), words.flatten()]), return_inverse=True)
        return replace(batch, distinct=found, places=places[1:].reshape(words.shape))

    def batches(self, pieces: Iterable[Piece], distinct: bool = False) -> Iterator[Batch]:
        """Yield batches on the device; on CUDA the next one is on its way, on its own stream, before one is given."""
        if self.device.type != "cuda":
            yield from (self.batch(piece, distinct) for piece in pieces)
            return
        stream, ahead = torch.cuda.Stream(self.device), None
        stream.wait_stream(torch.cuda.current_stream(self.device))
        for piece in pieces:
            with torch.cuda.stream(stream):
                coming = self.batch(piece, distinct), stream.record_event()
            if ahead is not None:
                yield self._arrived(*ahead)
            ahead = coming
        if ahead is not None:
            yield self._arrived(*ahead)

    def _arrived(self, batch: Batch, built: torch.cuda.Event) -> Batch:
        """Make the current stream wait for a batch, and keep its memory until that stream is done with it."""
        stream = torch.cuda.current_stream(self.device)
        stream.wait_event(built)
        for tensor in (batch.words, batch.owners, batch.distinct, batch.places):
            if tensor is not None:
                tensor.record_stream(stream)
        return batch

    def _pick(self, starts: Tensor, lengths: Tensor) -> Tensor:
        """Return the windows' words [W, L], 0 behind their ends."""
        if not len(starts):
            return torch.zeros(0, 1, dtype=torch.int32, device=self.device)
        steps = torch.arange(int(lengths.max()), device=self._words.device)
        if self.resident:
            starts, lengths = move(starts, self.device), move(lengths, self.device)
        places = (starts[:, None] + steps).clamp_max(len(self._words) - 1)
        words = self._words[places].masked_fill(steps >= lengths[:, None], 0)
        return words if self.resident else move(words, self.device)


def move(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device; on CUDA through pinned memory, so that nothing waits for the copy."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
