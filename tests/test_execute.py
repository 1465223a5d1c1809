"""An executed notebook becomes an audit record only when its receipt agrees."""

import json
import sys
from pathlib import Path

import nbformat
import pytest
from tqdm import tqdm

from nbpipe import execute
from nbpipe.errors import WorkError
from nbpipe.execute import Job
from nbpipe.pipeline import _side_by_side
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


KERNEL = """
import sys
from pathlib import Path
from ipykernel.kernelapp import launch_new_instance
starts = Path(__file__).with_name("starts")
starts.open("a").write(".")
if len(starts.read_text()) <= int(sys.argv.pop(1)):
    sys.exit(1)  # as where another process has taken one of its ports
launch_new_instance()
"""


@pytest.mark.parametrize(("deaths", "starts", "said"), [(1, 2, "has no receipt"), (9, 3, "Kernel died")])
def test_a_notebook_whose_kernel_does_not_start_is_started_again_a_few_times(
    deaths: int, starts: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "kernels/python3"
    place.mkdir(parents=True)
    (place / "kernel.py").write_text(KERNEL)
    argv = [sys.executable, str(place / "kernel.py"), str(deaths), "-f", "{connection_file}"]
    (place / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "frail", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setattr(execute, "source_folder", lambda: source(tmp_path, "'all well, but no receipt'"))
    with pytest.raises(WorkError, match=said), tqdm(disable=True) as bar:
        _side_by_side([Job("train", Run(tmp_path / "run"), {})], 1, bar)
    assert len((place / "starts").read_text()) == starts
    assert [path.suffixes for path in (tmp_path / "run/audit").iterdir()] == [[".failed", ".ipynb"]]


def test_stopping_leaves_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "source_folder", lambda: source(tmp_path, "import time\ntime.sleep(60)"))
    monkeypatch.setattr(execute, "_GRACE", 1)
    execution = Job("train", Run(tmp_path), {}).start()
    execution.interrupt()
    execution.stop()
    assert execution.ended()
    assert list((tmp_path / "audit").iterdir()) == []
