"""Trains the network: the untrained one first, then epochs until the validation part stops gaining, then once more.

Unusual: a step touches only the vectors of the words in its batch, so its cost does not grow with the vocabulary. Their
rates lie between plain descent and Adagrad (Duchi et al. 2011): divided by the sum of squared gradients to the power of
POWER, not 1/2, since Adagrad's large steps for rare words cost accuracy on small corpora. The loss is LinearSVC's: the
squared hinge, each label against the rest; a temperature fitted on the validation part (Guo et al. 2017) turns margins
into probabilities. The network that is kept learns from training and validation part, as the LinearSVC baseline does,
for twice the epochs that were best, and is the mean over the last two thirds of them (Polyak and Juditsky 1992): on
corpora of a hundred to a thousand documents that was worth one to four points of accuracy.
"""

import time
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional

from nbpipe.config import Train
from nbpipe.errors import WorkError
from nbpipe.shown import Shown, Table
from nbpipe.train.model import Bag, Classifier, batch, pick_device, score
from nbpipe.train.split import Parts
from nbpipe.train.text import Bags, Counts, Vocabulary, count

RATE, POWER, HEAD_RATE = 0.5, 0.1, 0.003
STEPS, LEAST_BATCH, MOST_BATCH = 20, 8, 512
PATIENCE = 3
AGAIN = 2  # times the best number of epochs
_TRIAL = 4
_SHARPNESS = (1.0, 6.0)  # of margins: from as they are to sure; a few validation documents must not decide beyond


@dataclass(frozen=True)
class Epoch:
    """One pass over the training part: mean loss, and loss and accuracy on the validation part after it."""

    number: int
    loss: float
    validation_loss: float
    validation_accuracy: float


@dataclass(frozen=True, eq=False, repr=False)
class Start(Shown):
    """What training starts from: the split, the words of all documents, and the vocabulary of the training part.

    bags: every document's; seconds: of counting and weighing words; epoch_seconds: expected, per epoch.
    """

    parts: Parts
    config: Train
    device: torch.device
    counts: Counts
    vocabulary: Vocabulary
    bags: Bags
    seconds: float
    epoch_seconds: float = field(default=0.0)

    def network(self) -> Bag:
        """Return the untrained network of the config's seed, on the device."""
        return _network(self, self.vocabulary)

    def shown(self) -> list[Table]:
        """What is to be trained, on what, and how long it may take."""
        most = self.epoch_seconds * self.config.epochs * (1 + AGAIN)
        rows = [
            ("documents to learn from", len(self.parts.rows("train"))),
            ("words", len(self.vocabulary) - 1),
            ("device", self.device.type),
            ("seconds to weigh the words, measured", self.seconds),
            ("seconds an epoch, expected", self.epoch_seconds),
            (f"seconds at most, expected, for {self.config.epochs} epochs, and {AGAIN} times as many again", most),
        ]
        return [Table(["before training", ""], rows)]


@dataclass(frozen=True, eq=False, repr=False)
class Training(Shown):
    """What training gave: the classifier that is kept, and the figures of every epoch that looked for its length."""

    start: Start
    classifier: Classifier
    history: list[Epoch]
    seconds: float

    @property
    def best(self) -> Epoch:
        """The epoch with the highest validation accuracy, of equal ones that with the lowest loss."""
        return max(self.history, key=_merit)

    @property
    def expected(self) -> float:
        """The seconds that this many epochs were expected to take: those shown, and twice the best number."""
        return self.start.epoch_seconds * (len(self.history) + AGAIN * self.best.number)

    def shown(self) -> list[Table]:
        """The epochs, with the seconds they took beside those expected."""
        rows = [(e.number, e.loss, e.validation_loss, e.validation_accuracy) for e in self.history]
        caption = (
            f"{len(rows)} of at most {self.start.config.epochs} epochs, the best is epoch {self.best.number}; then "
            f"{AGAIN * self.best.number} on training and validation part. "
            f"Measured {self.seconds:.1f} s, expected {self.expected:.1f} s"
        )
        return [Table(["epoch", "training loss", "validation loss", "validation accuracy"], rows, caption)]


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
    start = Start(parts, config, device, counts, vocabulary, bags, time.perf_counter() - began)
    return Start(parts, config, device, counts, vocabulary, bags, start.seconds, _trial(start))


def _trial(start: Start) -> float:
    """Return the seconds an epoch may take, from a few steps of a network that is thrown away."""
    learner, rows = _Learner(start.network(), start.device), start.parts.rows("train")
    size = batch_size(len(rows))
    few = rows[: size * _TRIAL]
    learner.epoch(start.bags.take(few), _targets(start, few), size)  # pays for what is loaded on first use
    began = time.perf_counter()
    learner.epoch(start.bags.take(few), _targets(start, few), size)
    return (time.perf_counter() - began) / len(few) * len(rows)


def batch_size(documents: int) -> int:
    """Return how many documents make a step: about 20 steps an epoch, 8 to 512 documents each."""
    return min(max(documents // STEPS, LEAST_BATCH), MOST_BATCH)


def fit(start: Start) -> Training:
    """Train until validation accuracy has not risen for 3 epochs; then anew, on training and validation part.

    Of epochs with equal accuracy the lower loss is better. The second round has twice the best number of epochs; what
    is kept is the mean of its weights over the last two thirds.
    """
    began = time.perf_counter()
    history, sharpness = _search(start)
    rows = start.parts.rows("train", "validation")
    vocabulary = Vocabulary.of(start.counts.take(rows))
    network = _network(start, vocabulary)
    _learn(start, network, vocabulary.weigh(start.counts), rows, AGAIN * max(history, key=_merit).number)
    with torch.no_grad():
        for parameter in network.output.parameters():
            parameter.mul_(sharpness)
    classifier = Classifier(network.eval(), vocabulary, start.parts.labels, start.device)
    return Training(start, classifier, history, time.perf_counter() - began)


def _search(start: Start) -> tuple[list[Epoch], float]:
    """Train on the training part alone; return every epoch, and how much the best one's margins are to be sharpened."""
    learner, rows = _Learner(start.network(), start.device), start.parts.rows("train")
    held, validation = start.bags.take(start.parts.rows("validation")), start.parts.rows("validation")
    targets, chance = _targets(start, validation), np.random.default_rng(start.config.seed)
    history: list[Epoch] = []
    best, margins = 0, torch.zeros(0)
    for number in range(1, start.config.epochs + 1):
        loss = _pass(learner, start, start.bags, rows[chance.permutation(len(rows))])
        logits = score(learner.network, held, start.device)
        accuracy = (logits.argmax(1) == targets).float().mean().item()
        history.append(Epoch(number, loss, hinge(logits, targets).item(), accuracy))
        if max(history, key=_merit) is history[-1]:
            best, margins = number, logits
        if number - best >= PATIENCE:
            break
    return history, _sharpness(margins, targets)


def _learn(start: Start, network: Bag, bags: Bags, rows: np.ndarray, epochs: int) -> None:
    """Train on these documents, and leave the mean of the weights over the last two thirds of the epochs."""
    learner, chance = _Learner(network, start.device), np.random.default_rng(start.config.seed)
    first = epochs // 3
    sums = {name: torch.zeros_like(value) for name, value in network.state_dict().items()}
    for number in range(epochs):
        _pass(learner, start, bags, rows[chance.permutation(len(rows))])
        for name, value in network.state_dict().items() if number >= first else ():
            sums[name] += value
    network.load_state_dict({name: value / (epochs - first) for name, value in sums.items()})


def _merit(epoch: Epoch) -> tuple[float, float]:
    return epoch.validation_accuracy, -epoch.validation_loss


def _sharpness(margins: Tensor, targets: Tensor) -> float:
    """Return the factor on the margins whose softmax gives the targets the highest likelihood."""
    found = minimize_scalar(
        lambda factor: functional.cross_entropy(margins * factor, targets).item(), bounds=_SHARPNESS, method="bounded"
    )
    return float(found.x)


def hinge(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the squared hinge loss of logits [B, C], each label against the rest: mean over documents."""
    signs = functional.one_hot(targets, logits.shape[1]) * 2 - 1
    return (1 - signs * logits).clamp_min(0).square().sum(1).mean()


def _network(start: Start, vocabulary: Vocabulary) -> Bag:
    torch.manual_seed(start.config.seed)
    return Bag(len(vocabulary), len(start.parts.labels)).to(start.device)


def _targets(start: Start, rows: np.ndarray) -> Tensor:
    return torch.from_numpy(start.parts.targets[rows])


def _pass(learner: "_Learner", start: Start, bags: Bags, order: np.ndarray) -> float:
    """Train on these documents once, in this order, and return the mean loss."""
    return learner.epoch(bags.take(order), _targets(start, order), batch_size(len(order)))


class _Learner:
    """A network with the state of its optimizers."""

    def __init__(self, network: Bag, device: torch.device) -> None:
        self.network, self.device = network, device
        self.squares = torch.zeros(network.embedding.num_embeddings, device=device)
        self.adam = torch.optim.Adam([network.bias, *network.output.parameters()], HEAD_RATE)

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
        loss = hinge(self.network.head(hidden), targets)
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        gradient = vectors.grad * len(targets)
        squares = self.squares.index_select(0, rows) + gradient.square().mean(1)
        self.squares.index_copy_(0, rows, squares)
        pace = -RATE * squares.clamp_min(1e-20).pow(-POWER)
        table.index_add_(0, rows, gradient * pace[:, None])
        return loss.detach()
