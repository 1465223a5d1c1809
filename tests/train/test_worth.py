"""The advice follows from what was measured and from the prices, and nothing is measured that cannot be."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nbpipe.audit import as_json
from nbpipe.config import Train
from nbpipe.cost import Terms
from nbpipe.run import Run, write
from nbpipe.train import worth as module
from nbpipe.train.corpus import read_documents
from nbpipe.train.families import FAMILIES
from nbpipe.train.split import split
from nbpipe.train.worth import Pace, Worth, worth

MakeRun = Callable[..., Path]


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def measure(config: Train) -> Worth:
    documents = read_documents(config)
    return worth(documents, split(documents.usable, config.seed), config)


def paced(cpu: float, gpu: float | None = None, **terms: float) -> Worth:
    """Return the worth of a GPU for epochs of so many seconds, 60 of them."""
    paces = [Pace("gru", "cpu", cpu, 0.0), *([Pace("gru", "cuda", gpu, 0.1)] if gpu else [])]
    return Worth(paces, "gru", 60, Terms(**terms))


@pytest.mark.usefixtures("no_gpu")
def test_each_family_is_measured_on_each_device(config: Train):
    found = measure(config)
    assert [(pace.family, pace.device) for pace in found.paces] == [(name, "cpu") for name in FAMILIES[:3]]
    assert all(pace.seconds > 0 and 0 <= pace.moving <= 1 for pace in found.paces)
    assert "Stay on the VM: bag takes at most" in found.advice.text
    assert "none here" in repr(found)


@pytest.mark.usefixtures("no_gpu")
def test_prices_are_those_that_were_planned_with(config: Train):
    write(Run(config.run).forecast, as_json({"terms": vars(Terms(vm_price=2.0, gpu_price=3.0))}))
    found = measure(config)
    assert "a GPU at $3.00 an hour costs 1.5 times this machine" in found.advice.text


def test_an_epoch_of_more_words_takes_longer_in_proportion(config: Train, monkeypatch: pytest.MonkeyPatch):
    documents, monotonic = read_documents(config), iter(range(100))
    sample, rows = documents.sample(np.arange(60), 10)
    monkeypatch.setattr(module.time, "perf_counter", lambda: float(next(monotonic)))
    task = module.Task(split(documents.usable, 0).truth[rows], np.ones(10, np.float32), False)
    few, many = (
        module._pace(module.family(config), sample, task, torch.device("cpu"), words) for words in (1000, 3000)
    )
    assert many.seconds == pytest.approx(3 * few.seconds)
    assert few.moving == 1


def test_words_beyond_what_an_epoch_reads_do_not_count(make_run: MakeRun):
    documents = read_documents(Train(run=make_run({"a/1": "word " * 50, "a/2": "- -", "b/1": "two words"})))
    assert module._words(documents, np.arange(3), 0) == 52
    assert module._words(documents, np.arange(3), 10) == 12
    assert module._words(documents, np.array([1]), 0) == 1


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            paced(9.9),
            "Stay on the VM: gru takes at most 9.9 minutes of epochs here, and a GPU at $5.00 an hour costs 9.1",
        ),
        (paced(10.1), "Try a GPU: gru takes at most 10 minutes of epochs here; a GPU at $5.00 an hour costs 9.1 times"),
        (paced(100, 10), "Take the GPU: for gru the GPU is 10.0 times as fast and costs 9.1 times as much"),
        (paced(100, 20), "Stay on the VM unless you are in a hurry: for gru the GPU is 5.0 times as fast"),
        (paced(100, 20, gpu_price=1.0), "Take the GPU: for gru the GPU is 5.0 times as fast and costs 1.8 times"),
        (paced(100, 20, vm_price=0.0), "Stay on the VM unless you are in a hurry"),
    ],
)
def test_the_advice_weighs_speed_against_price(found: Worth, said: str):
    assert found.advice.text.startswith(said)


def test_the_table_tells_an_epochs_price_on_each_device():
    found = paced(3600, 360)
    assert [row[4] for row in found.shown()[0].rows] == ["$0.55", "$0.50"]
    assert found.facts()[1] == {"family": "gru", "device": "cuda", "epoch_seconds": 360, "moving": 0.1}
    assert "none here" not in repr(found)
    assert replace(found, paces=found.paces[:1]).shown()[0].rows[-1][1] == "GPU"
