import math
import signal
from collections.abc import Generator, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nbpipe.errors import StoppedError, WorkError
from nbpipe.stopping import Wish
from nbpipe.train.checkpoint import Checkpoint
from nbpipe.train.rounds import Epoch, Keeper, Patience, Round

ROWS, STEPS = np.arange(3, 23), 5


class Learner:
    """A linear layer with dropout, which learns from 4 documents a step; open: whether it is in the middle of some."""

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.network = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 2))
        self.inputs = torch.from_numpy(np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32))
        self.learnt, self.open = list[list[int]](), False

    def plan(self, rows: np.ndarray, order: np.random.Generator) -> list[np.ndarray]:
        return np.array_split(order.permutation(rows), STEPS)

    def train(self, batches: list[np.ndarray]) -> Generator[tuple[Tensor, int], None, None]:
        self.open = True
        try:
            for rows in batches:
                self.learnt.append(rows.tolist())
                yield self._step(torch.from_numpy(rows)), len(rows)
        finally:
            self.open = False

    def _step(self, rows: Tensor) -> Tensor:
        loss = functional.cross_entropy(self.network(self.inputs[rows]), rows % 2)
        for weight, slope in zip(
            self.network.parameters(), torch.autograd.grad(loss, [*self.network.parameters()]), strict=True
        ):
            weight.data -= slope
        return loss.detach()

    def state(self) -> dict[str, Tensor]:
        return self.network.state_dict() | {"random": torch.get_rng_state()}

    def restore(self, state: dict[str, Tensor]) -> None:
        state = dict(state)
        torch.set_rng_state(state.pop("random"))
        self.network.load_state_dict(state)


def made(seed: int = 0) -> Round:
    return Round("search", Learner(seed), ROWS, 0)


def states(round_: Round, epochs: int) -> Iterator[tuple[dict[str, Tensor], dict]]:
    """Train, and yield a copy of the state after every step and every epoch."""
    found = []

    def note(at_work: Round, *_: float) -> None:
        tensors, facts = at_work.state()
        found.append(({name: value.clone() for name, value in tensors.items()}, facts))

    round_.epochs(epochs, note, after_step=note)
    return iter(found)


def bias(round_: Round) -> Tensor:
    return round_.learner.network[1].bias


def test_a_round_that_is_taken_up_after_any_step_ends_the_same():
    unbroken = made()
    kept = list(states(unbroken, 4))
    assert len(kept) == 4 * STEPS
    for tensors, facts in kept:
        resumed = made(seed=9)
        resumed.restore(tensors, facts)
        resumed.epochs(4)
        assert torch.equal(bias(resumed), bias(unbroken))


def test_the_losses_of_a_resumed_round_are_those_of_an_unbroken_one():
    unbroken, losses = made(), []
    kept = list(states(unbroken, 3))
    made_again = made()
    made_again.epochs(3, lambda _, loss: losses.append(loss))
    resumed, left = made(seed=9), []
    resumed.restore(*kept[STEPS + 1])
    resumed.epochs(3, lambda _, loss: left.append(loss))
    assert left == losses[1:]
    assert len(set(losses)) == 3


def test_a_state_that_is_restored_is_the_state():
    tensors, facts = list(states(made(), 2))[STEPS + 2]
    resumed = made(seed=9)
    resumed.restore(tensors, facts)
    again, said = resumed.state()
    assert said == facts
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[name], tensors[name]) for name in tensors)


def test_every_epoch_reads_each_document_once_in_another_order():
    round_ = made()
    round_.epoch()
    round_.epoch()
    orders = [list(chain(*round_.learner.learnt[first : first + STEPS])) for first in (0, STEPS)]
    assert [sorted(order) for order in orders] == [ROWS.tolist()] * 2
    assert orders[0] != orders[1]


def test_a_loss_is_the_mean_over_documents():
    class Uneven(Learner):
        def plan(self, rows: np.ndarray, order: np.random.Generator) -> list[np.ndarray]:
            return [rows[:3], rows[3:4]]

        def _step(self, rows: Tensor) -> Tensor:
            return torch.tensor(1.0 if len(rows) == 3 else 5.0)

    assert Round("search", Uneven(), ROWS, 0).epoch() == 2.0


def test_the_weights_at_the_end_are_the_mean_of_the_last_two_thirds():
    round_, seen = made(), []
    round_.epochs(6, lambda at_work, _: seen.append(bias(at_work).detach().clone()))
    assert torch.allclose(bias(round_), torch.stack(seen[2:]).mean(0))


def test_a_loss_that_is_no_number_names_epoch_and_step():
    def poison(at_work: Round) -> None:
        if at_work.done == 1 and at_work.state()[1]["round"]["step"] == 2:
            bias(at_work).data[0] = math.nan

    with pytest.raises(WorkError, match=r"the loss in epoch 2, step 3, of the search round, is not a finite number"):
        made().epochs(3, after_step=poison)


def test_mean_weights_that_are_no_numbers_are_refused():
    def poison(at_work: Round, _: float) -> None:
        if at_work.done == 3:
            at_work.aside["1.bias"].fill_(math.inf)

    with pytest.raises(WorkError, match="mean of the weights after epoch 3 of the search round"):
        made().epochs(3, poison)


def test_what_a_learner_set_is_set_back_though_the_error_is_held():
    round_ = made()

    def stop(_: Round) -> None:
        raise StoppedError("now")

    with pytest.raises(StoppedError) as held:
        round_.epoch(stop)
    assert held.value
    assert not round_.learner.open


class Common:
    """Steps with a keeper, and what it keeps beside the round."""

    def __init__(self, folder: Path, every: float) -> None:
        self.path, self.wish = folder / "kept", Wish()
        checkpoint = Checkpoint(self.path, {}, every)
        self.keeper = Keeper(checkpoint, self.wish, lambda: ({"logits": torch.ones(2)}, {"history": [1]}))

    @property
    def kept(self) -> tuple[dict[str, Tensor], dict] | None:
        return Checkpoint(self.path, {}).load()


def test_a_keeper_keeps_when_it_is_time(tmp_path: Path):
    soon, late = Common(tmp_path / "soon", 0), Common(tmp_path / "late", 1e6)
    for common in (soon, late):
        common.keeper.after_step(made())
    tensors, facts = soon.kept
    assert facts["history"] == [1]
    assert facts["round"]["name"] == "search"
    assert {"logits", "learner.1.bias", "loss"} <= tensors.keys()
    assert late.kept is None


@pytest.mark.parametrize(("number", "error"), [(signal.SIGTERM, StoppedError), (signal.SIGINT, KeyboardInterrupt)])
def test_a_wish_to_end_is_granted_when_all_is_kept(tmp_path: Path, number: int, error: type[BaseException]):
    common = Common(tmp_path, 1e6)
    common.wish.number = number
    with pytest.raises(error):
        common.keeper.after_step(made())
    assert common.kept


def test_weights_gone_bad_leave_the_checkpoint_before_and_a_wish_is_granted_still(tmp_path: Path):
    common, round_ = Common(tmp_path, 0), made()
    common.keeper.after_step(round_)
    good = common.path.read_bytes()
    bias(round_).data.fill_(math.nan)
    common.wish.number = signal.SIGTERM
    with pytest.raises(StoppedError):
        common.keeper.after_step(round_)
    assert common.path.read_bytes() == good


def epochs(*losses: float) -> list[Epoch]:
    return [Epoch(number, 0.0, loss, 0.8) for number, loss in enumerate(losses, start=1)]


def test_the_best_epoch_has_a_clearly_lower_loss():
    patience = Patience(3, 0.001)
    assert patience.best(epochs(0.5, 0.4, 0.45)).number == 2
    assert patience.best(epochs(0.0, 0.0)).number == 1


def test_a_loss_that_creeps_is_not_better():
    creeping = epochs(*(0.773 - number * 1e-6 for number in range(12)))
    assert Patience(3, 0.001).best(creeping).number == 1


def test_many_small_falls_that_add_up_are_better():
    assert Patience(3, 0.001).best(epochs(*(1 - number * 4e-4 for number in range(1, 8)))).number == 7


def test_a_search_goes_on_while_nothing_has_been_learnt_yet():
    history = [Epoch(number, loss, 0.5, 0.8) for number, loss in enumerate((2.0, 1.7, 1.2), start=1)]
    assert Patience(1, 0.01).over(history)
    assert not Patience(1, 0.01, learnt=0.5).over(history)
    assert Patience(1, 0.01, learnt=0.6).over(history)
