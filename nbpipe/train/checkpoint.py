"""What training keeps on the disk while it runs, so that a machine that is taken away costs minutes, not hours.

Unusual: a checkpoint is one safetensors file whose header holds the rest (epoch, step, order), so it is whole or not
there at all. It says of which documents, parameters and versions it is; for any other training it does not exist.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer, SparseAdam

from nbpipe.errors import WorkError
from nbpipe.progress import say
from nbpipe.run import replacing

NAME = ".checkpoint.safetensors"  # the dot keeps it out of receipts
EVERY = 120.0  # seconds between two checkpoints
_SHARE = 0.05  # of all time is spent on them, at most
_FACTS, _IDENTITY = "facts", "identity"


@dataclass
class Checkpoint:
    """The checkpoint of one training. identity: JSON values that tell this training from any other."""

    path: Path
    identity: Mapping[str, Any]
    every: float = EVERY
    _due: float = field(init=False)

    def __post_init__(self) -> None:
        """Count the time to the first one from now."""
        self._due = time.monotonic() + self.every

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return the tensors and facts that were kept, None where nothing is kept of this very training."""
        try:
            with safe_open(self.path, framework="pt") as file:
                header = file.metadata() or {}
                if json.loads(header[_IDENTITY]) != json.loads(json.dumps(self.identity)):
                    return None
                return {name: file.get_tensor(name) for name in file.keys()}, json.loads(header[_FACTS])  # noqa: SIM118
        except (OSError, SafetensorError, ValueError, KeyError):
            return None

    @property
    def due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() >= self._due

    def save(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> bool:
        """Keep tensors and facts in place of what was kept before, and return whether it was done.

        It is not where a number is not finite, so what lies on the disk is always good; nor where it cannot be written,
        which is said.
        """
        began = time.monotonic()
        good = finite(tensors)
        if good:
            whole = {name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()}
            header = {_IDENTITY: json.dumps(self.identity), _FACTS: json.dumps(facts)}
            try:
                with replacing(self.path) as draft:
                    save_file(whole, draft, metadata=header)
            except (OSError, WorkError, SafetensorError) as error:  # a full disk, say: hours of training are worth more
                say(f"the checkpoint cannot be written ({error}); training goes on, make room for the next")
                good = False
        now = time.monotonic()
        self._due = now + max(self.every, (now - began) / _SHARE)
        return good


def group(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return the tensors whose names start with `name` and a dot, by the rest of their names."""
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}


def optimizer_state(optimizer: Optimizer) -> dict[str, Tensor]:
    """Return what an optimizer remembers of each parameter, by its number and the thing's name: 0.exp_avg."""
    kept = optimizer.state_dict()["state"]
    return {f"{n}.{name}": torch.as_tensor(value) for n, values in kept.items() for name, value in values.items()}


def restore_optimizer(optimizer: Optimizer, state: Mapping[str, Tensor]) -> None:
    """Give an optimizer what `optimizer_state` returned of one that was made alike; the tensors are copied."""
    values: dict[int, dict[str, Tensor | int]] = {}
    for key, value in state.items():
        number, name = key.split(".")
        counted = isinstance(optimizer, SparseAdam) and name == "step"  # which counts its steps in plain numbers
        values.setdefault(int(number), {})[name] = int(value) if counted else value.clone()
    optimizer.load_state_dict({"state": values, "param_groups": optimizer.state_dict()["param_groups"]})


def finite(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether all numbers of these tensors are finite."""
    return all(bool(torch.isfinite(value).all()) for value in tensors.values() if value.is_floating_point())


def order_state(order: np.random.Generator) -> dict[str, Any]:
    """Return the state of a generator of orders, as JSON values."""
    return dict(order.bit_generator.state)


def restore_order(order: np.random.Generator, state: Mapping[str, Any]) -> None:
    """Set a generator of orders to a state that `order_state` returned."""
    order.bit_generator.state = dict(state)
