"""Mistakes and unsure documents come with both sides' reasons and the training documents that are nearest."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nbpipe.audit import Stamp, read_receipt, write_receipt
from nbpipe.config import Explain
from nbpipe.explain.explained import Explained
from nbpipe.explain.stage import attribute, load_test
from nbpipe.records import write_table
from nbpipe.train.model import Classifier
from nbpipe.train.neighbours import NAME, directions, listed

Make = Callable[[Classifier], Explain]


def keep_neighbours(config: Explain, classifier: Classifier) -> None:
    """Keep two documents in the model folder as those it was made with."""
    hidden = classifier.hidden(pl.Series(["oven badan", "mast badan"]))
    write_table(config.run / "model" / NAME, listed(["a.txt", "b.txt"], ["cooking", "sailing"], directions(hidden)))
    reseal(config.run / "model", config)


def reseal(folder: Path, config: Explain) -> None:
    write_receipt(folder, "train", Stamp.now(config), inputs=read_receipt(folder).facts["inputs"])


@pytest.fixture
def confused(make_run: Make, wise: Classifier) -> Explained:
    """A sample that the classifier gets wrong: its labels are another's."""
    wise.labels.reverse()
    config = make_run(wise)
    keep_neighbours(config, wise)
    return attribute(load_test(config))


def test_every_mistake_is_reviewed_the_surest_first(confused: Explained) -> None:
    cases = confused.review.cases
    assert len(cases) == int((~confused.right).sum()) > 10
    shares = [case.predicted.probability for case in cases]
    assert shares == sorted(shares, reverse=True)


def test_both_sides_have_their_own_words(confused: Explained) -> None:
    case = next(case for case in confused.review.cases if case.path.startswith("sailing"))
    assert (case.predicted.label, case.other.label) == ("astronomy", "sailing")
    assert case.predicted.words[0][0] == "mast"
    assert dict(case.other.words).get("mast", -1.0) < case.predicted.words[0][1]


def test_the_nearest_training_documents_are_named(confused: Explained) -> None:
    case = next(case for case in confused.review.cases if case.path.startswith("sailing"))
    assert [near.path for near in case.near] == ["b.txt", "a.txt"]
    assert "b.txt (sailing, " in confused.review._repr_html_()


def test_of_a_right_but_unsure_answer_the_next_likely_class_is_shown(make_run: Make, wise: Classifier) -> None:
    explained = attribute(load_test(make_run(replace(wise, threshold=2.0))))
    ranked = np.argsort(-explained.probabilities[0])
    assert len(explained.review.cases) == 30
    case = next(case for case in explained.review.cases if case.path == explained.listing["path"][0])
    assert (case.outcome, case.other.label) == ("right", explained.labels[ranked[1]])


def test_nothing_to_review_is_said(make_run: Make, wise: Classifier) -> None:
    assert repr(attribute(load_test(make_run(wise))).review) == "None of 30 explained documents is wrong or unsure."


def test_a_model_without_neighbours_is_reviewed_and_says_what_it_lacks(make_run: Make, guessing: Classifier) -> None:
    review = attribute(load_test(make_run(guessing))).review
    assert "lacks neighbours.parquet" in repr(review)
    assert all(case.near == [] for case in review.cases)
