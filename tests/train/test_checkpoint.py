import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from nbpipe.train import checkpoint as module
from nbpipe.train.checkpoint import (
    Checkpoint,
    finite,
    group,
    optimizer_state,
    order_state,
    restore_optimizer,
    restore_order,
)

IDENTITY = {"torch": "2.0", "config": {"seed": 0, "model": "gru"}, "inputs": {"00000-of-00001": "ab"}}
TENSORS = {"weights": torch.arange(6.0).reshape(2, 3).T, "step": torch.tensor(3), "random": torch.get_rng_state()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model" / module.NAME


@pytest.fixture
def kept(path: Path) -> Path:
    """A checkpoint on the disk."""
    assert Checkpoint(path, IDENTITY).save(TENSORS, {"epoch": 3})
    return path


def test_what_is_kept_comes_back_as_it_was(kept: Path):
    shared = torch.ones(3)
    tensors = TENSORS | {"one": shared, "same": shared, "empty": torch.zeros(0), "flag": torch.tensor(True)}
    Checkpoint(kept, IDENTITY).save(tensors, {"round": {"name": "search", "loss": 0.1}})
    found, facts = Checkpoint(kept, IDENTITY).load()
    assert facts == {"round": {"name": "search", "loss": 0.1}}
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], value) and found[name].dtype == value.dtype for name, value in tensors.items())


def test_nothing_kept_is_nothing_found(path: Path):
    assert Checkpoint(path, IDENTITY).load() is None


@pytest.mark.parametrize(
    "other",
    [{"torch": "2.1"}, {"inputs": {"00000-of-00001": "cd"}}, {"config": {"seed": 1, "model": "gru"}}, {"labels": "x"}],
)
def test_the_checkpoint_of_another_training_is_not_taken(kept: Path, other: dict[str, object]):
    assert Checkpoint(kept, IDENTITY | other).load() is None
    assert Checkpoint(kept, IDENTITY).load() is not None


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:5],
        lambda data: data[:200],
        lambda data: data[:-1],
        lambda data: data + b"more",
        lambda data: b"\xff" * len(data),
        lambda data: b"not a checkpoint",
        lambda data: data.replace(b'"facts"', b'"fakes"'),
        lambda data: data.replace(rb"\"torch\"", rb"\"torch\x"),
    ],
)
def test_a_damaged_file_is_nothing_kept(kept: Path, damage: Callable[[bytes], bytes]):
    data = kept.read_bytes()
    kept.write_bytes(damage(data))
    assert kept.read_bytes() != data
    assert Checkpoint(kept, IDENTITY).load() is None


def test_a_folder_in_its_place_is_nothing_kept(path: Path):
    path.mkdir(parents=True)
    assert Checkpoint(path, IDENTITY).load() is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_never_kept(kept: Path, bad: float):
    before = kept.read_bytes()
    assert not Checkpoint(kept, IDENTITY).save(TENSORS | {"bias": torch.tensor([0, bad])}, {"epoch": 4})
    assert kept.read_bytes() == before
    assert not finite({"half": torch.tensor([bad], dtype=torch.bfloat16)})


def test_a_checkpoint_that_cannot_be_written_is_said_and_leaves_the_one_before(
    kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def full(tensors: object, draft: Path, **_: object) -> None:
        draft.write_bytes(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr(module, "save_file", full)
    assert not Checkpoint(kept, IDENTITY).save(TENSORS, {"epoch": 4})
    assert "cannot be written (no space left on device); training goes on" in capsys.readouterr().err
    assert Checkpoint(kept, IDENTITY).load()[1] == {"epoch": 3}
    assert list(kept.parent.iterdir()) == [kept]


def test_it_is_due_when_its_time_has_passed_and_again_after_each(path: Path, monkeypatch: pytest.MonkeyPatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    found = Checkpoint(path, IDENTITY, every=10)
    due = []
    for now[0] in (109.0, 110.0):
        due.append(found.due)
    found.save(TENSORS, {})
    for now[0] in (119.0, 120.0):
        due.append(found.due)
    assert due == [False, True, False, True]


def test_slow_writing_takes_a_twentieth_of_the_time_at_most(path: Path, monkeypatch: pytest.MonkeyPatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(module, "save_file", lambda _, draft, **__: (draft.touch(), now.__setitem__(0, 30.0)))
    found = Checkpoint(path, IDENTITY, every=120)
    found.save(TENSORS, {})
    now[0] = 30.0 + 599
    assert not found.due
    now[0] = 30.0 + 600
    assert found.due


def test_an_order_goes_on_where_it_was():
    order = np.random.default_rng(5)
    order.permutation(10)
    state = json.loads(json.dumps(order_state(order)))
    ahead = [order.permutation(10).tolist() for _ in range(2)]
    other = np.random.default_rng(0)
    restore_order(other, state)
    assert [other.permutation(10).tolist() for _ in range(2)] == ahead
    restore_order(order, state)
    assert order.permutation(10).tolist() == ahead[0]


def test_a_group_is_found_by_its_name_and_a_dot():
    tensors = {"aside.bias": torch.ones(1), "asides": torch.ones(2), "learner.aside.x": torch.ones(3)}
    assert list(group(tensors, "aside")) == ["bias"]
    assert list(group(tensors, "learner")) == ["aside.x"]


@pytest.mark.parametrize("sparse", [False, True])
def test_an_optimizer_goes_on_where_another_was(sparse: bool):
    def step(table: torch.nn.Embedding, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        table(torch.tensor([0, 2])).square().sum().backward()
        optimizer.step()

    torch.manual_seed(0)
    one, other = (torch.nn.Embedding(3, 2, sparse=sparse) for _ in range(2))
    kind = torch.optim.SparseAdam if sparse else torch.optim.Adam
    ours, theirs = kind(one.parameters(), 0.1), kind(other.parameters(), 0.1)
    step(one, ours)
    other.load_state_dict(one.state_dict())
    restore_optimizer(theirs, optimizer_state(ours))
    for table, optimizer in ((one, ours), (other, theirs)):
        step(table, optimizer)
    assert torch.equal(one.weight, other.weight)
