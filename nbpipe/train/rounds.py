"""Epochs over some documents, one step after the other, which can be kept after any step and taken up again.

Unusual: a round that was taken up goes on bit for bit as if it had never ended (on one machine, on the CPU): the order
of the documents is drawn anew from where the generator stood when the epoch began, and what is random inside the
network stands in the checkpoint. Ctrl-C and SIGTERM are wishes, granted between two steps, when all has been kept.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from nbpipe.errors import WorkError
from nbpipe.stopping import Wish
from nbpipe.train.checkpoint import Checkpoint, finite, group, order_state, restore_order

CHECK = 20  # steps between looks at the loss on a GPU, which has to stop for each


@dataclass(frozen=True)
class Epoch:
    """One pass over the training part: mean loss, and loss and accuracy on the validation part after it."""

    number: int
    loss: float
    validation_loss: float
    validation_accuracy: float

    @property
    def values(self) -> dict[str, float]:
        """What is tracked of it."""
        return {name: value for name, value in vars(self).items() if name != "number"}


@dataclass(frozen=True)
class Patience:
    """When a search is over: when in none of so many epochs the validation loss fell by this share of the lowest.

    Loss, not accuracy: on a few hundred documents accuracy jumps by a point from epoch to epoch. learnt: it goes on
    while the training loss is above this share of the first epoch's, for then nothing has been learnt yet.
    """

    epochs: int
    fall: float
    learnt: float = 1.0

    def over(self, history: Sequence[Epoch]) -> bool:
        """Whether these epochs are enough."""
        waited = len(history) - self.best(history).number if history else 0
        return waited >= self.epochs and history[-1].loss <= self.learnt * history[0].loss

    def best(self, history: Sequence[Epoch]) -> Epoch:
        """Return the last epoch that was clearly better than all before it."""
        return reduce(lambda found, epoch: epoch if self._better(epoch, found) else found, history)

    def _better(self, epoch: Epoch, other: Epoch) -> bool:
        return epoch.validation_loss < other.validation_loss * (1 - self.fall)


class Learner(Protocol):
    """A network that learns, batch by batch, with all that the next step depends on."""

    network: nn.Module

    def plan(self, rows: np.ndarray, order: np.random.Generator) -> Sequence[Any]:
        """Return the batches of an epoch over these documents (int64 [M]), in the order to be learnt."""

    def load(self, batches: Sequence[Any]) -> Iterator[Any]:
        """Yield batches as they lie on the network's device; `train` does the same before each step."""

    def train(self, batches: Sequence[Any]) -> Generator[tuple[Tensor, int], None, None]:
        """Learn from batches, yielding each one's mean loss and number of documents; between two, ask for the state."""

    def loss(self, logits: Tensor, rows: np.ndarray) -> Tensor:
        """Return the mean loss of the logits [B, C] of documents (int64 [B])."""

    def result(self) -> nn.Module:
        """Return the network to score with, as it is after the last step."""

    def state(self) -> dict[str, Tensor]:
        """Return weights, random numbers and all else that the next step depends on, as it is now."""

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go back to a state."""


@dataclass
class Keeper:
    """Keeps a training on the disk: when it is time, and when somebody wishes it to end.

    common: tensors and facts of rounds that are over, kept with the state of the one at work.
    """

    checkpoint: Checkpoint
    wish: Wish
    common: Callable[[], tuple[dict[str, Tensor], dict[str, Any]]]

    def after_step(self, at_work: "Round") -> None:
        """Keep the round if it is time; if it is to end, keep it and end it."""
        if self.wish.number or self.checkpoint.due:
            tensors, facts = self.common()
            more, said = at_work.state()
            self.checkpoint.save(tensors | more, facts | said)
        if self.wish.number:
            self.wish.grant()


class Round:
    """Epochs of one learner over the same documents (rows: int64 [M]), each in an order of its own.

    done: how many epochs are over. aside: tensors of the caller's that belong to the state, such as sums of weights.
    """

    def __init__(self, name: str, learner: Learner, rows: np.ndarray, seed: int) -> None:
        self.name, self.learner, self.rows = name, learner, rows
        self.done, self.aside = 0, dict[str, Tensor]()
        self._order = np.random.default_rng(seed)
        self._began = order_state(self._order)
        self._step, self._seen = 0, 0
        self._loss = torch.zeros((), dtype=torch.float64)

    def epoch(self, after_step: Callable[["Round"], None] | None = None) -> float:
        """Learn from every document once, or from those that are left of an epoch, and return the mean loss.

        after_step: called between two steps. Raises WorkError where the loss is no number, on a GPU up to 20 steps
        late; the last good checkpoint stays.
        """
        self._began = order_state(self._order)
        batches = self.learner.plan(self.rows, self._order)
        with closing(self.learner.train(batches[self._step :])) as steps:  # what it set is set back before an error
            for loss, documents in steps:
                loss = loss.cpu() if loss.device.type == "mps" else loss  # which has no doubles
                self._loss = self._loss.to(loss.device) + loss.double() * documents
                self._seen, self._step = self._seen + documents, self._step + 1
                if loss.device.type == "cpu" or self._step % CHECK == 0 or self._step == len(batches):
                    self._check()
                if after_step and self._step < len(batches):
                    after_step(self)
        mean = self._loss.item() / max(self._seen, 1)
        self._loss, self._seen, self._step, self.done = torch.zeros_like(self._loss), 0, 0, self.done + 1
        self._began = order_state(self._order)
        return mean

    def _check(self) -> None:
        if not torch.isfinite(self._loss):
            raise diverged(f"the loss in epoch {self.done + 1}, step {self._step}, of the {self.name} round")

    def epochs(self, number: int, after_epoch: Callable[["Round", float], None] | None = None, **kept: Any) -> None:
        """Learn so many epochs in all, and leave the mean of the weights over the last two thirds in the network.

        After Polyak and Juditsky 1992. after_epoch: called with each mean loss; kept: as of `epoch`. Raises WorkError
        where a loss or a mean is no number.
        """
        network, first = self.learner.network, number // 3
        while self.done < number:
            loss = self.epoch(**kept)
            if self.done > first:
                sums = self.aside or {name: torch.zeros_like(value) for name, value in network.state_dict().items()}
                self.aside = {name: sums[name] + value for name, value in network.state_dict().items()}
            if after_epoch:
                after_epoch(self, loss)
        means = {name: value / (number - first) for name, value in self.aside.items()}
        if not finite(means):
            raise diverged(f"a mean of the weights after epoch {number} of the {self.name} round")
        network.load_state_dict(means)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return all that the rest of this round depends on: tensors, and facts as JSON values."""
        groups = {"learner": self.learner.state(), "aside": self.aside}
        tensors = {f"{own}.{name}": value for own, found in groups.items() for name, value in found.items()}
        facts = {"name": self.name, "done": self.done, "step": self._step, "seen": self._seen, "order": self._began}
        return tensors | {"loss": self._loss}, {"round": facts}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Go back to a state."""
        found = facts["round"]
        self.done, self._step, self._seen = found["done"], found["step"], found["seen"]
        self._loss = tensors["loss"]
        restore_order(self._order, found["order"])
        self._began = found["order"]
        places = {name: value.device for name, value in self.learner.network.state_dict().items()}
        self.aside = {name: value.to(places[name]) for name, value in group(tensors, "aside").items()}
        self.learner.restore(group(tensors, "learner"))


def diverged(what: str) -> WorkError:
    """Return the error that something of a training is not a finite number."""
    return WorkError(
        f"{what}, is not a finite number; the last checkpoint in model/, where there was time for one, is of before; "
        "try another seed or device, and look for odd documents"
    )
