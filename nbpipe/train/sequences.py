"""Trains networks that read windows, and scores documents with them.

Unusual: a step touches only the vectors of the words in its batch (lazy Adam), and what is scored is a running mean of
the weights (Polyak and Juditsky 1992), kept for those vectors exactly though they are looked at only when they change.
A batch that does not fit into memory is taken in parts whose gradients add up, so the step stays the same.
"""

import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from nbpipe.errors import WorkError
from nbpipe.progress import say
from nbpipe.train.average import Average
from nbpipe.train.checkpoint import group, optimizer_state, restore_optimizer
from nbpipe.train.networks import Windowed, combine
from nbpipe.train.windows import Batch, Corpus, Piece, Windows, by_length, cut, deal, draw

BETAS, CLIP = (0.9, 0.99), 1.0
BUDGET = 32_768  # words a batch, padding among them, when documents are scored


@dataclass(frozen=True)
class Recipe:
    """How to train. vector_rate: of word vectors; warmup: steps; most: windows of a document in an epoch.

    least_batch, most_batch: documents a step; average: how much of the running mean a step keeps, 0 for none.
    """

    vector_rate: float = 1e-2
    warmup: int = 100
    decay: float = 0.01
    smoothing: float = 0.1
    word_dropout: float = 0.2
    least_batch: int = 8
    most_batch: int = 32
    most: int = 4
    average: float = 0.99

    def size(self, documents: int) -> int:
        """Return how many documents make a step."""
        return min(max(documents // 100, self.least_batch), self.most_batch)


@dataclass(frozen=True)
class Answers:
    """What documents are to get. targets: int64 [N], or float32 [N, C] of 0 and 1 where a document may have several
    labels; weights: float32 [N], of each document's loss."""

    targets: Tensor
    weights: Tensor

    def to(self, device: torch.device) -> "Answers":
        """Return them on the device."""
        return Answers(self.targets.to(device), self.weights.to(device))

    def loss(self, logits: Tensor, rows: Tensor, smoothing: float = 0.0) -> Tensor:
        """Return the sum of the losses of documents (int64 [B]) with these logits [B, C].

        Cross-entropy, or the sum over labels of binary cross-entropies.
        """
        targets, logits = self.targets[rows], logits.float()
        if targets.ndim == 1:
            losses = functional.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)
        else:
            losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(1)
        return (losses * self.weights[rows]).sum()


class Learner:
    """A network with the state of its training. most: how many documents fit into memory at once, as far as is known.

    Its random numbers (dropout) are torch's global ones, so seed them before the network is made.
    """

    def __init__(self, network: Windowed, corpus: Corpus, answers: Answers, recipe: Recipe) -> None:
        self.network, self.corpus, self.recipe, self.steps = network, corpus, recipe, 0
        self.answers, self.most = answers.to(corpus.device), sys.maxsize
        self.adam = torch.optim.AdamW(network.groups(), betas=BETAS, weight_decay=recipe.decay, fused=True)
        self.rates = [found["lr"] for found in self.adam.param_groups]
        table = network.table
        self.sparse = torch.optim.SparseAdam([table], recipe.vector_rate, BETAS) if table is not None else None
        self.average = Average(network, table, recipe.average) if recipe.average else None

    def plan(self, rows: np.ndarray, order: np.random.Generator) -> list[Piece]:
        """Deal documents (int64 [M], positions in the corpus) to the batches of one epoch.

        Of a long document some windows are drawn. Another generator of the same seed gives the same batches.
        """
        windows = cut(self.corpus.tokens.offsets, rows, self.network.longest)
        return deal(draw(windows, self.recipe.most, order), rows, self.recipe.size(len(rows)), order)

    def load(self, batches: Sequence[Piece]) -> Iterator[Batch]:
        """Yield batches as they lie on the device."""
        return self.corpus.batches(batches, self.sparse is not None)

    def train(self, batches: Sequence[Piece]) -> Generator[tuple[Tensor, int], None, None]:
        """Learn from batches, yielding each one's mean loss and number of documents; between two, ask for the state."""
        for batch in self.load(batches):
            yield self.step(batch), len(batch.rows)

    def loss(self, logits: Tensor, rows: np.ndarray) -> Tensor:
        """Return the mean loss of the logits of documents (int64 [B])."""
        return self.answers.to(logits.device).loss(logits, torch.from_numpy(rows)) / max(len(rows), 1)

    def step(self, batch: Batch) -> Tensor:
        """Train on one batch and return its loss, the mean over documents."""
        self.network.train()
        batch = self._drop_words(batch)
        while (loss := self._gradients(batch)) is None:
            self._shrink(min(len(batch.rows), self.most))
        clip_grad_norm_(self._dense(), CLIP)
        pace = min(1.0, (self.steps + 1) / self.recipe.warmup)
        for found, rate in zip(self.adam.param_groups, self.rates, strict=True):
            found["lr"] = rate * pace
        self.adam.step()
        self._step_vectors(batch.distinct, pace)
        self.steps += 1
        return loss

    def _dense(self) -> list[Tensor]:
        return [parameter for found in self.adam.param_groups for parameter in found["params"]]

    def _drop_words(self, batch: Batch) -> Batch:
        if not self.recipe.word_dropout:
            return batch
        dropped = torch.rand(batch.words.shape, device=batch.words.device) < self.recipe.word_dropout
        places = None if batch.places is None else batch.places.masked_fill(dropped, 0)
        return replace(batch, words=batch.words.masked_fill(dropped, 0), places=places)

    def _gradients(self, batch: Batch) -> Tensor | None:
        """Leave a batch's gradients with the weights, and return its loss; None where memory does not suffice."""
        self.adam.zero_grad()
        table, total = self.network.table, torch.zeros((), device=self.corpus.device)
        self._vectors = None if table is None else table.detach()[batch.distinct].requires_grad_()
        try:
            for part in batch.parts(self.most):
                loss = self._loss(part) / len(batch.rows)
                loss.backward()
                total += loss.detach()
        except torch.OutOfMemoryError:
            return None
        return total

    def _loss(self, batch: Batch) -> Tensor:
        """Return the sum of the losses of a batch's documents."""
        vectors, device = None, self.corpus.device
        if self._vectors is not None:
            vectors = functional.embedding(batch.places, self._vectors, padding_idx=0)
        half = torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" and self.network.half else nullcontext()
        with half:
            logits = self.network(batch, vectors)
        return self.answers.loss(logits, torch.from_numpy(batch.rows).to(device), self.recipe.smoothing)

    def _shrink(self, documents: int) -> None:
        """Remember that so many documents do not fit into memory; raise WorkError where it was one."""
        if documents == 1:
            raise WorkError(
                "a single document does not fit into the device's memory; take the CPU or a smaller encoder"
            )
        self.most = -(-documents // 2)
        say(f"out of memory with {documents} documents at once; going on with {self.most}, the steps stay the same")

    def _step_vectors(self, rows: Tensor | None, pace: float) -> None:
        """Move the vectors of these words (int32 [U]), and take the step into the mean."""
        rows = None if rows is None else rows.long()
        moved = rows is not None and self._vectors.grad is not None
        if moved:
            if self.average:
                self.average.before(rows)
            table = self.network.table
            table.grad = torch.sparse_coo_tensor(
                rows[None], self._vectors.grad, table.shape, is_coalesced=True, check_invariants=False
            )
            self.sparse.param_groups[0]["lr"] = self.recipe.vector_rate * pace
            self.sparse.step()
            table.grad = None
        if self.average:
            self.average.after(rows if moved else None)

    def result(self) -> Windowed:
        """Return a copy of the network with the weights to score with: their running mean where there is one."""
        network = deepcopy(self.network)
        if self.average:
            self.average.fill(network)
        for module in network.modules():
            if isinstance(module, nn.RNNBase):
                module.flatten_parameters()  # a copy's lie apart, which is slow on a GPU
        return network.eval()

    def state(self) -> dict[str, Tensor]:
        """Return all that the next step depends on, random numbers included, as tensors on the CPU."""
        groups = {"network": self.network.state_dict()}
        groups |= {kind: optimizer_state(optimizer) for kind, optimizer in self._optimizers().items()}
        counts = {"steps": self.steps, "most": self.most}
        if self.average:
            groups["average"] = self.average.weights
            groups["faded"] = {"rows": self.average.seen, "now": torch.tensor(self.average.faded, dtype=torch.float64)}
            counts["averaged"] = self.average.steps
        groups["counts"] = {name: torch.tensor(value) for name, value in counts.items()}
        groups["random"] = {"cpu": torch.get_rng_state()}
        if self.corpus.device.type == "cuda":
            groups["random"]["cuda"] = torch.cuda.get_rng_state(self.corpus.device)
        found = {f"{own}.{name}": value for own, values in groups.items() for name, value in values.items()}
        return {name: value.detach().cpu().clone() for name, value in found.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go back to a state of a learner that was made alike; the next steps are those that followed it."""
        self.network.load_state_dict(group(state, "network"))
        for kind, optimizer in self._optimizers().items():
            restore_optimizer(optimizer, group(state, kind))
        counts, random = group(state, "counts"), group(state, "random")
        self.steps, self.most = int(counts["steps"]), int(counts["most"])
        if self.average:
            for name, value in group(state, "average").items():
                self.average.weights[name].copy_(value)
            self.average.seen.copy_(state["faded.rows"])
            self.average.faded, self.average.steps = state["faded.now"].item(), int(counts["averaged"])
        torch.set_rng_state(random["cpu"])
        if self.corpus.device.type == "cuda" and "cuda" in random:
            torch.cuda.set_rng_state(random["cuda"], self.corpus.device)

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"adam": self.adam} | ({"sparse": self.sparse} if self.sparse else {})


def score(network: Windowed, corpus: Corpus) -> Tensor:
    """Return the logits [N, C] of a corpus' documents, on the CPU; every window is read, without dropout."""
    return _read(network, network.windows, corpus, network.output.bias.detach().cpu())


def hidden(network: Windowed, corpus: Corpus) -> Tensor:
    """Return what the linear layer sees [N, P] of a corpus' documents, on the CPU: it makes `score` of it.

    The mean of what it sees of their windows, since a mean of logits is the logits of the mean.
    """
    return _read(network, network.pooled, corpus, torch.zeros(network.output.in_features))


@torch.no_grad()
def _read(network: Windowed, see: Callable[..., Tensor], corpus: Corpus, nothing: Tensor) -> Tensor:
    """Return documents' means of what `see` makes of each window, on the CPU; `nothing` [P] without windows."""
    network.eval()
    documents, budget = len(corpus.tokens), BUDGET
    windows = cut(corpus.tokens.offsets, np.arange(documents), network.longest)
    while (found := _read_windows(see, corpus, windows, budget, len(nothing))) is None:
        if budget <= network.longest:
            raise WorkError("a single window does not fit into the device's memory; take the CPU")
        budget //= 2
        say(f"out of memory; going on with batches of {budget:,} words")
    lengths, owners = torch.from_numpy(windows.lengths), torch.from_numpy(windows.owners)
    return combine(found, lengths, owners, documents, nothing)


def _read_windows(
    see: Callable[..., Tensor], corpus: Corpus, windows: Windows, budget: int, width: int
) -> Tensor | None:
    """Return what is seen of windows [W, P] on the CPU; None where memory does not suffice for `budget` words."""
    found = torch.zeros(len(windows), width)
    places = list(by_length(windows, budget))
    pieces = (Piece(windows.take(place), np.zeros(0, np.int64)) for place in places)
    try:
        for place, batch in zip(places, corpus.batches(pieces), strict=True):
            found[torch.from_numpy(place)] = see(batch.words, batch.lengths).float().cpu()
    except torch.OutOfMemoryError:
        return None
    return found
