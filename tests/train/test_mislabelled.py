"""Labels that were changed are found with few false alarms, and folds keep units together and labels spread."""

import numpy as np
import pytest

from nbpipe.train.mislabelled import Mislabelled, confident_learning, folds, mislabelled, unable


def made(multi: bool, documents: int = 2000, flipped: float = 0.05) -> tuple[Mislabelled, np.ndarray, np.ndarray]:
    """Return what is found, which documents [N] got wrong labels, and the true labels bool [N, 4]."""
    chance = np.random.default_rng(0)
    truth = chance.random((documents, 4)) < 0.3 if multi else np.eye(4, dtype=bool)[chance.integers(0, 4, documents)]
    logits = np.where(truth, 2.0, -2.0) + chance.normal(0, 1, truth.shape)
    shares = 1 / (1 + np.exp(-logits))
    shares = shares if multi else shares / shares.sum(axis=1, keepdims=True)
    bad, given = chance.random(documents) < flipped, truth.copy()
    if multi:
        given[bad, 0] ^= True
    else:
        given[bad] = np.roll(truth[bad], 1, axis=1)
    return mislabelled(shares, given, multi, [f"{row}.txt" for row in range(documents)], list("abcd")), bad, truth


@pytest.mark.parametrize("multi", [False, True])
def test_changed_labels_are_found_with_few_false_alarms(multi: bool):
    found, bad, truth = made(multi)
    top = found.rows[: bad.sum()]
    assert bad[top].mean() > 0.8
    assert np.isin(np.flatnonzero(bad), found.rows).mean() > 0.9
    assert (found.suggested == truth[found.rows]).all(axis=1)[: bad.sum()].mean() > 0.8


@pytest.mark.parametrize("flipped", [0.0, 0.05, 0.2])
def test_the_share_of_wrong_labels_is_estimated(flipped: float):
    found, bad, _ = made(multi=False, flipped=flipped)
    assert found.share == pytest.approx(bad.mean(), abs=0.02)
    assert found.facts()["share"] == found.share


def test_the_surest_come_first():
    found, _, _ = made(multi=False)
    assert (np.diff(found.margin) >= 0).all()
    assert (found.given != found.suggested).any(axis=1).all()


def test_the_number_of_wrong_answers_is_that_of_the_confident_joint():
    """Thresholds are .75 and .65: of the first answer 2 documents count for it, 1 for the other, and 1 for none."""
    shares = np.array([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.4, 0.6]])
    found = confident_learning(shares, np.array([0, 0, 0, 0, 0, 1, 1]))
    assert found.answer.tolist() == [0, 0, 1, 0, 0, 1, 1]
    assert found.wrong == pytest.approx(5 / 4)
    assert found.margin[2] == pytest.approx(-0.4)


def test_an_answer_that_is_likeliest_all_the_same_is_not_doubted():
    """The second answer is never likely, so 0.4 is much for it; but 0.6 for the first is more."""
    shares = np.array([[0.65, 0.35]] * 5 + [[0.6, 0.4]] + [[0.7, 0.3]] * 3)
    found = confident_learning(shares, np.array([0] * 6 + [1] * 3))
    assert found.wrong > 0
    assert found.answer.tolist() == [0] * 6 + [0] * 3


def test_a_label_that_nobody_was_given_is_not_suggested():
    shares = np.array([[0.4, 0.1, 0.5], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1]])
    assert set(confident_learning(shares, np.array([0, 0, 1])).answer.tolist()) == {0, 1}


def test_the_table_shows_path_label_and_the_likelier_one():
    given, suggested = np.array([[True, True], [True, False]]), np.array([[False, True], [False, False]])
    found = Mislabelled(np.array([1, 0]), given, suggested, np.array([-0.9, -0.1]), 0.01, ["p", "q"], ["a", "b"])
    assert found.shown()[0].rows == [("q", "a|b", "b", 0.9), ("p", "a", "", 0.1)]
    assert "2 of 2 labelled documents likely have a wrong label" in repr(found)


def test_folds_keep_units_together_and_spread_every_label():
    chance = np.random.default_rng(0)
    units = np.where(chance.random(3000) < 0.3, chance.integers(0, 100, 3000), np.arange(3000) + 100)
    strata = chance.choice(4, 3000, p=[0.6, 0.3, 0.09, 0.01])[units % 3000]  # a unit has one label
    found = folds(units, strata, 5, seed=0)
    assert all(len(set(found[units == unit])) == 1 for unit in range(100) if (units == unit).any())
    counts = np.array([np.bincount(found[strata == label], minlength=5) for label in range(4)])
    assert np.ptp(counts, axis=1).max() <= 1
    assert np.ptp(np.bincount(found)) <= 4


def test_folds_depend_on_the_seed_alone():
    units, strata = np.arange(100), np.arange(100) % 3
    assert (folds(units, strata, 5, seed=0) == folds(units, strata, 5, seed=0)).all()
    assert (folds(units, strata, 5, seed=0) != folds(units, strata, 5, seed=1)).any()


def test_one_large_unit_leaves_the_others_to_the_other_folds():
    found = folds(np.maximum(np.arange(100) - 40, 0), np.zeros(100, dtype=np.int64), 5, seed=0)
    assert np.bincount(found)[found[0]] == 41


def test_fewer_units_than_folds_leave_folds_empty():
    assert sorted(folds(np.array([0, 1]), np.array([0, 0]), 5, seed=0))[0] >= 0
    assert len(set(folds(np.array([0, 1]), np.array([0, 0]), 5, seed=0))) == 2


def test_models_that_guess_doubt_no_label():
    found = unable(np.eye(2, dtype=bool)[[0, 1, 1]], ["p", "q", "r"], ["a", "b"])
    assert found.sentence.text.startswith("No label can be doubted")
    assert (found.facts()["doubted"], found.shown()[0].rows) == (0, [])
