"""What a page shows of a notebook, and what it leaves out."""

import base64
import re
from pathlib import Path

import pytest
from nbformat.v4 import new_markdown_cell, new_output

from nbpipe.errors import WorkError
from nbpipe.report.pages import Output, Page, read_page

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg==")


@pytest.fixture
def read(maker, tmp_path: Path):
    """Read the page of a notebook of these cells."""
    return lambda *cells: read_page(maker.save(tmp_path / "train.ipynb", *cells))


def only(page: Page) -> Output:
    """Return the one output of a page."""
    (output,) = (output for cell in page.cells for output in cell.outputs)
    return output


def test_the_question_and_the_verdict_are_found(read, maker) -> None:
    verdict = maker.code("v", maker.shown(text_plain="Yes: it is.", text_html="<b>Yes</b>"), tags=["verdict"])
    page = read(new_markdown_cell("text\n\n# Is it?\n"), verdict)
    assert (page.question, page.verdict, page.error) == ("Is it?", "Yes: it is.", "")


def test_parameters_given_stand_over_defaults_in_one_table(read, maker) -> None:
    default = maker.code("shard: int = 0  # which\nlow = -1\nlabels = ''\nnow = time()", tags=["parameters"])
    given = maker.code("# Parameters\nshard = 2\n", tags=["injected-parameters"])
    code, table = read(default, given).cells
    assert (code.kind, table.kind) == ("code", "parameters")
    assert table.rows == (("shard", "2", "given"), ("low", "-1", "default"), ("labels", "", "default"))


@pytest.mark.parametrize("path", ["/home/alice/papers", "../../alice/papers/", "~/papers", r"C:\Users\alice\papers"])
def test_of_a_path_that_leads_elsewhere_only_the_last_name_is_shown(read, maker, path: str) -> None:
    given = maker.code(f"# Parameters\nrun = 'runs/demo'\ndocuments = {path!r}\n", tags=["injected-parameters"])
    assert [value for _, value, _ in read(given).cells[0].rows] == ["runs/demo", "…/papers"]


def test_papermill_metadata_and_paths_in_code_are_left_out(read, maker) -> None:
    page = read(maker.code("open('/home/alice/private/x.csv')"))
    assert "alice" not in page.cells[0].html
    assert "…/x.csv" in page.cells[0].html


def test_html_comes_before_markdown_and_plain_text(read, maker) -> None:
    both = maker.shown(text_html="<b>b</b><script>1</script>", text_markdown="*m*", text_plain="p")
    assert only(read(maker.code("x", both))) == Output("html", "<b>b</b>")
    assert only(read(maker.code("x", maker.shown(text_markdown="*m*")))).content == "<p><em>m</em></p>\n"


def test_a_picture_has_its_words_and_width(read, maker) -> None:
    output = maker.shown(image_png=PNG, text_plain="a curve")
    output.metadata["image/png"] = {"width": 700}
    shown = only(read(maker.code("x", output)))
    assert shown.content.startswith("data:image/png;base64,")
    assert (shown.kind, shown.alt, shown.width) == ("image", "a curve", 700)


def test_a_picture_that_is_none_is_shown_in_words(read, maker) -> None:
    assert only(read(maker.code("x", maker.shown(image_png=b"<svg/>", text_plain="a curve")))).kind == "text"


@pytest.mark.parametrize("mime", ["image_svg+xml", "application_javascript", "text_latex"])
def test_what_could_run_is_shown_in_words(read, maker, mime: str) -> None:
    assert only(read(maker.code("x", maker.shown(**{mime: "<svg onload=1/>"})))) == Output("text", "plain")


def widget(maker, **data: str | bytes):
    """Return the output of a widget, with what stands beside it."""
    output = maker.shown(text_plain="IntSlider(value=0)", **data)
    output.data["application/vnd.jupyter.widget-view+json"] = {"model_id": "1"}
    return output


def test_a_widget_leaves_a_note_without_its_state(read, maker) -> None:
    shown = only(read(maker.code("x", widget(maker))))
    assert (shown.kind, "JupyterLab" in shown.content) == ("note", True)


def test_the_still_beside_a_widget_is_shown_in_its_place(read, maker) -> None:
    (cell,) = read(maker.code("x", widget(maker, text_html="<b>still</b>", image_png=PNG))).cells
    assert [output.kind for output in cell.outputs] == ["html", "image"]
    assert cell.outputs[0].content == "<b>still</b>"


def test_a_widget_whose_picture_is_none_leaves_the_note(read, maker) -> None:
    assert only(read(maker.code("x", widget(maker, image_png=b"<svg>")))).kind == "note"


def test_headings_follow_each_other_in_order_below_the_pages_own(read, maker) -> None:
    html = maker.code("x", maker.shown(text_html="<h1>c</h1><h5>d</h5>"))
    page = read(new_markdown_cell("#### a\n\n###### b"), html)
    text = page.cells[0].html + page.cells[1].outputs[0].content
    assert re.findall(r"<h\d>\w</h\d>", text) == ["<h2>a</h2>", "<h3>b</h3>", "<h2>c</h2>", "<h3>d</h3>"]


def test_a_picture_without_words_is_said_to_have_none(read, maker) -> None:
    assert (
        only(read(maker.code("x", maker.shown(image_png=PNG, text_plain="")))).alt == "A picture without a description."
    )


def test_the_owner_of_a_folder_in_the_parameters_is_nowhere_on_the_page(read, maker) -> None:
    given = maker.code("# Parameters\nrun = '/home/alice/run'\n", tags=["injected-parameters"])
    error = new_output("error", ename="OSError", evalue="alice may not", traceback=[])
    stream = new_output("stream", text="Hello Alice, not malice\n")
    page = read(given, maker.code("who = 'alice'", stream, maker.shown(text_plain="alice"), error))
    assert "alice" not in re.sub("malice", "", str(page), flags=re.IGNORECASE).lower()
    assert "not malice" in str(page)


def test_an_error_is_shown_without_its_traceback(read, maker) -> None:
    error = new_output("error", ename="OSError", evalue="no '/home/alice/x/y'", traceback=["/usr/lib/python3/os.py"])
    page = read(maker.code("x", error))
    assert page.error == "OSError: no '…/y'"
    assert only(page) == Output("error", page.error)


def test_a_line_that_was_redrawn_shows_its_last_state(read, maker) -> None:
    stream = new_output("stream", name="stderr", text="0%\r50%\r100%\nnext\n")
    assert only(read(maker.code("x", stream))) == Output("warning", "100%\nnext")


NO_OUTPUTS = '{"cell_type": "code", "id": "a", "metadata": {}, "source": "x", "execution_count": 1}'
DAMAGED = f'{{"cells": [{NO_OUTPUTS}], "metadata": {{}}, "nbformat": 4, "nbformat_minor": 5}}'


@pytest.mark.parametrize("text", ["", "[]", "{}", "7", '{"cells": 7, "metadata": {}, "nbformat": 4}', "\xff", DAMAGED])
def test_what_is_no_notebook_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "train.ipynb"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(WorkError, match=r"audit/train\.ipynb: is no notebook"):
        read_page(path)
