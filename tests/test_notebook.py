"""What the config cell reads from the cells executed before it."""

from pathlib import Path

import papermill
import pytest

from nbpipe.config import Preprocess
from nbpipe.errors import RequestError
from nbpipe.notebook import configure, parameter_names, refuse_lossy

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
