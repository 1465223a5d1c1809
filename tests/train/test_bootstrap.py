"""Intervals are those of drawing documents one by one, paired between models, and never claim certainty."""

from dataclasses import replace

import numpy as np
import pytest

from nbpipe.train import bootstrap as module
from nbpipe.train.bootstrap import bootstrap, interval
from nbpipe.train.scores import Scores


def hot(targets: np.ndarray, labels: int) -> np.ndarray:
    return np.arange(labels) == targets[:, None]


def made(name: str, accuracy: float, documents: int = 300, seed: int = 1) -> Scores:
    """Return the scores of a model that is right on about this share, on the same documents for every name."""
    targets = np.random.default_rng(0).integers(0, 5, documents)
    chance = np.random.default_rng(seed)
    wrong = chance.random(documents) >= accuracy
    return Scores(name, hot((targets + wrong) % 5, 5), hot(targets, 5))


def one_by_one(scores: Scores, number: int) -> np.ndarray:
    """Return accuracy and macro F1 of resamples, as the textbook draws them: [R, 2]."""
    chance, (truth, predicted) = np.random.default_rng(5), (t.argmax(axis=1) for t in (scores.truth, scores.predicted))
    found = []
    for _ in range(number):
        rows = chance.integers(0, len(truth), len(truth))
        matrix = np.bincount(truth[rows] * 5 + predicted[rows], minlength=25).reshape(5, 5)
        each = 2 * np.diag(matrix) / (matrix.sum(axis=0) + matrix.sum(axis=1))
        found.append(((truth == predicted)[rows].mean(), each.mean()))
    return np.array(found)


def test_intervals_are_those_of_drawing_documents_one_by_one():
    scores = made("a", 0.8)
    expected = np.quantile(one_by_one(scores, 2000), [0.025, 0.975], axis=0)
    found = bootstrap([scores], 0).intervals["a"]
    assert found["accuracy"][1:] == pytest.approx(expected[:, 0], abs=0.01)
    assert found["macro_f1"][1:] == pytest.approx(expected[:, 1], abs=0.01)
    assert found["macro_f1"].value == scores.macro_f1


def test_many_labels_have_intervals_too():
    chance = np.random.default_rng(0)
    truth = chance.random((400, 6)) < 0.2
    scores = Scores("a", truth ^ (chance.random(truth.shape) < 0.05), truth)
    for measure, (value, low, high) in bootstrap([scores], 0).intervals["a"].items():
        assert low < value == getattr(scores, measure) < high


def test_the_same_seed_gives_the_same_draws_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch):
    whole = bootstrap([made("a", 0.8)], 3, number=50).draws["macro_f1"]
    monkeypatch.setattr(module, "_AT_ONCE", 100)
    assert (bootstrap([made("a", 0.8)], 3, number=50).draws["macro_f1"] == whole).all()
    assert (bootstrap([made("a", 0.8)], 4, number=50).draws["macro_f1"] != whole).any()


def test_differences_are_paired():
    first = made("a", 0.8)
    second = replace(first, name="b", predicted=first.predicted.copy())
    second.predicted[:30] = second.truth[:30]  # right on all that the first is right on, and on a few more
    found = bootstrap([first, second], 0)
    apart = found.difference("accuracy", "b", "a")
    assert 0 < apart.low < apart.value < apart.high
    assert apart.high - apart.low < 0.6 * np.diff(found.intervals["a"]["accuracy"][1:])


@pytest.mark.parametrize(
    ("accuracy", "said"), [(0.9, "is real: +"), (0.4, "is real: -"), (0.7, "is not shown to be real: ")]
)
def test_a_sentence_says_whether_a_difference_is_real(accuracy: float, said: str):
    found = bootstrap([made("bag", accuracy), made("svc", 0.7, seed=2)], 0)
    assert f"The difference of bag to svc in accuracy {said}" in found.sentence("bag", "svc").text


def test_all_right_is_not_certain():
    found = bootstrap([made("a", 1.0, documents=20), made("b", 1.0, documents=20)], 0)
    value, low, high = found.intervals["a"]["accuracy"]
    assert (value, high) == (1, 1)
    assert low**20 == pytest.approx(0.0, abs=0.03)
    assert low == pytest.approx(0.8316, abs=1e-4)  # the exact binomial bound of 20 of 20
    assert found.difference("accuracy", "a", "b")[1:] == pytest.approx((low - 1, 1 - low))


def test_one_document_proves_nothing():
    assert interval(1.0, np.ones(9), 1).low == pytest.approx(0.025)


def test_facts_are_json_types():
    assert set(bootstrap([made("a", 0.8)], 0).facts()["a"]["accuracy"]) == {"value", "low", "high"}


def test_the_table_shows_intervals():
    assert "to 0." in repr(bootstrap([made("a", 0.8), made("b", 0.5)], 0))
