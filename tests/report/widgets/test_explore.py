"""Reasons can be looked for by outcome, label, document, class and method; what is chosen is what is asked."""

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from nbpipe.errors import RequestError
from nbpipe.explain.highlight import Highlight
from nbpipe.report.widgets.browse import browse
from nbpipe.report.widgets.compare import compare
from nbpipe.report.widgets.explore import Explore, explore
from nbpipe.shown import Picture, Sentence

pytest.importorskip("ipywidgets")
COLUMNS = ("path", "label", "predicted", "probability", "right", "unsure")
ROWS = [
    ("a/low.txt", "a", "b", 0.4, False, True),
    ("a/sure.txt", "a", "a", 0.9, True, False),
    ("b/wrong.txt", "b", "a", 0.8, False, False),
    ("b/low.txt", "b", "b", 0.5, True, True),
]


class Made:
    """An explained sample that notes what it is asked, and draws pages only of text files."""

    labels = ("a", "b")
    methods = ("integrated_gradients", "occlusion")

    def __init__(self, rows: list[tuple[Any, ...]] = ROWS) -> None:
        self.listing = pl.DataFrame(rows, schema=dict(zip(COLUMNS, map(type, ROWS[0]), strict=True)), orient="row")
        self.asked: list[tuple[str | None, ...]] = []

    def document(self, path: str, label: str | None = None, method: str | None = None) -> Highlight:
        self.asked.append((path, label, method))
        return Highlight(path, f"by {method}", label or "predicted", [], 0, [])

    def page(self, path: str, label: str | None = None, method: str | None = None) -> Picture | Sentence:
        return Picture(b"png", f"page of {path}", 300) if path.endswith(".txt") else Sentence("no page")


@pytest.fixture
def made() -> Made:
    """An explained sample of four documents."""
    return Made()


def listed(panel: Any) -> list[str]:
    """Return the documents that are listed."""
    return [label for label, _ in panel.finder.list.options]


def test_the_surest_come_first_and_the_first_is_shown(made: Made) -> None:
    panel = explore(made).panel()
    assert listed(panel) == [
        "a/sure.txt: a 0.90",
        "b/wrong.txt: a 0.80, wrong",
        "b/low.txt: b 0.50",
        "a/low.txt: b 0.40, wrong",
    ]
    assert made.asked == [("a/sure.txt", None, "integrated_gradients")]
    assert "a/sure.txt" in panel.words.value


@pytest.mark.parametrize(
    ("outcome", "label", "paths"),
    [
        ("right", "", ["a/sure.txt", "b/low.txt"]),
        ("wrong", "", ["b/wrong.txt", "a/low.txt"]),
        ("unsure", "", ["a/low.txt", "b/low.txt"]),
        ("wrong", "b", ["b/wrong.txt"]),
        ("all", "a", ["a/sure.txt", "a/low.txt"]),
    ],
)
def test_outcome_and_true_label_choose_documents(made: Made, outcome: str, label: str, paths: list[str]) -> None:
    panel = explore(made).panel()
    panel.outcome.value, panel.label.value = outcome, label
    assert [line.partition(":")[0] for line in listed(panel)] == paths
    assert made.asked[-1][0] == paths[0]


def test_class_and_method_choose_the_reasons(made: Made) -> None:
    panel = explore(made).panel()
    panel.explained.value = "b"
    panel.method.value = "occlusion"
    panel.finder.list.index = 1
    assert made.asked[-3:] == [
        ("a/sure.txt", "b", "integrated_gradients"),
        ("a/sure.txt", "b", "occlusion"),
        ("b/wrong.txt", "b", "occlusion"),
    ]
    panel.explained.value = ""
    assert made.asked[-1] == ("b/wrong.txt", None, "occlusion")


def test_the_page_is_a_picture_with_its_words_or_a_sentence() -> None:
    panel = explore(Made([*ROWS, ("c.eml", "a", "a", 0.99, True, False)])).panel()
    assert "no page" in panel.page.value
    panel.finder.list.index = 1
    assert 'alt="page of a/sure.txt"' in panel.page.value
    assert 'src="data:image/png;base64,cG5n"' in panel.page.value


def test_a_search_leaves_documents_with_these_words(made: Made) -> None:
    panel = explore(made).panel()
    panel.finder.search.value = "LOW"
    assert listed(panel) == ["b/low.txt: b 0.50", "a/low.txt: b 0.40, wrong"]
    panel.finder.search.value = "(no"
    assert (listed(panel), panel.words.value, panel.page.value) == ([], "", "")


def test_an_error_is_shown_and_raised_and_leaves_no_stale_reasons(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = explore(made).panel()

    def fail(*_: Any) -> None:
        raise RequestError("no reasons of <b>this</b>")

    with monkeypatch.context() as patch:
        patch.setattr(made, "document", fail)
        with pytest.raises(RequestError):
            panel.finder.list.index = 1
    assert "no reasons of &lt;b&gt;this&lt;/b&gt;" in panel.problem.value
    assert (panel.words.value, panel.page.value) == ("", "")
    panel.finder.list.index = 2
    assert panel.problem.value == ""


def test_the_still_is_the_surest_mistake_and_the_least_sure_document(made: Made) -> None:
    still = repr(explore(made))
    assert [path for path, *_ in made.asked] == ["b/wrong.txt", "a/low.txt"]
    assert still.index("surest mistake") < still.index("b/wrong.txt") < still.index("a/low.txt")


@pytest.mark.parametrize("rows", [[], ROWS[1:2]])
def test_samples_of_one_document_or_none_are_shown(rows: list[tuple[Any, ...]]) -> None:
    shown = explore(Made(rows))
    assert "none, no explained document is wrong" in repr(shown)
    assert len(listed(shown.panel())) == len(rows)


@pytest.mark.parametrize("given", [None, 5, [], "", "x" * 300])
@pytest.mark.parametrize("ask", [explore, browse, compare])
def test_what_names_no_run_is_refused(ask: Callable, given: Any) -> None:
    with pytest.raises(RequestError, match=r"run = .*: accepted is a run folder, or what the stage's own cell gave"):
        ask(given)


def test_documents_of_several_labels_or_none_are_found(made: Made) -> None:
    rows = [("1", "a|b", "a", 0.9, True, False), ("2", None, "a", 0.8, False, False)]
    shown: Explore = explore(Made(rows))
    assert shown.true_labels == ["a", "b"]
    assert [shown.find("all", label) for label in ("a", "b", "")] == [[0], [0], [0, 1]]


def test_strangers_cannot_put_markup_into_any_area(attack: str) -> None:
    shown = explore(Made([(attack, attack, attack, 0.5, False, True)]))
    panel = shown.panel()
    values = [shown._repr_html_(), panel.words.value, panel.page.value, panel.finder.count.value]
    assert not [value for value in values if "<script" in value or "<img src=x" in value]
    assert "\u202e" not in panel.finder.list.options[0][0]
