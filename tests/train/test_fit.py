"""Training as a whole, and that none of it is lost, whatever ends it."""

import math
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from topics import made_texts
from torch import Tensor

from nbpipe.config import Train
from nbpipe.errors import StoppedError, WorkError
from nbpipe.run import Run
from nbpipe.train import bag, checkpoint
from nbpipe.train import fit as module
from nbpipe.train.checkpoint import Checkpoint
from nbpipe.train.corpus import read_documents
from nbpipe.train.families import BagFamily, WindowLearner
from nbpipe.train.fit import Start, Training, fit, prepare
from nbpipe.train.rounds import Keeper, Round
from nbpipe.train.split import split

MODELS = ["bag", "gru", "attention"]
PLACES = [("search", 1, 2), ("search", 2, 0)]  # round, epochs that are over, steps of the next
Started = Callable[..., Start]

MakeRun = Callable[..., Path]


def ready(config: Train) -> Start:
    documents = read_documents(config)
    return prepare(documents, split(documents.usable, config.seed, config.rare), config)


@pytest.fixture
def started(make_run: MakeRun) -> Started:
    """Return a function that prepares a training of 30 documents, 3 epochs of 3 steps: started(model="gru")."""
    folder = make_run(made_texts(10))
    return lambda **asked: ready(Train(run=folder, **{"device": "cpu", "epochs": 3} | asked))


def place(at_work: Round) -> tuple[str, int, int]:
    facts = at_work.state()[1]["round"]
    return facts["name"], facts["done"], facts["step"]


def at(patch: pytest.MonkeyPatch, where: tuple[str, int, int], do: Callable[[Keeper, Round], object]) -> None:
    """Do something at a place of a training, before its keeper looks at it."""
    after = Keeper.after_step

    def watched(keeper: Keeper, at_work: Round) -> None:
        if place(at_work) == where:
            do(keeper, at_work)
        after(keeper, at_work)

    patch.setattr(Keeper, "after_step", watched)


def stop(keeper: Keeper, _: Round) -> None:
    keeper.wish.number = signal.SIGTERM


def poison(_: Keeper, at_work: Round) -> None:
    at_work.learner.network.output.bias.data[0] = math.nan


def stopped(start: Start, where: tuple[str, int, int]) -> None:
    """Train until there, and be stopped by SIGTERM."""
    with pytest.MonkeyPatch.context() as patch:
        at(patch, where, stop)
        with pytest.raises(StoppedError, match="goes on from there"):
            fit(start)


def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a checkpoint be due after every step."""
    monkeypatch.setattr(checkpoint, "_SHARE", math.inf)
    monkeypatch.setattr(module, "Checkpoint", partial(Checkpoint, every=0.0))


def kept(start: Start) -> tuple[dict[str, Tensor], dict]:
    return Checkpoint(Run(start.config.run).model / checkpoint.NAME, start.identity).load()


def weights(training: Training) -> dict[str, Tensor]:
    return training.classifier.network.state_dict()


def alike(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def same(one: Training, other: Training) -> bool:
    """Whether two trainings gave the same to the last bit."""
    figures = [(t.history, t.again, t.curve, t.temperature, t.classifier.threshold) for t in (one, other)]
    return figures[0] == figures[1] and alike(weights(one), weights(other))


@pytest.mark.parametrize(
    ("model", "where"),
    [*((model, where) for model in MODELS for where in PLACES), ("bag", ("final", 0, 1)), ("bag", ("final", 3, 0))],
)
def test_a_stopped_training_ends_with_the_bits_of_an_unbroken_one(started: Started, model: str, where: tuple):
    start = started(model=model, target_accuracy=0.5)
    unbroken = fit(start)
    stopped(start, where)
    name, done, step = where
    assert kept(start)[1]["round"].items() >= {"name": name, "done": done, "step": step}.items()
    resumed = fit(started(model=model, target_accuracy=0.5))
    assert resumed.notes == [f"Taken up from a checkpoint, after {done} epochs and {step} steps of the {name} round."]
    assert same(unbroken, resumed)


def test_a_training_may_be_stopped_time_and_again(started: Started):
    start = started()
    unbroken = fit(start)
    for where in (*PLACES, ("final", 1, 2), ("final", 2, 1)):
        stopped(start, where)
    assert same(unbroken, fit(start))


# a training that says so after its 5th step and then waits for a signal; or one that runs to its end
CHILD = """
import math, sys, time
from functools import partial
from pathlib import Path
import torch
from safetensors.torch import save_file
sys.path.insert(0, sys.argv[1])
from test_fit import ready
from nbpipe.config import Train
from nbpipe.train import checkpoint, fit
from nbpipe.train.rounds import Keeper

def wait(keeper, at_work, after=Keeper.after_step, seen=[]):
    seen.append(at_work)
    if len(seen) == 5:
        print("ready", flush=True)
        while not keeper.wish.number:
            time.sleep(0.01)
    after(keeper, at_work)

torch.set_num_threads(1)
_, _, run, model, end, every = sys.argv
if end == "wait":
    Keeper.after_step = wait
checkpoint._SHARE = math.inf
fit.Checkpoint = partial(checkpoint.Checkpoint, every=float(every))
training = fit.fit(ready(Train(run=Path(run), device="cpu", epochs=3, model=model)))
print(*training.notes)
save_file(training.classifier.network.state_dict(), Path(run) / "weights")
"""


def child(start: Start, end: str, every: float) -> subprocess.Popen:
    words = [Path(__file__).parent, start.config.run, start.config.model, end, every]
    command = [sys.executable, "-c", CHILD, *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen, number: int) -> str:
    """Wait until it trains, send the signal, and return what it said at its end."""
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    return process.communicate(timeout=60)[1]


def test_a_process_that_gets_sigterm_loses_nothing(started: Started):
    start = started(model="attention")
    first = child(start, "wait", 1e6)
    assert "StoppedError: stopped by SIGTERM" in ended(first, signal.SIGTERM)
    assert first.returncode == 1
    assert kept(start)[1]["round"].items() >= {"name": "search", "done": 1, "step": 2}.items()
    said, failed = child(start, "finish", 1e6).communicate(timeout=60)
    assert "after 1 epochs and 2 steps of the search round" in said, failed
    resumed = load_file(start.config.run / "weights")
    (Run(start.config.run).model / checkpoint.NAME).unlink()
    assert alike(resumed, weights(fit(start)))


def test_a_process_that_is_killed_loses_what_came_after_its_last_checkpoint(started: Started):
    start = started()
    unbroken = fit(start)
    first = child(start, "wait", 0)
    ended(first, signal.SIGKILL)
    assert first.returncode == -signal.SIGKILL
    assert kept(start)[1]["round"].items() >= {"name": "search", "done": 1, "step": 1}.items()
    resumed = fit(start)
    assert resumed.notes
    assert same(unbroken, resumed)


def test_ctrl_c_ends_it_when_all_is_kept(started: Started, monkeypatch: pytest.MonkeyPatch):
    start = started()
    at(monkeypatch, ("search", 1, 1), lambda *_: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        fit(start)
    assert kept(start)[1]["round"]["step"] == 1


def test_threads_are_set_back_though_the_error_is_held(started: Started, monkeypatch: pytest.MonkeyPatch):
    start = started()
    at(monkeypatch, ("search", 1, 1), stop)
    torch.set_num_threads(2)
    with pytest.raises(StoppedError) as held:
        fit(start)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert held.value
    assert threads == 2


@pytest.mark.parametrize("model", MODELS)
def test_the_same_seed_gives_the_same_and_another_one_does_not(started: Started, model: str):
    one, again, other = (fit(started(model=model, epochs=2, seed=seed)) for seed in (0, 0, 1))
    assert same(one, again)
    assert one.losses != other.losses
    assert not torch.equal(weights(one)["output.weight"], weights(other)["output.weight"])


def test_what_another_seed_kept_is_not_taken_up(started: Started):
    unbroken = fit(started(seed=1))
    stopped(started(), PLACES[0])
    anew = fit(started(seed=1))
    assert anew.notes == []
    assert same(unbroken, anew)


def test_another_config_is_another_training(started: Started, tmp_path: Path):
    start = started()
    (tmp_path / "labels.csv").write_text("path,label\nsky/00.txt,sky\n")
    others = [{"weighting": "balanced"}, {"epochs": 4}, {"model": "gru"}, {"labels": tmp_path / "labels.csv"}]
    for other in others:
        changed = start.config.model_copy(update=other)
        assert replace(start, config=changed).identity != start.identity
    for other in ({"device": "auto"}, {"tracking": "mlflow"}, {"target_accuracy": 0.5}):
        assert replace(start, config=start.config.model_copy(update=other)).identity == start.identity


def test_other_documents_or_versions_are_another_training(
    started: Started, rewrite: Callable, monkeypatch: pytest.MonkeyPatch
):
    start = started()
    before = start.identity
    rewrite(Run(start.config.run), 1, 2, dict(list(made_texts(10).items())[1::2]), parser="parser 2")
    rewrite(Run(start.config.run), 0, 2, dict(list(made_texts(10).items())[0::2]), parser="parser 2")
    assert started().identity != before
    monkeypatch.setattr(torch, "__version__", "0.1")
    assert start.identity != before


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda _: b"", lambda data: b"x" * len(data)])
def test_a_damaged_checkpoint_is_as_none(started: Started, damage: Callable[[bytes], bytes]):
    start = started(epochs=1)
    unbroken = fit(start)
    stopped(start, ("search", 0, 2))
    path = Run(start.config.run).model / checkpoint.NAME
    path.write_bytes(damage(path.read_bytes()))
    anew = fit(start)
    assert anew.notes == []
    assert same(unbroken, anew)


@pytest.mark.parametrize("model", MODELS)
def test_a_loss_that_is_no_number_leaves_the_last_good_checkpoint(
    started: Started, model: str, monkeypatch: pytest.MonkeyPatch
):
    start = started(model=model)
    always(monkeypatch)
    at(monkeypatch, ("search", 1, 1), poison)
    with pytest.raises(WorkError, match="loss in epoch 2, step 2, of the search round, is not a finite number"):
        fit(start)
    tensors, facts = kept(start)
    assert facts["round"].items() >= {"done": 1, "step": 0}.items()
    assert checkpoint.finite(tensors)


@pytest.mark.parametrize("model", MODELS)
def test_a_stop_after_weights_went_bad_keeps_what_was_good(
    started: Started, model: str, monkeypatch: pytest.MonkeyPatch
):
    start = started(model=model)
    always(monkeypatch)
    at(monkeypatch, ("search", 1, 1), lambda *both: (poison(*both), stop(*both)))
    with pytest.raises(StoppedError):
        fit(start)
    tensors, facts = kept(start)
    assert facts["round"].items() >= {"done": 1, "step": 0}.items()
    assert checkpoint.finite(tensors)


def test_a_training_that_diverges_ends(config: Train, monkeypatch: pytest.MonkeyPatch):
    start = ready(config)
    monkeypatch.setattr(bag, "HEAD_RATE", 1e30)
    with pytest.raises(WorkError, match=r"the loss in epoch \d, step \d, of the search round, is not a finite"):
        fit(start)


def test_a_validation_loss_that_is_no_number_ends_it(started: Started, monkeypatch: pytest.MonkeyPatch):
    start = started()
    monkeypatch.setattr(BagFamily, "score", lambda _, network, inputs, __: torch.full((len(inputs), 3), math.nan))
    with pytest.raises(WorkError, match="the validation loss after epoch 1, is not a finite number"):
        fit(start)


def test_training_learns(config: Train):
    training = fit(ready(config))
    assert training.history[-1].loss < training.history[0].loss / 2
    assert training.best.validation_accuracy > 0.9
    assert len(training.again) == len(training.history)


def scripted(monkeypatch: pytest.MonkeyPatch, learner: type, losses: list[float]) -> None:
    """Let validation losses be these."""
    found = iter(losses)
    monkeypatch.setattr(learner, "loss", lambda *_: torch.tensor(next(found), dtype=torch.float64))


@pytest.mark.parametrize(("model", "patience"), [("bag", 1), ("attention", 3)])
def test_training_stops_when_validation_no_longer_gains(
    started: Started, monkeypatch: pytest.MonkeyPatch, model: str, patience: int
):
    start = started(model=model, epochs=9)
    scripted(monkeypatch, type(start.learner(start.vocabulary, start.inputs)), [0.5] * 9)
    training = fit(start)
    assert (training.best.number, len(training.history)) == (1, 1 + patience)


@pytest.mark.parametrize(("fall", "epochs"), [(1e-6, 2), (2e-2, 9)])
def test_a_loss_that_hardly_falls_prolongs_nothing(
    started: Started, monkeypatch: pytest.MonkeyPatch, fall: float, epochs: int
):
    start = started(epochs=9)
    scripted(monkeypatch, bag.BagLearner, [0.773 - number * fall for number in range(9)])
    assert len(fit(start).history) == epochs


def test_training_is_no_longer_than_asked(started: Started):
    training = fit(started(epochs=2))
    assert [epoch.number for epoch in training.history] == [1, 2]


def test_of_the_families_in_order_the_weights_of_the_best_epoch_are_kept(
    started: Started, monkeypatch: pytest.MonkeyPatch
):
    start, seen, result = started(model="attention", epochs=4), [], WindowLearner.result
    monkeypatch.setattr(WindowLearner, "result", lambda learner: seen.append(result(learner)) or seen[-1])
    scripted(monkeypatch, WindowLearner, [3.0, 1.0, 2.0, 4.0])
    training = fit(start)
    assert training.best.number == 2
    found = weights(training)
    assert torch.equal(found["embedding.weight"], seen[1].state_dict()["embedding.weight"])
    assert not torch.equal(found["embedding.weight"], seen[3].state_dict()["embedding.weight"])


def test_balanced_weighting_changes_what_is_learnt(make_run: MakeRun):
    texts = {path: text for path, text in made_texts(12).items() if not path.startswith("sky") or path < "sky/05"}
    config = Train(run=make_run(texts), device="cpu", epochs=2)
    plain, balanced = (fit(ready(config.model_copy(update={"weighting": word}))) for word in ("none", "balanced"))
    assert not torch.equal(weights(plain)["output.weight"], weights(balanced)["output.weight"])


def test_unlabelled_documents_leave_the_weight_of_others_as_it_is(started: Started, tmp_path: Path):
    labelled = [path for path in made_texts(10) if path[-5] in "01234"]
    (tmp_path / "labels.csv").write_text("path,label\n" + "".join(f"{path},{path[0]}\n" for path in labelled))
    start = started(labels=tmp_path / "labels.csv", weighting="balanced")
    rows = start.parts.rows("train")
    assert start.parts.counts["unlabelled"] == 15
    found = start.learner(start.vocabulary, start.inputs).weights[torch.from_numpy(rows)]
    assert found.mean().item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("model", "epochs"), [("bag", 8), ("attention", 25)])
def test_several_labels_a_document_are_learnt(started: Started, tmp_path: Path, model: str, epochs: int):
    given = {"c": "food|land", "s": "space", "a": "water"}
    rows = [(path, "water|sport" if path.startswith("sail") else given[path[0]]) for path in made_texts(10)]
    (tmp_path / "labels.csv").write_text("path,label\n" + "".join(f"{path},{label}\n" for path, label in rows))
    training = fit(started(model=model, epochs=epochs, labels=tmp_path / "labels.csv"))
    assert training.classifier.multi
    assert training.history[-1].loss < training.history[0].loss / 2
    texts, labels = list(made_texts(10).values()), dict(rows)
    answers = training.classifier.answers(pl.Series(texts))[0]
    expected = ["|".join(sorted(labels[path].split("|"))) for path in made_texts(10)]
    assert np.mean([answer == right for answer, right in zip(answers, expected, strict=True)]) > 0.9


@pytest.mark.parametrize("model", ["bag", "attention"])
def test_the_temperature_is_a_part_of_the_last_layer(started: Started, model: str, monkeypatch: pytest.MonkeyPatch):
    texts, start = pl.Series(list(made_texts(2).values())), started(model=model)
    training = fit(start)
    calibrated = training.classifier.logits(texts)
    monkeypatch.setattr(module, "fit_temperature", lambda *_: 1.0)
    plain = fit(start).classifier.logits(texts)
    assert training.temperature != pytest.approx(1, abs=0.01)
    assert torch.allclose(calibrated * training.temperature, plain, atol=1e-5)


def test_the_search_knows_no_word_of_validation_and_test(started: Started):
    start, texts = started(), made_texts(10)
    paths = start.parts.documents["path"].gather(start.parts.rows("train"))
    words = " ".join(texts[path] for path in paths).lower().split()
    assert set(start.vocabulary.words[1:]) == {word for word in words if len(word) > 1}
    known = set(fit(start).classifier.vocabulary.words[1:])
    held = start.parts.documents["path"].gather(start.parts.rows("validation"))
    assert {word for word in " ".join(texts[path] for path in held).split() if len(word) > 1} <= known


def test_documents_without_words_are_refused(make_run: MakeRun):
    config = Train(run=make_run({f"{'xy'[place % 2]}/{letter}.txt": letter for place, letter in enumerate("abcdefgh")}))
    with pytest.raises(WorkError, match="hold no words"):
        ready(config)


def test_expected_and_measured_seconds_are_shown(started: Started):
    start = started()
    assert "seconds an epoch, expected" in repr(start)
    assert "Measured" in repr(fit(start))
