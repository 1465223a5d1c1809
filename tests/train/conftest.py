"""A small made corpus, and the whole stage run once on it."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from topics import made_texts

from nbpipe.audit import Receipt, Stamp
from nbpipe.config import Train
from nbpipe.train.baselines import Baselines, fit_baselines
from nbpipe.train.corpus import Documents, read_documents
from nbpipe.train.evaluate import Evaluation, evaluate, untrained
from nbpipe.train.fit import fit, prepare
from nbpipe.train.second import Second, look_again
from nbpipe.train.split import split
from nbpipe.train.stage import save
from nbpipe.train.worth import Worth, worth

MakeRun = Callable[..., Path]


class Done(NamedTuple):
    """What the stage makes, step by step."""

    config: Train
    documents: Documents
    baselines: Baselines
    worth: Worth
    evaluation: Evaluation
    second: Second
    receipt: Receipt


def run_stage(config: Train) -> Done:
    """Run the whole stage as the notebook does."""
    documents = read_documents(config)
    parts = split(documents.usable, config.seed, config.rare)
    baselines, pace = fit_baselines(documents, parts, config), worth(documents, parts, config)
    start = prepare(documents, parts, config)
    before = untrained(start)
    training = fit(start)
    evaluation, second = evaluate(training, baselines, before), look_again(training)
    receipt = save(evaluation, second, pace, Stamp.now(config))
    return Done(config, documents, baselines, pace, evaluation, second, receipt)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Networks this small are slower on two threads, and far slower beside other tests."""
    torch.set_num_threads(1)


@pytest.fixture
def made() -> dict[str, str]:
    """The made corpus: texts by path."""
    return made_texts()


@pytest.fixture
def make_run(make_runs: MakeRun, tmp_path: Path) -> MakeRun:
    """Return a function that writes the folder `run`: (texts by path, else the made corpus; num_shards)."""
    return lambda texts=None, num_shards=2: make_runs(
        tmp_path / "run", made_texts() if texts is None else texts, num_shards
    )


@pytest.fixture
def config(make_run: MakeRun) -> Train:
    """A config of a run of three topics, on the CPU."""
    return Train(run=make_run(), device="cpu", epochs=8)


@pytest.fixture(scope="session")
def stage() -> Callable[[Train], Done]:
    """Return the function that runs the whole stage."""
    return run_stage


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory, make_runs: MakeRun) -> Done:
    """The stage, done on three topics, a document in no topic and one without text; only to be read."""
    texts = made_texts() | {"loose.txt": "wind sail harbour mast", "sky/empty.txt": ""}
    folder = make_runs(tmp_path_factory.mktemp("done") / "run", texts)
    return run_stage(Train(run=folder, device="cpu", epochs=8))
