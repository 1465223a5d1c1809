"""Curves are written whatever happens, and go to TensorBoard and MLflow where somebody asks for it."""

import json
import os
import sys
from pathlib import Path

import pytest

from nbpipe.errors import RequestError
from nbpipe.train.tracking import read_curves, tracker

PARAMS = {"model": "bag", "seed": 0}


def trained(kind: str, folder: Path, steps: range) -> None:
    """Write a falling loss for these steps."""
    with tracker(kind, folder, PARAMS) as track:
        for step in steps:
            track(step, {"loss": 1 / step})


def steps(folder: Path) -> list[int]:
    return [line["step"] for line in read_curves(folder / "curves.jsonl")]


def test_every_step_is_a_line_at_once(tmp_path: Path):
    with tracker("none", tmp_path / "tracking", PARAMS) as track:
        track(1, {"loss": 0.5, "accuracy": 0.25})
        file = tmp_path / "tracking" / "curves.jsonl"
        assert json.loads(file.read_text()) == {"step": 1, "loss": 0.5, "accuracy": 0.25}
        track(2, {"loss": 0.25})
    assert read_curves(file)[1] == {"step": 2, "loss": 0.25}


def test_a_resumed_training_leaves_one_curve(tmp_path: Path):
    trained("none", tmp_path, range(1, 6))
    trained("none", tmp_path, range(4, 8))
    assert steps(tmp_path) == [1, 2, 3, 4, 5, 6, 7]


def test_a_new_training_begins_a_new_curve(tmp_path: Path):
    trained("none", tmp_path, range(1, 6))
    trained("none", tmp_path, range(1, 3))
    assert steps(tmp_path) == [1, 2]


def test_a_loss_that_is_no_number_is_null(tmp_path: Path):
    with tracker("none", tmp_path, PARAMS) as track:
        track(1, {"loss": float("nan")})
    assert (tmp_path / "curves.jsonl").read_text() == '{"step": 1, "loss": null}\n'


@pytest.mark.parametrize(
    ("kind", "package"), [("tensorboard", "torch.utils.tensorboard"), ("mlflow", "mlflow.tracking")]
)
def test_a_missing_package_is_told_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, package: str
):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, package.partition(".")[0] if kind == "mlflow" else package, None)
    with pytest.raises(RequestError, match=r"pip install 'nbpipe\[tracking\]'"), tracker(kind, tmp_path, PARAMS):
        pytest.fail("training began")


def test_a_tracker_that_fails_ends_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(SummaryWriter, "add_scalar", full)
    with pytest.warns(RuntimeWarning, match="tracking has stopped .*no space left"):
        trained("tensorboard", tmp_path, range(1, 4))
    assert steps(tmp_path) == [1, 2, 3]


def test_tensorboard_reads_one_curve_of_a_resumed_training(tmp_path: Path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trained("tensorboard", tmp_path, range(1, 6))
    with tracker("tensorboard", tmp_path, PARAMS) as track:
        for step in range(4, 8):
            track(step, {"loss": 0.0, "validation": float("inf")})
    read = EventAccumulator(str(tmp_path)).Reload()
    assert [event.step for event in read.Scalars("loss")] == [1, 2, 3, 4, 5, 6, 7]
    assert [event.value for event in read.Scalars("loss")][1::2] == [0.5, 0, 0]
    assert read.Tags()["scalars"] == ["loss"]
    host = os.uname().nodename
    assert not [file for file in tmp_path.iterdir() if host in file.name]


def test_mlflow_keeps_a_resumed_training_in_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("mlflow")
    pytest.importorskip("alembic")
    from mlflow.tracking import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "demo" / "tracking"
    trained("mlflow", folder, range(1, 4))
    trained("mlflow", folder, range(4, 6))
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    [run] = client.search_runs([client.get_experiment_by_name("nbpipe").experiment_id])
    assert (run.info.run_name, run.info.status, run.data.params) == ("demo", "FINISHED", {"model": "bag", "seed": "0"})
    assert [metric.step for metric in client.get_metric_history(run.info.run_id, "loss")] == [1, 2, 3, 4, 5]


def test_an_mlflow_server_that_does_not_answer_is_told_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(RequestError, match="MLFLOW_TRACKING_URI does not answer"), tracker("mlflow", tmp_path, PARAMS):
        pytest.fail("training began")
