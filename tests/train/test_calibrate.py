"""Probabilities become what they say, little evidence claims little, and a threshold keeps what is sure enough."""

import math

import numpy as np
import pytest

from nbpipe.train.calibrate import (
    TEMPERATURES,
    Coverage,
    calibration,
    fit_temperature,
    needed,
    probabilities,
    reliability,
    threshold,
)


def drawn(temperature: float, multi: bool, documents: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Return logits [N, 4] that are right at this temperature, and labels drawn by it."""
    chance = np.random.default_rng(0)
    logits = chance.normal(0, 3, (documents, 4))
    shares = probabilities(logits, multi, temperature).astype(np.float64)
    if multi:
        return logits, chance.random(shares.shape) < shares
    return logits, np.array([chance.multinomial(1, row / row.sum()) for row in shares], dtype=bool)


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_temperature_that_made_the_labels_is_found(multi: bool, temperature: float):
    assert fit_temperature(*drawn(temperature, multi), multi) == pytest.approx(temperature, rel=0.1)


def test_documents_that_are_all_right_make_the_model_only_as_sure_as_their_number_allows():
    for documents, expected in ((5, 6 / 7), (100, 101 / 102)):
        logits, truth = np.tile([1.5, 0.0], (documents, 1)), np.tile([True, False], (documents, 1))
        found = probabilities(logits, False, fit_temperature(logits, truth, False))
        assert found[0, 0] == pytest.approx(expected, abs=0.001)


def test_the_temperature_is_bounded():
    truth = np.arange(2) == np.array([0, 1] * 500)[:, None]
    assert fit_temperature(np.where(truth, -9.0, 9.0), truth, False) == pytest.approx(TEMPERATURES[1], rel=0.01)
    assert fit_temperature(np.where(truth, 0.1, -0.1), truth, True) == pytest.approx(TEMPERATURES[0], rel=0.01)


def test_the_calibration_error_is_the_distance_of_confidence_and_accuracy():
    confidence = np.repeat([0.6, 0.9], 50)
    right = np.concatenate([np.arange(50) < 20, np.arange(50) < 45])
    found = reliability(confidence, right)
    assert found.confidence == pytest.approx([0.6, 0.9])
    assert found.accuracy == pytest.approx([0.4, 0.9])
    assert found.error == pytest.approx(0.1)


def test_bins_hold_equally_many_answers_however_sure_they_are():
    confidence = 1 - np.random.default_rng(0).random(1500) ** 4 / 2
    assert reliability(confidence, confidence > 0.9).answers.tolist() == [100] * 15


def test_a_few_documents_make_one_bin():
    assert reliability(np.array([0.5, 0.9]), np.array([True, False])).answers.tolist() == [2]


def test_the_order_of_documents_with_equal_confidence_changes_nothing():
    confidence, right = np.full(300, 0.5), np.arange(300) < 150
    assert reliability(confidence, right).error == 0


@pytest.mark.parametrize("multi", [False, True])
def test_calibration_lowers_the_error_to_what_chance_leaves(multi: bool):
    logits, truth = drawn(4.0, multi)
    found = calibration(logits, truth, multi, fit_temperature(logits, truth, multi))
    assert found.before.error > 0.15
    assert found.after.error < 2 * found.after.chance
    assert "mean what they say" in found.sentence.text
    assert found.facts()["ece"] == found.after.error


def test_probabilities_that_are_off_are_said_to_be():
    logits, truth = drawn(4.0, multi=True)
    assert "not quite what they say" in repr(calibration(logits, truth, True, 1.0))


def test_the_error_by_chance_is_what_perfect_answers_show():
    chance, confidence = np.random.default_rng(0), np.linspace(0.5, 1, 600)
    errors = [reliability(confidence, chance.random(600) < confidence).error for _ in range(300)]
    assert reliability(confidence, confidence > 0).chance == pytest.approx(np.mean(errors), rel=0.05)


@pytest.mark.parametrize(("target", "documents"), [(0.5, 2), (0.9, 10), (0.95, 20), (0.99, 100), (1.0, 100)])
def test_a_target_needs_as_many_documents_as_it_takes_to_meet_a_mistake(target: float, documents: int):
    assert needed(target) == documents


def test_the_threshold_is_the_lowest_confidence_that_reaches_the_target():
    confidence = np.linspace(1, 0.01, 100)
    right = np.arange(100) < 57
    level = threshold(confidence, right, 0.95)
    kept = confidence >= level
    assert (kept.sum(), right[kept].mean()) == (60, 0.95)


def test_documents_of_equal_confidence_are_kept_or_left_together():
    confidence, right = np.repeat([0.9, 0.8], 30), np.arange(60) < 45
    assert threshold(confidence, right, 0.95) == 0.9


@pytest.mark.parametrize("documents", [19, 20])
def test_too_few_documents_prove_no_accuracy(documents: int):
    level = threshold(np.full(documents, 0.9), np.ones(documents, bool), 0.95)
    assert level == (0.9 if documents == 20 else math.inf)


def test_a_target_out_of_reach_leaves_everything_to_a_person():
    confidence, right = np.linspace(0.5, 1, 200), np.arange(200) % 2 == 0
    level = threshold(confidence, right, 0.95)
    found = Coverage(confidence, right, level, 0.95)
    assert found.facts() == {"threshold": None, "target": 0.95, "share": 0.0, "accuracy": None}
    assert found.sentence.text.startswith("Every document is left to a person")


def test_the_sentence_says_what_is_answered_and_how_much_of_it_is_right():
    found = Coverage(np.linspace(1, 0.01, 100), np.arange(100) < 57, 0.405, 0.95)
    assert found.sentence.text == (
        "At 0.41 the model answers 60.0% of documents and 95.0% of these are right; without a threshold 57.0% are."
    )
    assert "short of the 99.0%" in Coverage(found.confidence, found.right, 0.405, 0.99).sentence.text


def test_a_threshold_that_no_test_document_reaches_is_said_to_be_one():
    assert "no answer is as sure as 0.99" in Coverage(np.full(9, 0.5), np.ones(9, bool), 0.99, 0.9).sentence.text


def test_the_table_goes_from_all_documents_to_the_surest_half():
    rows = Coverage(np.linspace(1, 0.01, 100), np.arange(100) < 57, 0.4, 0.95).shown()[0].rows
    assert [row[1] for row in rows] == pytest.approx([1, 0.95, 0.9, 0.8, 0.7, 0.5])
    assert (rows[0][2], rows[-1][2]) == (0.57, 1)
