"""What the config cell reads from the cells executed before it."""

import json
from pathlib import Path
from types import SimpleNamespace

import papermill
import pytest

from nbpipe import notebook
from nbpipe.audit import Stamp, write_receipt
from nbpipe.config import Preprocess, Train
from nbpipe.errors import RequestError
from nbpipe.notebook import Witness, configure, papermill_draft, parameter_names, refuse_lossy

FIELDS = {"shard", "num_shards", "run"}
CELL = "shard: int = 0  # help\nnum_shards: int = 1  # help"


def test_an_injected_misspelling_is_seen() -> None:
    assert parameter_names(["", CELL, "# Parameters\nshrad = 3\n"], FIELDS) == ["shard", "num_shards", "shrad"]


def test_names_used_elsewhere_in_the_notebook_are_not_parameters() -> None:
    assert parameter_names(["", CELL, "rows = 3", "%matplotlib inline"], FIELDS) == ["shard", "num_shards"]


def test_only_the_newest_parameters_cell_counts() -> None:
    corrected = "shard: int = 1  # help"
    assert parameter_names(["", "shrad: int = 1\nrun: str = ''", corrected], FIELDS) == ["shard"]


def test_an_injected_cell_from_before_the_newest_parameters_is_out_of_date() -> None:
    assert parameter_names(["", CELL, "# Parameters\nshrad = 3\n", CELL], FIELDS) == ["shard", "num_shards"]


def test_a_number_that_papermill_would_change_is_refused() -> None:
    with pytest.raises(RequestError, match="num_shards = '1_0': accepted is a whole number"):
        refuse_lossy(Preprocess, {"num_shards": "1_0", "elsewhere": "1_0"})


def test_outside_a_notebook_it_says_what_to_call() -> None:
    with pytest.raises(RequestError, match=r"nbpipe.config.Preprocess\(...\)"):
        configure(Preprocess)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"shrad": 3}, "did you mean 'shard'"),
        ({"shard": "1_0"}, "shard = '1_0'"),
        ({"shard": 5}, "0 <= shard < num_shards"),
    ],
)
def test_a_wrong_parameter_stops_papermill_before_any_work(given: dict[str, object], said: str, tmp_path: Path) -> None:
    source = Path(__file__).parents[1] / "notebooks" / "preprocess.ipynb"
    (tmp_path / "documents").mkdir()
    places = {"documents": str(tmp_path / "documents"), "run": str(tmp_path / "run")}
    with pytest.raises(papermill.PapermillExecutionError, match=said):
        papermill.execute_notebook(source, tmp_path / "out.ipynb", places | given, progress_bar=False)
    assert not (tmp_path / "run").exists()


def test_the_notebook_that_papermill_is_making_is_told_from_the_one_it_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {"end_time": None, "output_path": "/elsewhere/a{b}.ipynb"}
    (tmp_path / "a{b}.ipynb").write_text(json.dumps({"metadata": {"papermill": made}}))
    (tmp_path / "source.ipynb").write_text(json.dumps({"metadata": {"papermill": made | {"end_time": "2020"}}}))
    monkeypatch.setattr(notebook, "_papermill", lambda: (["papermill", "source.ipynb", "a{{b}}.ipynb"], tmp_path))
    monkeypatch.setattr(notebook, "_PAUSE", 0)
    assert papermill_draft() == (tmp_path / "a{b}.ipynb").read_bytes()
    (tmp_path / "a{b}.ipynb").write_text('{"metadata"')
    assert papermill_draft() is None


def test_a_seal_that_cannot_be_written_is_said_and_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    receipt = write_receipt(tmp_path / "model", "train", Stamp.now(Train(run=tmp_path)))
    (tmp_path / "audit").write_text("a file where a folder should be")
    history = SimpleNamespace(input_hist_raw=["", "finish()"])
    shell = SimpleNamespace(history_manager=history, display_formatter=SimpleNamespace(format=lambda value: ({}, {})))
    Witness(shell, "explain")(SimpleNamespace(result=receipt))
    assert capsys.readouterr().err == ""
    Witness(shell, "train")(SimpleNamespace(result=receipt))
    assert "the notebook's seal cannot be written" in capsys.readouterr().err
