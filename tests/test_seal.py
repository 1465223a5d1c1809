"""A notebook that has run is sealed, whoever ran it, and a change made later is told apart."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from tampering import code, edit, exchange, tagged, without

from nbpipe import crate
from nbpipe.audit import Receipt, read_receipt
from nbpipe.book import read_cells
from nbpipe.run import Run
from nbpipe.seal import Seal, findings, from_kernel, keep, outputs_known, paths

SHOWING = """
import sys
from IPython.display import HTML, Image, display
display(HTML("<b>one\\ntwo</b>"))
print("printed\\nin lines")
print("warned", file=sys.stderr)
"""
PICTURE = """
import io
from PIL import Image
Image.new("RGB", (3, 2))
"""
RECEIPT = """
from nbpipe.audit import Stamp, write_receipt
write_receipt(Run(config.run).model, "train", Stamp.now(config), inputs={})
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small notebook that shows, prints, draws and ends in a receipt."""
    configure = "from nbpipe.config import Train\nfrom nbpipe.notebook import configure\nfrom nbpipe.run import Run\n"
    cells = [
        new_markdown_cell("# What?"),
        new_code_cell("run: str = ''\nseed: int = 0", metadata={"tags": ["parameters"]}),
        new_code_cell(f"{configure}\nconfig = configure(Train)"),
        new_code_cell(SHOWING),
        new_code_cell(PICTURE),
        new_code_cell(RECEIPT),
    ]
    book = new_notebook(cells=cells)
    book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = tmp_path_factory.mktemp("source") / "train.ipynb"
    nbformat.write(book, path)
    return path


@pytest.fixture(scope="module")
def by_command(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose notebook was executed by the papermill command alone."""
    run = Run(tmp_path_factory.mktemp("{by} command"))
    run.audit.mkdir()
    (run.folder / crate.NAME).write_text("of what was there before")
    place = str(run.notebook("train")).replace("{", "{{").replace("}", "}}")
    command = [sys.executable, "-m", "papermill", str(source), place, "-p", "run", str(run.folder)]
    subprocess.run([*command, "--no-progress-bar"], check=True, capture_output=True, timeout=120)
    return run


def problems(run: Run, change: Callable[[dict], object] | None = None) -> list[str]:
    """Return what is found of the notebook of a run after a change of it."""
    path = run.notebook("train")
    whole = path.read_bytes()
    if change:
        edit(path, change)
    data = path.read_bytes()
    path.write_bytes(whole)
    return findings(path, read_cells(data), data, read_receipt(run.model).digest)


def test_the_papermill_command_alone_makes_a_sealed_notebook(by_command: Run) -> None:
    assert len(paths(by_command.notebook("train"))) == 1
    assert outputs_known(by_command.notebook("train"), read_receipt(by_command.model).digest)
    assert problems(by_command) == []
    assert not (by_command.folder / crate.NAME).exists()
    assert problems(by_command, lambda book: book["metadata"].pop("papermill")) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda book: book["cells"][0].update(source="# Who?"), "cell 1 was changed"),
        (lambda book: tagged(book, "injected-parameters").update(source="run = 'other'"), "cell 3 was changed"),
        (lambda book: code(book)[3]["outputs"][0]["data"].update({"text/html": "<b>one</b>"}), "what cell 5 shows"),
        (lambda book: code(book)[3]["outputs"][1].update(text="printed"), "what cell 5 prints"),
        (lambda book: code(book)[4]["outputs"][0]["data"].update({"image/png": "AAAA"}), "what cell 6 shows"),
        (lambda book: code(book)[5]["outputs"][0]["data"].update({"text/plain": "sha"}), "what cell 7 shows"),
        (
            lambda book: code(book)[5]["outputs"].append({"output_type": "stream", "name": "stdout", "text": "Yes!"}),
            "what cell 7 prints",
        ),
        (lambda book: without(book, 4), "lacks a cell that stood after cell 5"),
        (lambda book: exchange(book, 3, 4), "stand in another order"),
    ],
)
def test_a_change_after_the_papermill_command_is_found(change: Callable, said: str, by_command: Run) -> None:
    (line,) = problems(by_command, change)
    assert said in line


def test_other_executions_seal_the_sources_that_ran(source: Path, tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.audit.mkdir()
    given = {"run": str(tmp_path)}
    papermill.execute_notebook(source, run.notebook("train"), given, progress_bar=False)
    assert problems(run) == []
    assert not outputs_known(run.notebook("train"), read_receipt(run.model).digest)
    assert "code cell 4 was changed" in problems(run, lambda book: code(book)[3].update(source="pass"))[0]


@pytest.fixture
def sealed(by_command: Run, tmp_path: Path) -> tuple[Path, Receipt, Seal]:
    """A notebook elsewhere, not sealed yet, its receipt, and the seal that it would get."""
    path, receipt = tmp_path / "audit" / "train.ipynb", read_receipt(by_command.model)
    path.parent.mkdir()
    path.write_bytes(by_command.notebook("train").read_bytes())
    return path, receipt, Seal.of(path.read_bytes(), receipt)


def test_a_seal_of_a_saved_file_finds_any_change_of_it(sealed: tuple[Path, Receipt, Seal]) -> None:
    path, receipt, seal = sealed
    keep(path, seal)
    data = path.read_bytes()
    assert findings(path, read_cells(data), data, receipt.digest) == []
    again = data.replace(b'"duration"', b'"Duration"', 1)
    assert again != data
    assert findings(path, read_cells(again), again, receipt.digest) == [
        "was saved again after its run; its cells are as they were"
    ]


def test_a_damaged_seal_is_named_and_none_is_said(sealed: tuple[Path, Receipt, Seal]) -> None:
    path, receipt, seal = sealed
    data = path.read_bytes()
    assert "has no seal in audit/seals/" in findings(path, read_cells(data), data, receipt.digest)[0]
    keep(path, seal)
    (own,) = paths(path)
    own.write_bytes(own.read_bytes().replace(b"null", b"true").replace(b'"is"', b'"os"'))
    assert findings(path, read_cells(data), data, receipt.digest) == [f"its seal seals/{own.name} is damaged"]


def test_seals_of_one_receipt_stand_side_by_side_until_one_shall_stand_alone(
    sealed: tuple[Path, Receipt, Seal],
) -> None:
    path, receipt, seal = sealed
    keep(path, Seal("an earlier receipt", seal.sources))
    keep(path, Seal(receipt.digest, seal.sources))
    keep(path, seal)
    assert len(paths(path)) == 2
    keep(path, seal, alone=True)
    assert len(paths(path)) == 1


def test_a_seal_of_sources_does_not_hide_what_one_of_outputs_says(sealed: tuple[Path, Receipt, Seal]) -> None:
    path, receipt, seal = sealed
    keep(path, seal)
    keep(path, Seal(receipt.digest, seal.sources))
    edit(path, lambda book: code(book)[3]["outputs"].clear())
    data = path.read_bytes()
    assert findings(path, read_cells(data), data, receipt.digest) == [
        "what cell 5 shows was changed after its run",
        "what cell 5 prints was changed after its run",
    ]


def test_a_draft_of_another_notebook_is_not_sealed(sealed: tuple[Path, Receipt, Seal]) -> None:
    path, receipt, _ = sealed
    found = from_kernel(["a = 1", "finish()\n"], path.read_bytes(), receipt, ({}, {}))
    assert found == from_kernel(["a = 1", "finish()"], None, receipt, ({}, {}))
    assert (found.cells, len(found.sources)) == (None, 2)
