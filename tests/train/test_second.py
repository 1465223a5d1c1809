"""A second look finds changed labels and says what more documents brought, by models that never saw what they judge."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nbpipe.config import Train
from nbpipe.train import second as module
from nbpipe.train.corpus import read_documents
from nbpipe.train.fit import Training, fit, prepare
from nbpipe.train.second import FOLDS, look_again
from nbpipe.train.split import split
from nbpipe.train.text import Vocabulary

MakeRun = Callable[..., Path]
Rows = list[tuple[np.ndarray, np.ndarray]]


@pytest.fixture
def training(make_run: MakeRun, made: dict[str, str], tmp_path: Path) -> Training:
    """A training on three topics in which three documents have a wrong label."""
    labels = {path: path.split("/")[0] for path in made} | dict.fromkeys(["sky/03.txt", "sky/07.txt"], "cooking")
    labels["sailing/05.txt"] = "sky"
    (tmp_path / "labels.csv").write_text(
        "\n".join(["path,label", *(f"{path},{label}" for path, label in labels.items())])
    )
    config = Train(run=make_run(made), labels=tmp_path / "labels.csv", device="cpu", epochs=4)
    documents = read_documents(config)
    return fit(prepare(documents, split(documents.usable, 0), config))


@pytest.fixture
def learnt(monkeypatch: pytest.MonkeyPatch) -> Rows:
    """What each bag learns from and is asked for, noted while they do."""
    seen, bag = Rows(), module._bag

    def watched(training: Training, rows: np.ndarray, asked: np.ndarray) -> np.ndarray:
        seen.append((rows, asked))
        return bag(training, rows, asked)

    monkeypatch.setattr(module, "_bag", watched)
    return seen


def test_changed_labels_are_found(training: Training):
    found = look_again(training).mislabelled
    rows = {
        found.paths[row]: found.labels[said.argmax()] for row, said in zip(found.rows, found.suggested, strict=True)
    }
    assert rows == {"sky/03.txt": "sky", "sky/07.txt": "sky", "sailing/05.txt": "sailing"}


def test_every_document_is_judged_once_by_a_bag_that_never_saw_it(training: Training, learnt: Rows):
    module._doubts(training)
    assert len(learnt) == FOLDS
    assert sorted(np.concatenate([asked for _, asked in learnt])) == list(range(60))
    assert not any(np.isin(asked, rows).any() for rows, asked in learnt)


def test_growing_parts_are_tried_on_the_test_part_alone(training: Training, learnt: Rows):
    growth = module._growth(training)
    parts = training.start.parts
    assert growth.sizes == sorted({len(rows) for rows, _ in learnt})
    assert growth.sizes[-1] == len(parts.rows("train", "validation"))
    assert all(np.array_equal(asked, parts.rows("test")) for _, asked in learnt)
    assert not any(np.isin(parts.rows("test"), rows).any() for rows, _ in learnt)


def test_the_same_seed_gives_the_same_look(training: Training):
    first, again = look_again(training), look_again(training)
    assert first.growth.facts() == again.growth.facts()
    assert first.mislabelled.margin.tolist() == again.mislabelled.margin.tolist()


def test_where_no_final_round_was_there_are_epochs_all_the_same(training: Training):
    assert look_again(replace(training, again=[])).growth.intervals[-1].value > 0.5


def test_it_shows_both(training: Training):
    shown = repr(look_again(training))
    assert "Labels in doubt, the surest 3 of 3" in shown
    assert "documents learnt from" in shown


def test_labels_at_random_are_not_doubted(make_run: MakeRun, made: dict[str, str], tmp_path: Path):
    chance = np.random.default_rng(0)
    rows = [f"{path},{chance.choice(['a', 'b'])}" for path in made]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label", *rows]))
    config = Train(run=make_run(made), labels=tmp_path / "labels.csv", device="cpu", epochs=4)
    documents = read_documents(config)
    found = look_again(fit(prepare(documents, split(documents.usable, 0), config))).mislabelled
    assert (found.able, len(found.rows)) == (False, 0)


def test_documents_without_words_teach_nothing(training: Training, monkeypatch: pytest.MonkeyPatch):
    nothing = Vocabulary([""], [0], 2)
    monkeypatch.setattr(Vocabulary, "of", lambda *_: nothing)
    assert not module._bag(training, np.arange(2), np.arange(3)).any()
