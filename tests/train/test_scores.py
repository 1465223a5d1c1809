"""Scores mean what scikit-learn means by them, for one label a document and for many, through the same code."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

from nbpipe.train.scores import Interval, Scores, against, against_guessing, compared, confidence, decide


def hot(targets: list[int] | np.ndarray, labels: int = 3) -> np.ndarray:
    """Return targets as a table of yes and no."""
    return np.arange(labels) == np.asarray(targets)[:, None]


def made(multi: bool, documents: int = 200) -> Scores:
    chance = np.random.default_rng(0)
    if multi:
        truth = chance.random((documents, 4)) < 0.3
        return Scores("made", truth ^ (chance.random(truth.shape) < 0.1), truth)
    targets = chance.integers(0, 4, documents)
    predicted = np.where(chance.random(documents) < 0.7, targets, chance.integers(0, 4, documents))
    return Scores("made", hot(predicted, 4), hot(targets, 4))


def scored(right: list[int]) -> Scores:
    return Scores("made", hot(right, 2), hot([1] * len(right), 2))


@pytest.mark.parametrize("multi", [False, True])
def test_scores_are_those_of_scikit_learn(multi: bool):
    scores = made(multi)
    assert scores.accuracy == (scores.predicted == scores.truth).all(axis=1).mean()
    assert scores.macro_f1 == pytest.approx(f1_score(scores.truth, scores.predicted, average="macro"))
    assert scores.micro_f1 == pytest.approx(f1_score(scores.truth, scores.predicted, average="micro"))
    numbers = precision_recall_fscore_support(scores.truth, scores.predicted)
    found = [list(values.values()) for values in scores.by_label("abcd").values()]
    assert found == [pytest.approx(list(row)) for row in np.transpose(numbers)]


def test_micro_f1_is_a_fact_only_where_documents_may_hold_many_labels():
    assert list(made(multi=True).facts()) == ["accuracy", "macro_f1", "micro_f1"]
    assert list(made(multi=False).facts()) == ["accuracy", "macro_f1"]
    assert made(multi=False).micro_f1 == pytest.approx(made(multi=False).accuracy)


def test_a_label_that_nobody_holds_or_gets_does_not_count():
    assert Scores("made", hot([0, 1]), hot([0, 1])).macro_f1 == 1
    assert Scores("made", hot([0, 2]), hot([0, 1])).macro_f1 == pytest.approx(1 / 3)


def test_documents_without_labels_have_no_f1_to_speak_of():
    none = np.zeros((3, 2), bool)
    scores = Scores("made", none, none)
    assert (scores.accuracy, scores.macro_f1, scores.micro_f1) == (1, 0, 0)


def test_the_confusion_matrix_is_that_of_scikit_learn():
    scores = made(multi=False)
    expected = confusion_matrix(scores.truth.argmax(axis=1), scores.predicted.argmax(axis=1))
    assert (scores.confusion == expected).all()


def test_the_hardest_label_comes_first():
    ranked = [row[3] for row in made(multi=False).per_label("abcd").rows]
    assert ranked == sorted(ranked)


@pytest.mark.parametrize(
    ("multi", "expected", "sure"),
    [(False, [[0, 0, 1], [1, 0, 0]], [0.6, 0.5]), (True, [[0, 0, 1], [1, 0, 0]], [0.6, 0.5])],
)
def test_decisions_and_how_sure_they_are(multi: bool, expected: list[list[int]], sure: list[float]):
    probabilities = np.array([[0.1, 0.3, 0.6], [0.5, 0.3, 0.2]])
    assert decide(probabilities, multi).astype(int).tolist() == expected
    assert confidence(probabilities, multi).tolist() == sure


def test_many_labels_are_decided_one_by_one():
    probabilities = np.array([[0.9, 0.8], [0.2, 0.1]])
    assert decide(probabilities, multi=True).tolist() == [[True, True], [False, False]]
    assert confidence(probabilities, multi=True) == pytest.approx([0.8, 0.8])


def test_a_tie_gives_one_label():
    assert decide(np.array([[0.5, 0.5]]), multi=False).tolist() == [[True, False]]


def test_intervals_are_shown_where_they_are_known():
    table = compared([scored([1, 1, 0, 0])], {"made": {"accuracy": Interval(0.5, 0.1, 0.9)}})
    assert table.rows[0][1] == "0.500 (0.100 to 0.900)"
    assert "95% intervals" in table.caption
    assert repr(scored([1, 1, 0, 0])).startswith("4 test documents\nmodel")


@pytest.mark.parametrize(
    ("right", "said"),
    [(10, "No: not shown to be better than guessing: 10 of 20"), (18, "Yes: better than guessing: 18 of 20")],
)
def test_better_than_guessing_weighs_chance(right: int, said: str):
    majority = scored([1] * 10 + [0] * 10)
    assert against_guessing(scored([1] * right + [0] * (20 - right)), majority).startswith(said)


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ([1] * 20, [1] * 10 + [0] * 10, "It is above LinearSVC"),
        ([1] * 10 + [0] * 10, [1] * 20, "It is below LinearSVC"),
        ([1, 0], [0, 1], "It is level with LinearSVC"),
        ([1, 0], [1, 0], "No test document tells it from LinearSVC"),
    ],
)
def test_two_models_differ_where_only_one_is_right(ours: list[int], theirs: list[int], said: str):
    assert against(scored(ours), scored(theirs), "LinearSVC").startswith(said)
