"""A person opens each notebook in JupyterLab, runs it, and moves its widget with the keyboard alone.

The notebooks are copies that run on a small made corpus. Each is opened once, after the one whose results it reads; a
cell with the widget is added after the verdict where the notebook has none.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell
from reportlab.pdfgen.canvas import Canvas

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytest.importorskip("jupyterlab", reason="needs jupyterlab")

from lab import ROOT, Lab, await_true, jupyter_lab  # noqa: E402 - needs playwright

expect = playwright.expect
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on PATH")
STAGES = ("preprocess", "train", "explain")
WIDGETS = {
    "preprocess": ("browse(", "from nbpipe.report.widgets.browse import browse\n\nbrowse(parsing)"),
    "train": ("compare(", "from nbpipe.report.widgets.compare import compare\n\ncompare(evaluation)"),
    "explain": ("explore(", "from nbpipe.report.widgets.explore import explore\n\nexplore(explained)"),
}
PARAMETERS = {
    "preprocess": 'documents = "documents"\nrun = "runs/made"\nworkers = 1',
    "train": 'run = "runs/made"\nepochs = 4\ndevice = "cpu"',
    "explain": 'run = "runs/made"',
}
BROKEN, DRAWN = "cooking/broken.pdf", "sailing/drawn.pdf"


def prepare(stage: str, folder: Path) -> None:
    """Copy a notebook without its outputs; give it the made corpus, and its widget if it has none."""
    book = nbformat.read(ROOT / "notebooks" / f"{stage}.ipynb", as_version=4)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    for cell in code:
        cell.outputs, cell.execution_count = [], None
    tagged = {tag: book.cells.index(cell) for cell in code for tag in cell.metadata.get("tags", [])}
    call, source = WIDGETS[stage]
    if not any(call in cell.source for cell in code):
        book.cells.insert(tagged["verdict"] + 1, new_code_cell(source))
    book.cells.insert(tagged["parameters"] + 1, new_code_cell(f"# Parameters\n{PARAMETERS[stage]}"))
    nbformat.write(book, folder / f"{stage}.ipynb")


@dataclass
class Person:
    """Somebody who has opened JupyterLab in a browser, and the notebooks that they have run."""

    lab: Lab
    browser: Any
    folder: Path
    pages: dict[str, Any] = field(default_factory=dict)

    def page(self, stage: str) -> Any:
        """Return the page of a notebook that was run to its end, after those whose results it reads."""
        for name in STAGES[: STAGES.index(stage) + 1]:
            if name not in self.pages:
                page = self.browser.new_page(viewport={"width": 1300, "height": 1250})
                self.lab.open(page, f"notebooks/{name}.ipynb")
                self.lab.run_all(page, f"notebooks/{name}.ipynb")
                self.pages[name] = page
        return self.pages[stage]

    def saved(self, stage: str) -> nbformat.NotebookNode:
        """Save a notebook with the keyboard, and return it as it then lies on the disk."""
        path, page = self.folder / "notebooks" / f"{stage}.ipynb", self.page(stage)
        before = path.stat().st_mtime_ns
        page.keyboard.press("Control+s")
        await_true(lambda: path.stat().st_mtime_ns != before, 20, page)
        await_true(lambda: path.read_bytes().rstrip().endswith(b"}"), 20, page)
        return nbformat.read(path, as_version=4)


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory, make_corpus: Callable[..., None]) -> Iterator[Person]:
    """A person in front of three notebooks and a small corpus with one broken document and one that is drawn."""
    folder = tmp_path_factory.mktemp("lab")
    make_corpus(folder / "documents", each=10)
    (folder / "documents" / BROKEN).write_bytes(b"%PDF-1.4 nothing more")
    canvas = Canvas(str(folder / "documents" / DRAWN))
    canvas.drawString(50, 700, "wind sail harbour mast anchor deck")
    canvas.save()
    (folder / "notebooks").mkdir()
    for stage in STAGES:
        prepare(stage, folder / "notebooks")
    with jupyter_lab(folder) as lab, playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield Person(lab, browser, folder)
        browser.close()


@pytest.mark.parametrize("stage", STAGES)
def test_a_notebook_runs_from_its_first_cell_to_its_last_without_an_error(person: Person, stage: str) -> None:
    page = person.page(stage)
    assert page.locator('[data-mime-type="application/vnd.jupyter.error"]').count() == 0
    book = person.saved(stage)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert sum("application/vnd.jupyter.widget-view+json" in output.get("data", {}) for output in outputs) == 1
    assert "widgets" not in book.metadata


def widget(page: Any) -> Any:
    """Return where the controls and what they show stand on a page."""
    return page.locator(".nbpipe-panel")


def test_a_document_is_found_and_turned_to_with_the_keyboard(person: Person) -> None:
    page, shown = person.page("preprocess"), widget(person.page("preprocess"))
    cells = page.locator(".jp-Cell").count()
    shown.get_by_label("status", exact=True).focus()
    page.keyboard.type("unr")
    expect(shown.locator("table")).to_contain_text("unreadable")
    expect(shown).to_contain_text("No text:")
    page.keyboard.press("Home")
    page.keyboard.press("Tab")
    page.keyboard.type("sailing/0")
    expect(shown).to_contain_text("documents 1 to 10 of 10")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    expect(shown).to_contain_text("sailing/01.txt")
    expect(shown.locator("pre")).to_contain_text("harbour")
    shown.get_by_label("search", exact=True).fill(DRAWN)
    expect(shown.locator("pre")).to_contain_text("wind sail")
    expect(shown.get_by_role("img", name="Page 1 of drawn.pdf.")).to_be_visible()
    shown.get_by_label("search", exact=True).fill("sailing/0")
    expect(shown).to_contain_text("documents 1 to 10 of 10")
    assert page.locator(".jp-Cell").count() == cells


def test_an_error_is_seen_and_the_widget_goes_on(person: Person) -> None:
    page, shown = person.page("preprocess"), widget(person.page("preprocess"))
    part = next((person.folder / "runs" / "made").rglob("part-*.parquet"))
    whole = part.read_bytes()
    shown.get_by_label("documents", exact=True).focus()
    part.write_bytes(b"damaged")
    page.keyboard.press("ArrowDown")
    expect(shown.get_by_role("alert")).to_contain_text("cannot be read as Parquet")
    part.write_bytes(whole)
    page.keyboard.press("ArrowDown")
    expect(shown.get_by_role("alert")).to_have_count(0)
    expect(shown.locator("pre")).to_be_visible()


def test_the_threshold_is_moved_with_the_arrow_keys(person: Person) -> None:
    page, shown = person.page("train"), widget(person.page("train"))
    mark = shown.locator("polygon.mark")
    shown.get_by_role("slider").focus()
    page.keyboard.press("End")
    expect(shown).to_contain_text("0 documents are left to a person")
    before = mark.get_attribute("points")
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
    expect(shown).to_contain_text("Where 70% of the test documents are answered")
    assert mark.get_attribute("points") != before
    shown.get_by_role("button", name="answered wrongly").focus()
    page.keyboard.press("Space")
    expect(shown).to_contain_text("documents are answered wrongly")


def test_reasons_are_looked_for_with_the_keyboard(person: Person) -> None:
    page, shown = person.page("explain"), widget(person.page("explain"))
    shown.get_by_role("button", name="right", exact=True).focus()
    page.keyboard.press("Space")
    shown.get_by_label("true label", exact=True).focus()
    page.keyboard.type("sai")
    words = shown.locator(".widget-html").filter(has_text="speaks for")
    expect(words).to_contain_text("Predicted sailing")
    first = words.inner_text()
    shown.get_by_label("documents", exact=True).focus()
    page.keyboard.press("ArrowDown")
    expect(words).not_to_have_text(first, use_inner_text=True)
    expect(words).to_contain_text("sailing/")
    assert page.locator(".jp-RawCell").count() == 0
