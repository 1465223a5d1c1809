"""The threshold moves with the share of documents answered; what is answered and right is counted from the run."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from nbpipe.errors import RequestError, WorkError
from nbpipe.report.widgets.answers import answers_of
from nbpipe.report.widgets.compare import Compare, compare
from nbpipe.report.widgets.curve import Curve

pytest.importorskip("ipywidgets")
Write = Callable[..., Path]
TEN = [(f"{label}/{place}.txt", label, label, place / 10) for place, label in enumerate("ababababab", start=1)]
TEN[0] = ("a/1.txt", "a", "b", 0.1)  # a wrong answer, the least sure
TEN[8] = ("a/9.txt", "a", "b", 0.9)  # a wrong answer of which it is sure


@pytest.fixture
def ten(write_answers: Write) -> Compare:
    """A run with ten answers of confidence 0.1 to 1.0, two of them wrong."""
    return compare(write_answers(TEN))


def mark(html: str) -> list[str]:
    """Return the corners of each mark in a curve."""
    return re.findall(r'class="mark" points="([^"]+)"', html)


def test_it_starts_at_the_models_own_threshold(ten: Compare) -> None:
    panel = ten.panel()
    assert panel.percent.value == 50
    assert "0.600 are given: 5 of 10 test documents, 80.0% of them right, which misses" in panel.sentence.value
    assert "5 documents are left to a person" in panel.documents.value


@pytest.mark.parametrize(
    ("percent", "answered", "right"), [(100, 10, 8), (10, 1, 1), (20, 2, 1), (75, 8, 7), (0, 0, 0)]
)
def test_the_slider_answers_that_share_and_counts_what_is_right(ten: Compare, percent: int, answered: int, right: int):
    found = ten.runs["run"].at(percent)
    assert (found.kept.sum(), found.right[found.kept].sum()) == (answered, right)
    panel = ten.panel()
    panel.percent.value = percent
    assert f"{10 - answered} documents are left to a person" in panel.documents.value


def test_moving_the_slider_moves_sentence_mark_and_labels(ten: Compare) -> None:
    panel = ten.panel()
    before = panel.sentence.value, mark(panel.curve.value), panel.labels.value
    panel.percent.value = 100
    after = panel.sentence.value, mark(panel.curve.value), panel.labels.value
    assert not [old for old, new in zip(before, after, strict=True) if old == new]
    panel.percent.value = 0
    assert mark(panel.curve.value) == []
    assert "Every one of 10 test documents is left to a person." in panel.sentence.value


def test_labels_are_counted_with_all_first_and_the_worst_next(ten: Compare) -> None:
    rows = ten.runs["run"].by_label(100).rows
    assert rows == [("all", 10, 10, 8, 0.8), ("a", 5, 5, 3, 0.6), ("b", 5, 5, 5, 1.0)]
    assert ten.runs["run"].by_label(10).rows == [("all", 10, 1, 1, 1.0), ("b", 5, 1, 1, 1.0), ("a", 5, 0, 0, None)]


def test_the_least_sure_are_listed_first_and_the_surest_mistakes_on_demand(ten: Compare) -> None:
    panel = ten.panel()
    assert [row[0] for row in ten.runs["run"].left(50).rows] == [f"{'ab'[n % 2]}/{n + 1}.txt" for n in range(5)]
    panel.listed.value = "answered wrongly"
    assert "1 documents are answered wrongly" in panel.documents.value
    assert "a/9.txt" in panel.documents.value
    panel.percent.value = 100
    assert [row[0] for row in ten.runs["run"].wrong(100).rows] == ["a/9.txt", "a/1.txt"]


def test_answers_of_equal_confidence_are_kept_or_left_together(write_answers: Write) -> None:
    same = [(f"{place}.txt", "a", "a", 0.5) for place in range(4)]
    assert compare(write_answers(same)).runs["run"].at(10).kept.sum() == 4


def test_documents_of_several_labels_count_for_each(write_answers: Write) -> None:
    run = answers_of(write_answers([("1", "a|b", "a|b", 0.9), ("2", "a", "a|b", 0.8), ("3", "b", "b", 0.7)]))
    assert run.by_label(100).rows == [("all", 3, 3, 2, 2 / 3), ("a", 2, 2, 1, 0.5), ("b", 2, 2, 2, 1.0)]


def test_several_runs_are_compared_at_one_share(write_answers: Write) -> None:
    better = [(path, label, label, sure) for path, label, _, sure in TEN]
    shown = compare(write_answers(TEN), write_answers(better, 0.95, "better"))
    panel = shown.panel()
    assert len(mark(panel.curve.value)) == 2
    assert [row[0] for row in shown.level(100, "run").rows] == ["run", "better", "run, its own threshold"]
    panel.run.value = "better"
    assert "better, its own threshold" in panel.levels.value
    assert "100.0% of them right" in panel.sentence.value
    assert panel.percent.value == 50


def test_runs_of_one_name_are_told_apart(write_answers: Write) -> None:
    shown = compare(write_answers(TEN, name="a/run"), write_answers(TEN, name="b/run"))
    assert list(shown.runs) == ["run (1)", "run (2)"]


def test_a_model_that_leaves_everything_to_a_person_starts_there(write_answers: Write) -> None:
    shown = compare(write_answers(TEN, threshold=None))
    assert shown.panel().percent.value == 0
    assert "Every document is left to a person" in repr(shown)


def test_a_run_of_one_test_document_is_shown(write_answers: Write) -> None:
    panel = compare(write_answers([("a.txt", "a", "a", 0.7)])).panel()
    panel.percent.value = 1
    assert "1 of 1 test documents, 100.0% of them right, which reaches" in panel.sentence.value


def test_a_run_without_a_model_or_test_documents_is_refused(write_answers: Write, tmp_path: Path) -> None:
    with pytest.raises(WorkError, match="tested on no documents"):
        compare(write_answers(TEN, part="train"))
    with pytest.raises(RequestError, match=r"nowhere.*no such folder"):
        compare(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WorkError, match="model: has no receipt"):
        compare(tmp_path / "empty")


def test_answers_that_changed_since_the_receipt_are_refused(write_answers: Write) -> None:
    run = write_answers(TEN)
    (run / "model" / "metrics.json").write_text("{}")
    with pytest.raises(WorkError, match=r"metrics.json does not match its digest"):
        compare(run)


def test_the_still_is_the_curve_a_table_of_thresholds_and_the_sentence(ten: Compare) -> None:
    picture, table, sentence = ten.shown()
    assert picture._repr_png_()[0].startswith(b"\x89PNG")
    assert [row[1] for row in table.rows] == [10, 10, 9, 8, 7, 5]
    assert sentence.text.startswith("At 0.60 the model answers 50.0%")


def test_strangers_cannot_put_markup_into_any_area(write_answers: Write, attack: str) -> None:
    shown = compare(write_answers([(attack, attack, attack, 0.5), ("b", "b", attack, 0.4)], name="<b>run"))
    panel = shown.panel()
    panel.percent.value = 100
    panel.listed.value = "answered wrongly"
    areas = (panel.sentence, panel.curve, panel.levels, panel.labels, panel.documents)
    values = [shown._repr_html_(), *(area.value for area in areas)]
    assert not [value for value in values if "<script" in value or "<img" in value or "<b>run" in value]


def test_the_curve_says_in_words_what_it_shows_and_stays_small(write_answers: Write) -> None:
    many = [(f"{place}.txt", "a", "a" if place % 7 else "b", place / 20_000) for place in range(20_000)]
    shown = compare(write_answers(many))
    html = Curve(shown.runs, 40)._repr_html_()
    assert len(html) < 10_000
    assert "8,000 of 20,000 test documents" in re.search(r'aria-label="([^"]+)"', html)[1]
