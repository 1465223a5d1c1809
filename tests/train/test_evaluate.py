"""The trained model is judged beside what it has to beat, by the test part alone."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbpipe.config import Train
from nbpipe.run import Run
from nbpipe.shown import Link
from nbpipe.train.baselines import Baselines
from nbpipe.train.evaluate import Evaluation
from nbpipe.train.scores import Scores

MakeRun = Callable[..., Path]


@pytest.fixture
def evaluation(done: Any) -> Evaluation:
    return done.evaluation


@pytest.fixture
def guessing(evaluation: Evaluation) -> Evaluation:
    """The evaluation of a model that answers at random."""
    noise = np.random.default_rng(0).normal(size=evaluation.logits.shape).astype(np.float32)
    return replace(evaluation, logits=noise)


def scored(right: list[int], name: str = "made") -> Scores:
    """Return scores of two labels, with these answers right."""
    truth = np.tile([True, False], (len(right), 1))
    return Scores(name, np.where(np.array(right, bool)[:, None], truth, ~truth), truth)


def test_a_trained_model_is_better_than_guessing_and_an_untrained_one_is_not(evaluation: Evaluation):
    assert evaluation.test.accuracy > 0.9 > 0.7 > evaluation.untrained.accuracy
    assert evaluation.verdict.text.startswith("Yes: better than guessing")


def test_a_random_model_is_not(guessing: Evaluation):
    assert guessing.verdict.text.startswith("No: not shown to be better than guessing")


def replace_parts(evaluation: Evaluation, **values: Any) -> Any:
    start = evaluation.training.start
    return replace(evaluation.training, start=replace(start, parts=replace(start.parts, **values)))


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ([1] * 20, [1] * 10 + [0] * 10, "above"),
        ([1] * 10 + [0] * 10, [1] * 20, "below"),
        ([1, 0], [0, 1], "level with"),
    ],
)
def test_the_verdict_says_how_it_stands_against_linear_svc(
    evaluation: Evaluation, ours: list[int], theirs: list[int], said: str
):
    made = replace(evaluation, baselines=Baselines(scored([0] * len(ours)), scored(theirs)))
    made.__dict__["test"] = scored(ours)
    assert f"It is {said} LinearSVC" in made.verdict.text


def test_probabilities_are_of_every_usable_document_and_sum_to_one(evaluation: Evaluation):
    assert evaluation.probabilities.shape == (len(evaluation.parts.documents), 3) == (61, 3)
    assert evaluation.probabilities.sum(axis=1) == pytest.approx(np.ones(61), abs=1e-5)


def test_of_several_labels_each_has_a_probability_of_its_own(evaluation: Evaluation):
    many = replace(evaluation, training=replace_parts(evaluation, multi=True))
    assert many.probabilities == pytest.approx(1 / (1 + np.exp(-many.logits)), abs=1e-6)
    assert many.confidence == pytest.approx(np.maximum(many.probabilities, 1 - many.probabilities).min(axis=1))


def test_only_the_test_part_is_scored(guessing: Evaluation):
    test = guessing.parts.rows("test")
    assert np.array_equal(guessing.test.truth, guessing.parts.truth[test])
    assert guessing.test.predicted.argmax(1).tolist() == guessing.logits[test].argmax(1).tolist()
    assert guessing.coverage.confidence == pytest.approx(guessing.confidence[test])


def test_every_model_has_an_interval_around_its_accuracy(evaluation: Evaluation):
    found = evaluation.accuracies
    assert list(found) == ["bag", "linear_svc", "majority", "untrained"]
    assert all(low <= value <= high for value, low, high in found.values())
    assert "in accuracy is" in evaluation.difference.text


def test_calibration_compares_the_logits_before_and_after(guessing: Evaluation):
    hot = replace(guessing, training=replace(guessing.training, temperature=0.1))
    cold = replace(guessing, logits=guessing.logits * 0.1)
    assert hot.calibration.before.error == pytest.approx(cold.calibration.after.error, abs=1e-6)
    assert hot.calibration.temperature == 0.1


def test_the_surest_mistakes_come_first_with_the_beginning_of_their_texts(guessing: Evaluation, made: dict[str, str]):
    rows = guessing.mistakes.rows
    shares = [row[3] for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert len(rows) == min((~guessing.test.right).sum(), 10)
    assert all(row[1] != row[2] and row[1] == row[0].split("/")[0] for row in rows)
    assert all(row[4] == made[row[0]][:300] for row in rows)


def test_without_mistakes_the_table_is_empty(evaluation: Evaluation):
    truth = evaluation.parts.truth.astype(np.float32)
    assert replace(evaluation, logits=truth).mistakes.rows == []


def test_mistakes_lead_to_their_documents(guessing: Evaluation, monkeypatch: pytest.MonkeyPatch):
    here = guessing.training.start.config.run.parent
    monkeypatch.chdir(here)
    monkeypatch.setattr(Run, "documents", lambda _: here / "papers")
    links = [row[0] for row in guessing.mistakes.rows]
    assert all(isinstance(link, Link) and link.place == f"../../papers/{link.text}" for link in links)


def test_the_confusion_table_counts_every_test_document(guessing: Evaluation):
    assert guessing.confusion.sum() == len(guessing.test.truth)
    assert np.trace(guessing.confusion) == guessing.test.right.sum()


def test_the_hardest_label_comes_first(guessing: Evaluation):
    scores = [row[3] for row in guessing.per_class.rows]
    assert scores == sorted(scores)
    assert {row[0] for row in guessing.per_class.rows} == set(guessing.labels)


def test_it_shows_all_models_and_whether_the_difference_is_real(evaluation: Evaluation):
    shown = repr(evaluation)
    assert all(name in shown for name in evaluation.accuracies)
    assert evaluation.difference.text in shown


def test_texts_of_strangers_cannot_act(stage: Any, make_run: MakeRun):
    attack = "<script>alert(1)</script>"
    texts = {f"{label}/{i}": f"{attack} {label} word{i}" for label in ("<b>", "c") for i in range(10)}
    evaluation = stage(Train(run=make_run(texts), device="cpu", epochs=1)).evaluation
    wrong = replace(evaluation, logits=-evaluation.logits)
    shown = wrong.mistakes._repr_html_() + wrong.per_class._repr_html_()
    assert "&lt;script&gt;" in shown
    assert set(re.findall(r"<\s*/?\s*(\w+)", shown)) <= {"p", "b", "table", "thead", "tbody", "tr", "th", "td"}
    assert "&lt;b&gt;" in shown
