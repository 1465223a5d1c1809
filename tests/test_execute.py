"""An executed notebook becomes an audit record only when its receipt agrees."""

from pathlib import Path

import nbformat
import pytest

from nbpipe import execute
from nbpipe.errors import WorkError
from nbpipe.execute import Job
from nbpipe.run import Run


def source(folder: Path, code: str) -> Path:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, folder / "train.ipynb")
    return folder


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("from nbpipe.errors import WorkError\nraise WorkError('the shard is gone')", "train: the shard is gone"),
        ("1 / 0", "train: ZeroDivisionError: division by zero"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "train: .*[Kk]ernel"),
        ("'all well, but no receipt'", "has no receipt"),
    ],
)
def test_a_notebook_without_its_receipt_is_not_kept(
    code: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "source_folder", lambda: source(tmp_path, code))
    job = Job("train", Run(tmp_path / "a {run}"), {})
    with pytest.raises(WorkError, match=said):
        job.start().keep()
    assert not job.notebook.exists()
    assert job.failed.exists()
    assert [path.name for path in job.notebook.parent.iterdir()] == [job.failed.name]


def test_stopping_leaves_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "source_folder", lambda: source(tmp_path, "import time\ntime.sleep(60)"))
    monkeypatch.setattr(execute, "_GRACE", 1)
    execution = Job("train", Run(tmp_path), {}).start()
    execution.interrupt()
    execution.stop()
    assert execution.ended()
    assert list((tmp_path / "audit").iterdir()) == []
