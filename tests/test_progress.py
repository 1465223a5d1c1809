"""Progress that is live in a notebook ends as one plain line in the saved one."""

from pathlib import Path

import nbformat
import papermill
import pytest

from nbpipe.progress import progress

CELL = """
import time
from nbpipe.progress import progress
sum(1 for item in progress((time.sleep(0.3) for _ in range(4)), total=4))
"""


def test_a_saved_notebook_holds_one_closing_line(tmp_path: Path) -> None:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(book, tmp_path / "in.ipynb")
    done = papermill.execute_notebook(tmp_path / "in.ipynb", tmp_path / "out.ipynb", progress_bar=False)
    shown, result = done.cells[0].outputs
    assert shown.data["text/html"].startswith("4 documents in ")
    assert "<progress" not in shown.data["text/html"]
    assert result.data["text/plain"] == "4"


def test_outside_a_notebook_and_a_terminal_nothing_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(progress(iter("ab"), total=2)) == ["a", "b"]
    assert capfd.readouterr() == ("", "")
