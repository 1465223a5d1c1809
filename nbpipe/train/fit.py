"""Trains the network: the untrained one first, then epochs until the validation part stops gaining.

Unusual: a step touches only the vectors of the words in its batch, by Adagrad with one rate per word (Duchi et al.
2011: rare words take large steps), so its cost does not grow with the vocabulary. All else is trained by Adam.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nbpipe.config import Train
from nbpipe.errors import WorkError
from nbpipe.shown import Table
from nbpipe.train.model import Bag, Classifier, batch, pick_device, score
from nbpipe.train.split import Parts
from nbpipe.train.text import Bags, Vocabulary, count

RATE, HEAD_RATE = 0.05, 0.003
STEPS, LEAST_BATCH, MOST_BATCH = 20, 8, 512
PATIENCE = 3
_TRIAL = 4


@dataclass(frozen=True)
class Epoch:
    """One pass over the training part: mean loss, and loss and accuracy on the validation part after it."""

    number: int
    loss: float
    validation_loss: float
    validation_accuracy: float


@dataclass(frozen=True, eq=False)
class Start:
    """What training starts from: the split, its vocabulary, every document's bag, and what the trial steps told.

    seconds: of turning texts into bags; epoch_seconds: expected, per epoch.
    """

    parts: Parts
    config: Train
    device: torch.device
    vocabulary: Vocabulary
    bags: Bags
    seconds: float
    epoch_seconds: float = field(default=0.0)

    def network(self) -> Bag:
        """Return the untrained network of the config's seed, on the device."""
        torch.manual_seed(self.config.seed)
        return Bag(len(self.vocabulary), len(self.parts.labels)).to(self.device)

    def table(self) -> Table:
        """What is to be trained, on what, and how long it may take."""
        longest = self.epoch_seconds * self.config.epochs
        rows = [
            ("documents to learn from", len(self.parts.rows("train"))),
            ("words", len(self.vocabulary) - 1),
            ("device", self.device.type),
            ("seconds to weigh the words, measured", self.seconds),
            ("seconds an epoch, expected", self.epoch_seconds),
            (f"seconds for all {self.config.epochs} epochs, expected at most", longest),
        ]
        return Table(["before training", ""], rows)

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    def __repr__(self) -> str:
        return repr(self.table())


@dataclass(frozen=True, eq=False)
class Training:
    """What training gave: the classifier of the best epoch, and every epoch's figures."""

    start: Start
    classifier: Classifier
    history: list[Epoch]
    seconds: float

    @property
    def best(self) -> Epoch:
        """The epoch with the lowest validation loss, whose weights are kept."""
        return min(self.history, key=lambda epoch: epoch.validation_loss)

    def table(self) -> Table:
        """The epochs, with the seconds they took beside those expected."""
        rows = [(e.number, e.loss, e.validation_loss, e.validation_accuracy) for e in self.history]
        expected = self.start.epoch_seconds * len(rows)
        caption = (
            f"{len(rows)} of at most {self.start.config.epochs} epochs, the best is epoch {self.best.number}; "
            f"measured {self.seconds:.1f} s, expected {expected:.1f} s"
        )
        return Table(["epoch", "training loss", "validation loss", "validation accuracy"], rows, caption)

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    def __repr__(self) -> str:
        return repr(self.table())


def prepare(parts: Parts, config: Train) -> Start:
    """Weigh the words of all documents by those of the training part, and try a few steps to tell the time.

    Raises RequestError for a device that is absent, WorkError where the training part holds no words.
    """
    device, began = pick_device(config.device), time.perf_counter()
    counts = count(parts.documents["text"])
    vocabulary = Vocabulary.of(counts.take(parts.rows("train")))
    if len(vocabulary) == 1:
        raise WorkError("the documents to learn from hold no words, so there is nothing to tell labels by")
    bags = vocabulary.weigh(counts)
    start = Start(parts, config, device, vocabulary, bags, time.perf_counter() - began)
    return Start(parts, config, device, vocabulary, bags, start.seconds, _trial(start))


def _trial(start: Start) -> float:
    """Return the seconds an epoch may take, from a few steps of a network that is thrown away."""
    learner, rows = _Learner(start), start.parts.rows("train")
    size = batch_size(len(rows))
    bags, targets = start.bags.take(rows[: size * _TRIAL]), learner.targets[rows[: size * _TRIAL]]
    learner.epoch(bags, targets, size)  # the first steps pay for what is loaded on first use
    began = time.perf_counter()
    learner.epoch(bags, targets, size)
    return (time.perf_counter() - began) / len(bags) * len(rows)


def batch_size(documents: int) -> int:
    """Return how many documents make a step: about 20 steps an epoch, 8 to 512 documents each."""
    return min(max(documents // STEPS, LEAST_BATCH), MOST_BATCH)


def fit(start: Start, on_epoch: Callable[[Epoch], None] | None = None) -> Training:
    """Train until the validation loss has not fallen for 3 epochs, and keep the weights of the best epoch."""
    began, learner = time.perf_counter(), _Learner(start)
    rows, validation = start.parts.rows("train"), start.parts.rows("validation")
    held, chance = start.bags.take(validation), np.random.default_rng(start.config.seed)
    history: list[Epoch] = []
    best, weights = 0, {}
    for number in range(1, start.config.epochs + 1):
        order = rows[chance.permutation(len(rows))]
        loss = learner.epoch(start.bags.take(order), learner.targets[order], batch_size(len(rows)))
        history.append(_judge(learner, held, learner.targets[validation], number, loss))
        if history[-1].validation_loss < min((e.validation_loss for e in history[:-1]), default=float("inf")):
            best, weights = number, {name: value.clone() for name, value in learner.network.state_dict().items()}
        if on_epoch:
            on_epoch(history[-1])
        if number - best >= PATIENCE:
            break
    learner.network.load_state_dict(weights)
    classifier = Classifier(learner.network.eval(), start.vocabulary, start.parts.labels, start.device)
    return Training(start, classifier, history, time.perf_counter() - began)


def _judge(learner: "_Learner", bags: Bags, targets: Tensor, number: int, loss: float) -> Epoch:
    logits = score(learner.network, bags, learner.device)
    right = (logits.argmax(1) == targets).float().mean().item()
    return Epoch(number, loss, functional.cross_entropy(logits, targets).item(), right)


class _Learner:
    """A network with the state of its optimizers."""

    def __init__(self, start: Start) -> None:
        self.device, self.network = start.device, start.network()
        self.targets = torch.from_numpy(start.parts.targets)
        self.squares = torch.zeros(len(start.vocabulary), device=self.device)
        rest = [self.network.bias, *self.network.output.parameters()]
        self.adam = torch.optim.Adam(rest, HEAD_RATE)

    def epoch(self, bags: Bags, targets: Tensor, size: int) -> float:
        """Train on these documents once, in their order, and return the mean loss."""
        self.network.train()
        total = torch.zeros((), device=self.device)
        for first in range(0, len(bags), size):
            last = min(first + size, len(bags))
            loss = self.step(batch(bags, first, last, self.device), targets[first:last].to(self.device))
            total += loss * (last - first)
        return total.item() / len(bags)

    def step(self, inputs: tuple[Tensor, Tensor, Tensor], targets: Tensor) -> Tensor:
        """Train on one batch and return its loss."""
        words, weights, offsets = inputs
        table = self.network.embedding.weight.detach()
        rows, places = torch.unique(words, return_inverse=True)
        vectors = table.index_select(0, rows).requires_grad_()
        hidden = functional.embedding_bag(
            places, vectors, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True
        )
        loss = functional.cross_entropy(self.network.head(hidden), targets)
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        squares = self.squares.index_select(0, rows) + vectors.grad.square().mean(1)
        self.squares.index_copy_(0, rows, squares)
        pace = -RATE / squares.sqrt().clamp_min(1e-12)
        table.index_add_(0, rows, vectors.grad * pace[:, None])
        return loss.detach()
