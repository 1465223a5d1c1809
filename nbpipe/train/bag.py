"""The bag family: a network that sums weighted word vectors, and the learner that trains it.

Unusual: the gradient of a sum of word vectors is another such sum, over the documents that hold a word, so a step costs
as much as the words in its batch and nothing of the vocabulary's size; autograd sees the layers behind the sums only.
A word's vector learns at RATE divided by the number of its documents to the power of POWER: between plain descent (0)
and Adagrad (near 1/2), whose large steps for rare words cost accuracy on small corpora. The loss is LinearSVC's, the
squared hinge of each label. There is no dropout: with it, thrice the epochs gave no more accuracy.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn
from torch.nn import functional

from nbpipe.train.checkpoint import group, optimizer_state, restore_optimizer
from nbpipe.train.text import Bags, ahead
from nbpipe.train.windows import move

WIDTH, SPREAD = 128, 0.01
RATE, POWER, HEAD_RATE = 2.0, 0.25, 0.003
STEPS, LEAST_BATCH, MOST_BATCH = 20, 8, 512


class Bag(nn.Module):
    """Sum of weighted word vectors, ReLU, one linear layer: a network with one hidden layer."""

    def __init__(self, words: int, labels: int, width: int = WIDTH) -> None:
        super().__init__()
        vectors = torch.randn(words, width) * SPREAD
        vectors[0] = 0  # as padding_idx would, which keeps torch from its fast kernel
        self.embedding = nn.EmbeddingBag.from_pretrained(vectors, freeze=False, mode="sum", include_last_offset=True)
        self.bias = nn.Parameter(torch.zeros(width))
        self.output = nn.Linear(width, labels)

    def forward(self, words: Tensor, weights: Tensor, offsets: Tensor | None = None) -> Tensor:
        """Return logits [B, C].

        Flat: words and weights [E] with offsets [B + 1]; or padded: words and weights [B, W], padding word 0.
        """
        if offsets is None:
            offsets = torch.arange(0, words.numel() + 1, words.shape[1], dtype=words.dtype, device=words.device)
        sums = self.embedding(words.reshape(-1), offsets, per_sample_weights=weights.reshape(-1))
        return self.head(sums)

    def head(self, sums: Tensor) -> Tensor:
        """Return logits [B, C] from the sums of word vectors [B, width]."""
        return self.output(self.hidden(sums))

    def hidden(self, sums: Tensor) -> Tensor:
        """Return what the linear layer sees [B, width] of the sums of word vectors [B, width]."""
        return torch.relu(sums + self.bias)


def hinge(logits: Tensor, truth: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the squared hinge loss of logits [B, C], each label by itself: mean over documents.

    truth: bool [B, C]; weights: float32 [B], what each document's loss is multiplied by.
    """
    signs = truth.to(logits.dtype) * 2 - 1
    losses = (1 - signs * logits).clamp_min(0).square().sum(1)
    return (losses if weights is None else losses * weights).mean()


def batch_size(documents: int) -> int:
    """Return how many documents make a step: about 20 steps an epoch, 8 to 512 documents each."""
    return min(max(documents // STEPS, LEAST_BATCH), MOST_BATCH)


@dataclass(frozen=True, eq=False)
class Batch:
    """Documents as bags, and the same seen from their words.

    words: int32 [E], weights: float32 [E], offsets: int32 [B + 1], as in Bags. rows: int64 [U], the distinct words;
    documents: int32 [E], shares: float32 [E], starts: int32 [U + 1]: in which documents each of them stands, and its
    weight there times its rate.
    """

    words: Tensor
    weights: Tensor
    offsets: Tensor
    rows: Tensor
    documents: Tensor
    shares: Tensor
    starts: Tensor

    @classmethod
    def of(cls, bags: Bags, rates: np.ndarray, device: torch.device) -> Self:
        """Return these documents as a batch on the device; rates: float32 [V], of the vocabulary's words."""
        offsets = bags.offsets.astype(np.int32)
        turned = csr_array((bags.weights, bags.words, offsets), shape=(len(bags), len(rates))).tocsc()
        lengths = np.diff(turned.indptr)
        rows = np.flatnonzero(lengths)
        shares = turned.data * np.repeat(rates[rows], lengths[rows])
        starts = np.concatenate([[0], np.cumsum(lengths[rows])]).astype(np.int32)
        arrays = (bags.words, bags.weights, offsets, rows, turned.indices, shares, starts)
        return cls(*(move(torch.from_numpy(array), device) for array in arrays))


class BagLearner:
    """A bag, the documents it learns from, and all that its next step depends on.

    truth: bool [N, C], which labels each document of the bags has; weights: float32 [N], of their losses; counts: in
    how many documents each word stands, as in Vocabulary.
    """

    def __init__(self, network: Bag, bags: Bags, truth: np.ndarray, weights: np.ndarray, counts: Sequence[int]) -> None:
        self.network, self.bags, self.device = network, bags, network.bias.device
        self.truth, self.weights = (torch.from_numpy(array).to(self.device) for array in (truth, weights))
        self.rates = (RATE * np.maximum(counts, 1.0) ** -POWER).astype(np.float32)
        self.adam = torch.optim.Adam([network.bias, *network.output.parameters()], HEAD_RATE)

    def plan(self, rows: np.ndarray, order: np.random.Generator) -> list[np.ndarray]:
        """Return the documents of each batch of an epoch over `rows` (int64 [M])."""
        size, shuffled = batch_size(len(rows)), rows[order.permutation(len(rows))]
        return [shuffled[first : first + size] for first in range(0, len(rows), size)]

    def load(self, batches: Sequence[np.ndarray]) -> Iterator[Batch]:
        """Yield batches as they lie on the device, the next one made while one is learnt from."""
        return ahead(self._batch, iter(batches), 1)

    def train(self, batches: Sequence[np.ndarray]) -> Generator[tuple[Tensor, int], None, None]:
        """Learn from batches, yielding each one's mean loss and number of documents."""
        with _one_thread():
            for rows, batch in zip(batches, self.load(batches), strict=True):
                documents = torch.from_numpy(rows).to(self.device)
                yield self.step(batch, self.truth[documents], self.weights[documents]), len(rows)

    def loss(self, logits: Tensor, rows: np.ndarray) -> Tensor:
        """Return the mean loss of the logits of documents (int64 [B]), all of the same weight.

        Weighted, one document of a rare label would say alone when to stop.
        """
        return hinge(logits, self.truth[torch.from_numpy(rows).to(self.device)].to(logits.device))

    def result(self) -> Bag:
        """Return the network."""
        return self.network

    def step(self, batch: Batch, truth: Tensor, weights: Tensor | None = None) -> Tensor:
        """Train on one batch and return its loss; truth: bool [B, C], weights: float32 [B]."""
        self.network.train()
        with torch.no_grad():
            sums = self.network.embedding(batch.words, batch.offsets, per_sample_weights=batch.weights)
        loss = hinge(self.network.head(sums.requires_grad_()), truth, weights)
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        self._move(batch, sums.grad * len(truth))
        return loss.detach()

    @torch.no_grad()
    def _move(self, batch: Batch, slopes: Tensor) -> None:
        """Move the batch's word vectors against the slopes of its documents' sums [B, H]."""
        gradient = functional.embedding_bag(
            batch.documents,
            slopes,
            batch.starts,
            mode="sum",
            per_sample_weights=batch.shares,
            include_last_offset=True,
        )
        self.network.embedding.weight.index_add_(0, batch.rows, gradient, alpha=-1)

    def _batch(self, rows: np.ndarray) -> Batch:
        return Batch.of(self.bags.take(rows), self.rates, self.device)

    def state(self) -> dict[str, Tensor]:
        """Return all that training depends on; the tensors are the learner's own, which further steps change."""
        groups = {"network": self.network.state_dict(), "adam": optimizer_state(self.adam)}
        return {f"{own}.{name}": value for own, found in groups.items() for name, value in found.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from a state of a learner of the same sizes; the tensors are copied."""
        self.network.load_state_dict(group(state, "network"))
        restore_optimizer(self.adam, group(state, "adam"))


def score(network: Bag, bags: Bags, device: torch.device) -> Tensor:
    """Return the network's logits [N, C] on the CPU."""
    return _read(network, network.head, bags, device)


def hidden(network: Bag, bags: Bags, device: torch.device) -> Tensor:
    """Return what the network's linear layer sees of documents [N, width], on the CPU."""
    return _read(network, network.hidden, bags, device)


@torch.no_grad()
def _read(network: Bag, end: Callable[[Tensor], Tensor], bags: Bags, device: torch.device) -> Tensor:
    """Return what the end of the network makes of each document's sum of word vectors, on the CPU."""
    network.eval()
    pieces = (
        bags.take(np.arange(first, min(first + MOST_BATCH, len(bags))))
        for first in range(0, max(len(bags), 1), MOST_BATCH)
    )
    flats = (flat(piece, device) for piece in pieces)
    sums = (network.embedding(words, offsets, per_sample_weights=weights) for words, weights, offsets in flats)
    return torch.cat([end(sum_).cpu() for sum_ in sums])


def flat(bags: Bags, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return words, weights and offsets of documents as a network takes them, on the device."""
    arrays = (bags.words, bags.weights, bags.offsets.astype(np.int32))
    words, weights, offsets = (torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in arrays)
    return words, weights, offsets


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute with one thread: the same bits on any machine, and no waiting for cores that others use.

    An operation takes a millisecond here; with two threads beside one other busy process it took eight.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
