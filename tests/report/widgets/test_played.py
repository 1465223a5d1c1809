"""Who executes a notebook gets what helps them: a person controls, everybody else a still; nobody loses an error."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

import nbpipe
from nbpipe.report.widgets import played
from nbpipe.report.widgets.browse import browse
from nbpipe.report.widgets.played import Played, attended
from nbpipe.shown import Picture, Sentence, Table

pytest.importorskip("ipywidgets")
VIEW = "application/vnd.jupyter.widget-view+json"
Write = Callable[..., Path]


class Kernel:
    """A kernel that executes cells for somebody, or for nobody; a cell that fails is kept like any other."""

    def __init__(self) -> None:
        self.client = NotebookClient(new_notebook(), kernel_name="python3", allow_errors=True)

    def run(self, source: str, attended: bool) -> nbformat.NotebookNode:
        """Execute a cell; attended: whether a front end says that somebody could answer a prompt."""
        self.client.kc.allow_stdin = attended
        self.client.nb.cells.append(new_code_cell(source))
        return self.client.execute_cell(self.client.nb.cells[-1], len(self.client.nb.cells) - 1)


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """A kernel that knows this package."""
    kernel = Kernel()
    with kernel.client.setup_kernel():
        kernel.run(f"import sys; sys.path.insert(0, {str(Path(nbpipe.__file__).parents[1])!r})", False)
        kernel.run("from nbpipe.report.widgets.browse import browse", False)
        yield kernel


def kinds(cell: nbformat.NotebookNode) -> list[set[str]]:
    """Return the MIME types of each output of a cell."""
    return [set(output.get("data", {output.output_type: ""})) for output in cell.outputs]


def test_nobody_there_gets_the_still_and_no_widget_is_made(kernel: Kernel, write_texts: Write) -> None:
    run = write_texts({"a.txt": ["some words"], "b.txt": ["more"]})
    cell = kernel.run(f"browse({str(run)!r})", attended=False)
    assert kinds(cell) == [{"text/html", "text/plain"}, {"text/html", "text/plain"}]
    assert "some words" in cell.outputs[-1].data["text/html"]
    assert kernel.client.widget_state == {}


def test_somebody_there_gets_controls_with_the_still_beside_them(kernel: Kernel, write_texts: Write) -> None:
    run = write_texts({"a.txt": ["some words"]})
    cell = kernel.run(f"browse({str(run)!r})", attended=True)
    assert kinds(cell) == [{VIEW, "text/html", "text/plain"}]
    assert "some words" in cell.outputs[0].data["text/html"]
    assert cell.outputs[0].data[VIEW]["model_id"] in kernel.client.widget_state


@pytest.mark.parametrize("attended", [True, False])
def test_an_error_in_what_is_shown_is_an_error_of_the_cell(kernel: Kernel, write_texts: Write, attended: bool) -> None:
    run = write_texts({"a.txt": ["some words"]})
    (run / "shards" / "00000-of-00001" / "part-00000.parquet").unlink()
    cell = kernel.run(f"browse({str(run)!r})", attended)
    assert [output.ename for output in cell.outputs if output.output_type == "error"] == ["WorkError"]


def test_an_error_of_a_move_from_code_is_an_error_of_the_cell(kernel: Kernel, write_texts: Write) -> None:
    run = write_texts({"a.txt": ["some words"], "b.txt": ["more"]})
    kernel.run(f"panel = browse({str(run)!r}).panel()", attended=False)
    (run / "shards" / "00000-of-00001" / "part-00000.parquet").unlink()
    cell = kernel.run("panel.finder.list.index = 1", attended=False)
    assert [output.ename for output in cell.outputs] == ["WorkError"]


def test_outside_a_kernel_or_without_the_library_nobody_can_move_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not attended()
    message = {"content": {"allow_stdin": True}}
    shell = type("Shell", (), {"kernel": type("Kernel", (), {"get_parent": lambda _: message})()})()
    monkeypatch.setattr(played, "get_ipython", lambda: shell)
    assert attended()
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert not attended()


class Drawn(Played):
    """Something with a picture, for both kinds of readers."""

    def shown(self) -> list[Any]:
        return [Picture(b"png", "a <curve>"), Sentence("said")]


def test_a_picture_stands_for_itself_and_in_html_for_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert Drawn()._repr_html_() == "<p><b>a &lt;curve&gt;</b></p><p><b>said</b></p>"
    Drawn()._ipython_display_()
    assert capsys.readouterr().out.splitlines() == ["a <curve>", "said"]


def test_without_the_library_controls_name_the_extra(write_texts: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import sys; sys.modules['ipywidgets'] = None\n"
        "from nbpipe.report.widgets.browse import browse\n"
        f"shown = browse({str(write_texts({'a.txt': ['words']}))!r}); print(shown); shown.panel()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(nbpipe.__file__).parents[1]
    )
    assert "words" in done.stdout
    assert "pip install 'nbpipe[lab]'" in done.stderr


def test_browsing_needs_nothing_that_a_cheap_machine_lacks() -> None:
    heavy = ("torch", "polars", "matplotlib", "sklearn", "ipywidgets", "nh3")
    code = f"import sys, nbpipe.report.widgets.browse; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(nbpipe.__file__).parents[1]
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_one_module_alone_uses_the_library() -> None:
    package = Path(nbpipe.__file__).parent
    users = [path.name for path in package.rglob("*.py") if "import ipywidgets" in path.read_text()]
    assert users == ["controls.py"]


def test_a_still_is_made_of_what_shows_itself(write_texts: Write) -> None:
    assert all(isinstance(part, Table | Sentence) for part in browse(write_texts({"a.txt": ["words"]})).shown())
