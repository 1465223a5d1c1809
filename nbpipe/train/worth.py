"""Does the GPU pay? What an epoch of each family takes on the CPU and on the GPU, in seconds and dollars.

Unusual: it measures instead of promising. Each family learns from some of the user's own documents, on every device
that is here, and the advice follows by arithmetic. "Stay on the VM" is a valid answer.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from nbpipe.config import Train
from nbpipe.cost import GPUS, Terms, dollars, duration, kept_terms
from nbpipe.run import Run
from nbpipe.shown import Sentence, Shown, Table
from nbpipe.train.corpus import Documents
from nbpipe.train.families import FAMILIES, Family, Task, family
from nbpipe.train.split import Parts

SAMPLE = 32  # documents that are tried
REPEATED = 2048  # of a family whose steps are cheap, with some documents many times: its steps grow with their number
SMALL = 600.0  # seconds of training on the CPU below which no other machine is worth starting


@dataclass(frozen=True)
class Pace:
    """What an epoch of one family takes on one device: seconds, and the share of them that moves data."""

    family: str
    device: str
    seconds: float
    moving: float


@dataclass(frozen=True, eq=False, repr=False)
class Worth(Shown):
    """The pace of each family on each device, and what that means for the family that is to be trained.

    epochs: how many there are at most.
    """

    paces: Sequence[Pace]
    chosen: str
    epochs: int
    terms: Terms

    @property
    def advice(self) -> Sentence:
        """One sentence: stay on the VM, or take the GPU, and why."""
        cpu, gpu = self._of("cpu"), self._of(*GPUS)
        times = self.terms.gpu_price / self.terms.vm_price if self.terms.vm_price else np.inf
        most = f"{self.chosen} takes at most {duration(cpu.seconds * self.epochs)} of epochs here"
        price = f"a GPU at ${self.terms.gpu_price:,.2f} an hour costs {times:,.1f} times this machine"
        if cpu.seconds * self.epochs <= SMALL:
            return Sentence(f"Stay on the VM: {most}, and {price}.")
        if gpu is None:
            return Sentence(f"Try a GPU: {most}; {price}, and pays where it is more than {times:,.1f} times as fast.")
        faster = cpu.seconds / gpu.seconds
        ratio = f"for {self.chosen} the GPU is {faster:,.1f} times as fast and costs {times:,.1f} times as much"
        if faster > times:
            return Sentence(f"Take the GPU: {ratio}; it is sooner done and cheaper.")
        return Sentence(f"Stay on the VM unless you are in a hurry: {ratio}.")

    def _of(self, *devices: str) -> Pace | None:
        return next((pace for pace in self.paces if pace.family == self.chosen and pace.device in devices), None)

    def facts(self) -> list[dict[str, Any]]:
        """Return the paces as JSON types."""
        return [
            {"family": pace.family, "device": pace.device, "epoch_seconds": pace.seconds, "moving": pace.moving}
            for pace in self.paces
        ]

    def shown(self) -> list[Table | Sentence]:
        """The paces with their prices, and the advice."""
        rows = [
            (
                pace.family,
                pace.device,
                duration(pace.seconds),
                f"{pace.moving:.0%}",
                dollars(pace.seconds / 3600 * self.terms.price(pace.device)),
            )
            for pace in self.paces
        ]
        absent = [] if any(pace.device in GPUS for pace in self.paces) else [("any", "GPU", "none here", "", "")]
        columns = ["family", "device", "an epoch", "of it moving data", "an epoch costs"]
        return [Table(columns, [*rows, *absent]), self.advice]


def worth(documents: Documents, parts: Parts, config: Train) -> Worth:
    """Measure a few steps of each family on each device that is here, on some documents of the training part.

    The pretrained family is measured only where it is the one to be trained. Prices are those that `nbpipe plan` kept
    in the run, else the usual ones.
    """
    sample, rows = documents.sample(parts.rows("train"), SAMPLE, config.bigrams)
    task = Task(parts.truth[rows], np.ones(len(rows), np.float32), parts.multi)
    devices = [torch.device("cpu"), *([torch.device("cuda")] if torch.cuda.is_available() else [])]
    paces = []
    for name in FAMILIES:
        if name != "pretrained" or config.model == name:
            chosen = family(config if name == config.model else Train(run=config.run, model=name))
            whole = _words(documents, parts.rows("train"), chosen.most)
            paces += [_pace(chosen, sample, task, device, whole) for device in devices]
    return Worth(paces, config.model, config.epochs, kept_terms(Run(config.run).forecast))


def _words(documents: Documents, rows: np.ndarray, most: int) -> int:
    """Return how many words of these documents an epoch reads, at most `most` of each where that is not 0."""
    lengths = np.add.reduceat(np.append(documents.counts.times, 0), documents.counts.offsets[:-1])
    lengths = (lengths * (np.diff(documents.counts.offsets) > 0))[rows]
    return max(int((np.minimum(lengths, most) if most else lengths).sum()), 1)


def _pace(chosen: Family, sample: Documents, task: Task, device: torch.device, whole: int) -> Pace:
    """Measure an epoch over the sample, and return the pace of one over `whole` words."""
    rows = np.arange(len(task.truth))
    vocabulary = chosen.vocabulary(sample, rows)
    network = chosen.network(vocabulary, task.truth.shape[1]).to(device)
    learner = chosen.learner(network, vocabulary, chosen.inputs(vocabulary, sample), task)
    tried = rows if chosen.most else np.resize(rows, REPEATED)
    batches = learner.plan(tried, np.random.default_rng(0))
    list(learner.train(batches[:1]))  # pays for what is loaded on first use
    moving, seconds = (_measured(lambda work=work: work(batches), device) for work in (learner.load, learner.train))
    times = whole / _words(sample, tried, chosen.most)
    return Pace(chosen.name, device.type, seconds * times, min(moving / seconds, 1.0))


def _measured(work: Callable[[], Iterable[Any]], device: torch.device) -> float:
    """Return the seconds of some work on a device."""
    began = time.perf_counter()
    for _ in work():
        pass
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began
