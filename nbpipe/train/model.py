"""The classifier: a network with what turns text into its inputs, and the labels it gives.

Unusual: it answers, and also says when it would rather not: below `threshold` an answer is left to a person. Its
calibration is part of its last layer, so whoever reads its logits reads calibrated ones.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from nbpipe.audit import as_json
from nbpipe.errors import NbpipeError, RequestError, WorkError
from nbpipe.run import write
from nbpipe.train.calibrate import probabilities
from nbpipe.train.families import BAG, Family, Inputs, restored
from nbpipe.train.labels import BAR
from nbpipe.train.scores import confidence, decide, joined
from nbpipe.train.text import RULE


def pick_device(name: str) -> torch.device:
    """Return the device of this name; auto takes CUDA, else the CPU. Raises RequestError where it is absent."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    found = [device for device, there in present.items() if there]
    if name == "auto":
        return torch.device("cuda" if present["cuda"] else "cpu")
    if name not in found:
        raise RequestError(f"device = {name!r}: not on this machine; accepted here: {', '.join(['auto', *found])}")
    return torch.device(name)


@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained network, what turns text into its inputs, and the labels it gives, sorted.

    multi: whether a document may get several labels; threshold: answers that are less sure are left to a person,
    infinity where all are.
    """

    network: nn.Module
    vocabulary: Any
    labels: list[str]
    device: torch.device
    family: Family = BAG
    multi: bool = False
    threshold: float = 0.0

    def __repr__(self) -> str:
        return f"{self.family.name} classifier of {len(self.labels)} labels, {self.vocabulary!r}, on {self.device.type}"

    @property
    def facts(self) -> dict[str, Any]:
        """What the network is made with, as JSON types: its sizes, and for pretrained the encoder."""
        return self.family.facts(self.network, self.vocabulary)

    def read(self, texts: pl.Series) -> Inputs:
        """Return texts as the network reads them."""
        return self.family.read(self.vocabulary, texts)

    def logits(self, texts: pl.Series) -> Tensor:
        """Return the logits [N, C] of texts, calibrated, on the CPU."""
        return self.family.score(self.network, self.read(texts), self.device)

    def hidden(self, texts: pl.Series) -> Tensor:
        """Return what the network's output layer sees of texts [N, P], on the CPU: where they lie for the model."""
        return self.family.hidden(self.network, self.read(texts), self.device)

    def probabilities(self, texts: pl.Series) -> np.ndarray:
        """Return the probability of each label, float32 [N, C]."""
        return probabilities(self.logits(texts).numpy(), self.multi)

    def answers(self, texts: pl.Series) -> tuple[list[str], np.ndarray]:
        """Return the label of each text, several joined by |, and how sure the answers are, float32 [N]."""
        shares = self.probabilities(texts)
        labels = [joined(row, self.labels) for row in decide(shares, self.multi)]
        return labels, confidence(shares, self.multi)

    def truth(self, given: Sequence[str]) -> np.ndarray:
        """Return which of its labels documents hold, bool [N, C]; given: their labels as people see them."""
        held = [set(labels.split(BAR)) if self.multi else {labels} for labels in given]
        return np.array([[label in own for label in self.labels] for own in held]).reshape(len(held), len(self.labels))

    def save(self, folder: Path) -> None:
        """Write weights.safetensors, config.json, labels.json, and the vocabulary."""
        self.family.save(self.vocabulary, self.network, folder)
        write(folder / "labels.json", as_json(self.labels))
        level = None if math.isinf(self.threshold) else self.threshold
        facts = {"family": self.family.name, "multi": self.multi, "threshold": level, "rule": RULE}
        write(folder / "config.json", as_json(facts | {"network": self.facts}))

    @classmethod
    def load(cls, folder: Path, device: str = "auto") -> Self:
        """Read a classifier from a model folder; raise WorkError where a file is missing or does not fit the others."""
        place = pick_device(device)
        try:
            facts = json.loads((folder / "config.json").read_bytes())
            labels = _labels(folder / "labels.json")
            family, vocabulary, network = restored(facts["family"], folder, facts["network"])
            level = math.inf if facts["threshold"] is None else float(facts["threshold"])
            multi = bool(facts["multi"])
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            if isinstance(error, NbpipeError):
                raise
            raise WorkError(
                f"{folder.name}: no model that can be read ({type(error).__name__}: {error}); train again"
            ) from None
        if len(labels) != network.output.out_features:
            raise WorkError(f"{folder.name}: vocabulary, labels and weights differ in size; train again")
        return cls(network.to(place).eval(), vocabulary, labels, place, family, multi, level)


def _labels(file: Path) -> list[str]:
    labels = json.loads(file.read_bytes())
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ValueError(f"{file.name} holds no list of labels")
    return labels
