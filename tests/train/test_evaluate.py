from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from nbpipe.config import Train
from nbpipe.errors import WorkError
from nbpipe.train.evaluate import Baselines, Evaluation, Scores, evaluate, fit_baselines, untrained
from nbpipe.train.fit import fit, prepare
from nbpipe.train.split import split
from nbpipe.train.stage import read_documents


@pytest.fixture
def evaluation(config: Train) -> Evaluation:
    parts = split(read_documents(config).usable, config.seed)
    start = prepare(parts, config)
    return evaluate(fit(start), fit_baselines(parts), untrained(start))


def guessing(evaluation: Evaluation) -> Evaluation:
    """Return the evaluation of a model that answers at random."""
    noise = np.random.default_rng(0).random(evaluation.probabilities.shape, dtype=np.float32)
    return replace(evaluation, probabilities=noise)


def scored(right: list[bool]) -> Scores:
    return Scores("made", np.array(right, dtype=np.int64), np.ones(len(right), dtype=np.int64))


def test_the_majority_names_the_commonest_label_of_what_is_not_test():
    rows = [("a", f"a words {i}") for i in range(5)] + [("b", f"b words {i}") for i in range(15)]
    table = pl.DataFrame(rows, schema=["label", "text"], orient="row").with_columns(path=pl.lit("p"))
    majority = fit_baselines(split(table, 0)).majority
    assert set(majority.predicted) == {1}
    assert majority.accuracy == pytest.approx(0.75)


def test_linear_svc_learns(evaluation: Evaluation):
    assert evaluation.baselines.linear_svc.accuracy > 0.9


def test_a_trained_model_is_better_than_guessing(evaluation: Evaluation):
    assert evaluation.test.accuracy > 0.9
    assert evaluation.verdict.text.startswith("Yes: better than guessing")


def test_a_random_model_is_not(evaluation: Evaluation):
    assert guessing(evaluation).verdict.text.startswith("No: not shown to be better than guessing")


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ([1] * 20, [1] * 10 + [0] * 10, "above"),
        ([1] * 10 + [0] * 10, [1] * 20, "below"),
        ([1, 0], [0, 1], "level with"),
    ],
)
def test_the_verdict_says_how_it_stands_against_linear_svc(
    evaluation: Evaluation, ours: list[bool], theirs: list[bool], said: str
):
    baselines = Baselines(scored([0] * len(ours)), scored(theirs))
    made = replace(evaluation, baselines=baselines)
    made.__dict__["test"] = scored(ours)
    assert f"It is {said} LinearSVC" in made.verdict.text


def test_probabilities_are_of_every_document_and_sum_to_one(evaluation: Evaluation):
    assert evaluation.probabilities.shape == (len(evaluation.parts.documents), 3)
    assert evaluation.probabilities.sum(axis=1) == pytest.approx(np.ones(60), abs=1e-5)


def test_the_surest_mistakes_come_first(evaluation: Evaluation):
    made = guessing(evaluation)
    shares = [row[3] for row in made.mistakes.rows]
    assert shares == sorted(shares, reverse=True)
    assert all(label != predicted for _, label, predicted, _ in made.mistakes.rows)


def test_the_confusion_matrix_counts_every_test_document(evaluation: Evaluation):
    made = guessing(evaluation)
    assert made.confusion.sum() == len(made.test.targets)
    assert np.trace(made.confusion) == made.test.right.sum()


def test_the_hardest_label_comes_first(evaluation: Evaluation):
    scores = [row[3] for row in guessing(evaluation).per_class.rows]
    assert scores == sorted(scores)


def test_baselines_without_words_are_refused():
    rows = {"path": list("abcdef"), "text": list("uvwxyz"), "label": ["x", "x", "x", "y", "y", "y"]}
    with pytest.raises(WorkError, match="linear_svc: cannot be fitted"):
        fit_baselines(split(pl.DataFrame(rows), 0))
