"""YAML keys, parameters cells and config fields are the same words, with the same meaning."""

import ast
from pathlib import Path

import nbformat
import pytest
import yaml

from nbpipe.config import Config, Explain, Preprocess, Train

ROOT = Path(__file__).parents[1]
STAGES = {"preprocess": Preprocess, "train": Train, "explain": Explain}


def cell(stage: str) -> str:
    book = nbformat.read(ROOT / "notebooks" / f"{stage}.ipynb", as_version=4)
    (found,) = [cell.source for cell in book.cells if "parameters" in cell.metadata.get("tags", [])]
    return found


def literals(stage: str) -> dict[str, object]:
    return {node.target.id: ast.literal_eval(node.value) for node in ast.parse(cell(stage)).body}


@pytest.mark.parametrize(("stage", "kind"), STAGES.items())
def test_yaml_cell_and_config_share_their_words(stage: str, kind: type[Config]) -> None:
    settings = yaml.safe_load((ROOT / "params" / f"{stage}.yaml").read_text())
    assert list(settings) == list(literals(stage)) == list(kind.model_fields)


@pytest.mark.parametrize(("stage", "kind"), STAGES.items())
def test_the_cell_holds_the_defaults_of_the_config(
    stage: str, kind: type[Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    assert kind(**literals(stage)) == kind()


@pytest.mark.parametrize(("stage", "kind"), STAGES.items())
def test_production_settings_are_accepted(
    stage: str, kind: type[Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = yaml.safe_load((ROOT / "params" / f"{stage}.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    for name in ("documents", "run"):
        (tmp_path / settings.get(name, "runs")).mkdir(parents=True, exist_ok=True)
    assert kind(**settings).model_fields_set == set(settings)


@pytest.mark.parametrize("stage", STAGES)
def test_every_parameter_is_explained_where_papermill_reads_it(stage: str) -> None:
    assert all(": " in line and "  # " in line for line in cell(stage).splitlines())


@pytest.mark.parametrize("stage", STAGES)
def test_every_setting_is_explained(stage: str) -> None:
    lines = (ROOT / "params" / f"{stage}.yaml").read_text().splitlines()
    assert all(" # " in line for line in lines if line and not line.startswith("#"))
