"""What the pipeline hands to the notebooks."""

from pathlib import Path

import pytest

from nbpipe.pipeline import _injected


def test_no_path_of_the_machine_gets_into_a_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"run": tmp_path / "runs", "encoder": str(tmp_path / "enc"), "labels": "labels.csv", "epochs": 3}
    assert _injected(given) == {"run": "runs", "encoder": "enc", "labels": "labels.csv", "epochs": 3}
