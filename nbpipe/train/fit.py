"""Trains a network: epochs on the training part until the validation part stops gaining, then what its family needs.

Unusual: a bag is cheap, so the one that is kept learns anew from training and validation part together, as the
LinearSVC baseline does; of the families that cost minutes or hours, the weights of the best epoch are kept. All of it
can be stopped and goes on where it was, see rounds.py.
"""

import math
import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nbpipe import __version__
from nbpipe.config import Train
from nbpipe.copies import fetch
from nbpipe.errors import RequestError
from nbpipe.run import Run
from nbpipe.shown import Sentence, Shown, Table
from nbpipe.stopping import Wish, stoppable
from nbpipe.train.calibrate import fit_temperature, probabilities, threshold
from nbpipe.train.checkpoint import NAME, Checkpoint, group
from nbpipe.train.corpus import Documents
from nbpipe.train.families import Family, Inputs, Task, family
from nbpipe.train.labels import encoder_digest, labels_digest
from nbpipe.train.model import Classifier, pick_device
from nbpipe.train.rounds import Epoch, Keeper, Learner, Patience, Round, diverged
from nbpipe.train.scores import confidence, decide
from nbpipe.train.split import Parts
from nbpipe.train.tracking import Track, tracker

_TRIAL = 4
_IRRELEVANT = ("run", "device", "tracking", "target_accuracy")  # for what is learnt


@dataclass(frozen=True, eq=False, repr=False)
class Start(Shown):
    """What training starts from: the split, and all documents as the network reads them.

    vocabulary: of the training part; inputs: of every usable document; seconds: of making them; epoch_seconds:
    expected.
    """

    documents: Documents
    parts: Parts
    config: Train
    device: torch.device
    family: Family
    vocabulary: Any
    inputs: Inputs
    seconds: float
    epoch_seconds: float = 0.0

    def network(self) -> nn.Module:
        """Return the untrained network of the config's seed, on the device."""
        return _network(self, self.vocabulary)

    @cached_property
    def task(self) -> Task:
        """What is to be learnt of all usable documents."""
        parts = self.parts
        return Task(parts.truth, parts.weights(np.arange(len(parts.truth)), self.config.weighting), parts.multi)

    def learner(self, vocabulary: Any, inputs: Inputs) -> Learner:
        """Return a learner with an untrained network that reads these inputs."""
        return self.family.learner(_network(self, vocabulary), vocabulary, inputs, self.task)

    @property
    def identity(self) -> dict[str, Any]:
        """What tells this training from others, as JSON values: a checkpoint of another one is not its own."""
        config = {name: value for name, value in self.config.shareable().items() if name not in _IRRELEVANT}
        versions = {"nbpipe": __version__, "torch": torch.__version__}
        made_from = {"labels": labels_digest(self.config), "encoder": encoder_digest(self.config)}
        return {**versions, "config": config, "inputs": self.documents.inputs, **made_from}

    def shown(self) -> list[Table]:
        """What is to be trained, on what, and how long it may take."""
        most = self.epoch_seconds * self.config.epochs * (1 + self.family.again)
        most_of = f"{self.config.epochs} epochs" + (", and as many again" if self.family.again else "")
        rows = [
            ("documents to learn from", len(self.parts.rows("train"))),
            ("words", len(self.vocabulary) - 1),
            ("device", self.device.type),
            ("seconds to read the words, measured", self.seconds),
            ("seconds an epoch, expected", self.epoch_seconds),
            (f"seconds at most, expected, for {most_of}", most),
        ]
        return [Table(["before training", ""], rows)]


@dataclass(frozen=True, eq=False, repr=False)
class Training(Shown):
    """What training gave: the classifier that is kept, and the figures of every epoch.

    history: the epochs that looked for its length; again: the losses of those that then made it anew; curve: what was
    tracked; temperature: what its logits were divided by; notes: what happened on the way.
    """

    start: Start
    classifier: Classifier
    history: list[Epoch]
    again: list[float]
    curve: list[dict[str, Any]]
    temperature: float
    seconds: float
    notes: list[str]

    @property
    def best(self) -> Epoch:
        """The best epoch, as its family has it."""
        return self.start.family.patience.best(self.history)

    @property
    def losses(self) -> list[float]:
        """The validation loss after each epoch of the search."""
        return [epoch.validation_loss for epoch in self.history]

    @property
    def accuracies(self) -> list[float]:
        """The validation accuracy after each epoch of the search."""
        return [epoch.validation_accuracy for epoch in self.history]

    @property
    def expected(self) -> float:
        """The seconds that this many epochs were expected to take: those shown, and those of the final round."""
        return self.start.epoch_seconds * (len(self.history) + len(self.again))

    def shown(self) -> list[Table | Sentence]:
        """The epochs, with the seconds they took beside those expected."""
        rows = [(e.number, e.loss, e.validation_loss, e.validation_accuracy) for e in self.history]
        then = f"; then {len(self.again)} on training and validation part" if self.again else ", whose weights are kept"
        caption = (
            f"{len(rows)} of at most {self.start.config.epochs} epochs, the best is epoch {self.best.number}{then}. "
            f"Measured {self.seconds:.1f} s, expected {self.expected:.1f} s"
        )
        columns = ["epoch", "training loss", "validation loss", "validation accuracy"]
        return [Table(columns, rows, caption), *map(Sentence, self.notes)]


def prepare(documents: Documents, parts: Parts, config: Train) -> Start:
    """Turn all documents into what the network reads, by the words of the training part, and try a few steps.

    Raises RequestError for a device or an encoder that is absent, WorkError where the training part holds no words.
    """
    chosen, began = family(config), time.perf_counter()
    device = _device(config, chosen)
    vocabulary = chosen.vocabulary(documents, parts.rows("train"))
    inputs = chosen.inputs(vocabulary, documents)
    start = Start(documents, parts, config, device, chosen, vocabulary, inputs, time.perf_counter() - began)
    return replace(start, epoch_seconds=_trial(start))


def _device(config: Train, chosen: Family) -> torch.device:
    """Return the device to train on; networks that read windows keep means in 64 bits, which MPS has not."""
    device = pick_device(config.device)
    if device.type == "mps" and chosen.most:
        raise RequestError(f"device = 'mps': cannot train model = {config.model!r}; accepted is 'cpu' or 'auto'")
    return device


def _trial(start: Start) -> float:
    """Return the seconds an epoch may take, from a few steps of a network that is thrown away."""
    learner, rows = start.learner(start.vocabulary, start.inputs), start.parts.rows("train")
    batches = learner.plan(rows, np.random.default_rng(0))
    tried = batches[:: -(-len(batches) // _TRIAL)]
    for trial in (batches[:1], tried):  # the first pays for what is loaded on first use
        began = time.perf_counter()
        losses = [loss for loss, _ in learner.train(trial)]
        losses[-1].item()  # waits for the device
    return (time.perf_counter() - began) / len(tried) * len(batches)


def _network(start: Start, vocabulary: Any) -> nn.Module:
    torch.manual_seed(start.config.seed)
    return start.family.network(vocabulary, len(start.parts.labels)).to(start.device)


class _Found:
    """What training found so far: its epochs, the best one's validation logits, and its weights if they are kept."""

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self.history, self.again = list[Epoch](), list[float]()
        self.logits, self.weights = torch.zeros(0), dict[str, Tensor]()
        self._began = time.perf_counter()

    @property
    def best(self) -> int:
        return self.patience.best(self.history).number if self.history else 0

    @property
    def seconds(self) -> float:
        """Of work on it, those of attempts that were cut short among them."""
        return time.perf_counter() - self._began

    def add(self, epoch: Epoch, logits: Tensor) -> None:
        self.history.append(epoch)
        if self.best == epoch.number:
            self.logits = logits

    def over(self, epochs: int) -> bool:
        """Whether enough epochs were tried."""
        return len(self.history) >= epochs or self.patience.over(self.history)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {"logits": self.logits} | {f"weights.{name}": value for name, value in self.weights.items()}
        history = [vars(epoch) for epoch in self.history]
        return tensors, {"history": history, "again": self.again, "seconds": self.seconds}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        self.history, self.again = [Epoch(**epoch) for epoch in facts["history"]], facts["again"]
        self.logits, self.weights = tensors["logits"], group(tensors, "weights")
        self._began = time.perf_counter() - facts["seconds"]


def fit(start: Start) -> Training:
    """Train until the validation part no longer gains, as long as the family has patience.

    A bag then learns anew, on training and validation part, for as many epochs. What an earlier attempt kept is taken
    up. Ctrl-C and SIGTERM end it when what is done has been kept (KeyboardInterrupt, StoppedError); WorkError where the
    loss is no number.
    """
    config, run = start.config, Run(start.config.run)
    run.fetch("model/*")
    fetch(run.folder, "tracking/*", prune=False)  # others may write there what is put there later
    with tracker(config.tracking, run.tracking, config.shareable()) as track, stoppable() as wish:
        fitting = _Fitting(start, Checkpoint(run.model / NAME, start.identity), wish, track)
        vocabulary, network = fitting.search()
        if start.family.again:
            vocabulary, network = fitting.final()
    return _finished(fitting, vocabulary, network)


class _Fitting:
    """A training at work, and what an earlier attempt at it kept."""

    def __init__(self, start: Start, checkpoint: Checkpoint, wish: Wish, track: Track) -> None:
        self.start, self.track, self.found = start, track, _Found(start.family.patience)
        self.keeper = Keeper(checkpoint, wish, self.found.state)
        self.kept = checkpoint.load()
        self.notes = list[str]()
        if self.kept:
            self.found.restore(*self.kept)
            at = self.kept[1]["round"]
            done = f"{at['done']} epochs and {at['step']} steps"
            self.notes.append(f"Taken up from a checkpoint, after {done} of the {at['name']} round.")

    def search(self) -> tuple[Any, nn.Module]:
        """Train on the training part until the validation part stops gaining; return the best epoch's network."""
        start, found, rows = self.start, self.found, self.start.parts.rows("validation")
        truth, held = start.parts.truth[rows], start.inputs.take(rows)
        learner = start.learner(start.vocabulary, start.inputs)
        round_ = self._round("search", learner, start.parts.rows("train"))
        while not found.over(start.config.epochs):
            loss = round_.epoch(self.keeper.after_step)
            network = learner.result()
            logits = start.family.score(network, held, start.device)
            right = (decide(probabilities(logits.numpy(), start.parts.multi), start.parts.multi) == truth).all(axis=1)
            epoch = Epoch(round_.done, loss, learner.loss(logits, rows).item(), float(right.mean()))
            if not math.isfinite(epoch.validation_loss):
                raise diverged(f"the validation loss after epoch {epoch.number}")
            found.add(epoch, logits)
            if found.best == round_.done and not start.family.again:
                found.weights = network.state_dict()
            self.track(round_.done, found.history[-1].values)
            self.keeper.after_step(round_)
        learner.network.load_state_dict(found.weights or learner.network.state_dict())
        return start.vocabulary, learner.network

    def final(self) -> tuple[Any, nn.Module]:
        """Train anew on training and validation part; return the mean of the weights over the last two thirds."""
        start, found, keeper = self.start, self.found, self.keeper
        rows = start.parts.rows("train", "validation")
        vocabulary = start.family.vocabulary(start.documents, rows)
        learner = start.learner(vocabulary, start.family.inputs(vocabulary, start.documents))

        def note(round_: Round, loss: float) -> None:
            found.again.append(loss)
            self.track(len(found.history) + round_.done, {"loss": loss})
            keeper.after_step(round_)

        round_ = self._round("final", learner, rows)
        round_.epochs(len(found.history), note, after_step=keeper.after_step)
        return vocabulary, learner.network

    def _round(self, name: str, learner: Learner, rows: np.ndarray) -> Round:
        """Return a round as it was kept, from its start where it was not."""
        round_ = Round(name, learner, rows, self.start.config.seed)
        if self.kept and self.kept[1]["round"]["name"] == name:
            round_.restore(*self.kept)
        return round_


def _finished(fitting: _Fitting, vocabulary: Any, network: nn.Module) -> Training:
    """Calibrate the network by the best epoch's answers to the validation part, and return what training gave."""
    start, found = fitting.start, fitting.found
    truth, multi = start.parts.truth[start.parts.rows("validation")], start.parts.multi
    temperature = fit_temperature(found.logits.numpy(), truth, multi)
    shares = probabilities(found.logits.numpy(), multi, temperature)
    right = (decide(shares, multi) == truth).all(axis=1)
    level = threshold(confidence(shares, multi), right, start.config.target_accuracy)
    with torch.no_grad():
        for parameter in network.output.parameters():
            parameter.div_(temperature)
    classifier = Classifier(network.eval(), vocabulary, start.parts.labels, start.device, start.family, multi, level)
    curve = fitting.track.lines
    return Training(start, classifier, found.history, found.again, curve, temperature, found.seconds, fitting.notes)
