"""Training curves: JSON lines always, and TensorBoard or MLflow where the user asks for them.

Unusual: a step that was written before is written over, with all that came after it, so that a resumed training leaves
one curve and not two. Once training runs, nothing that happens to TensorBoard or to an MLflow server ends it. MLflow is
told to report nothing to its makers.
"""

import json
import math
import os
import re
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from nbpipe.copies import put_folder
from nbpipe.errors import RequestError
from nbpipe.run import write

CURVES = "curves.jsonl"
EXPERIMENT = "nbpipe"
_RUN = "mlflow-run"
Values = Mapping[str, float]


class _Place(Protocol):
    """Where steps go besides the JSON lines."""

    def write(self, step: int, values: Values) -> None: ...
    def close(self, failed: bool) -> None: ...


class Track:
    """Takes the values of each step: `track(3, {"loss": 0.5})`. Steps count from 1, which begins anew."""

    def __init__(self, file: Path, places: list[_Place]) -> None:
        self.file, self._places = file, places
        self.lines = read_curves(file)

    def __call__(self, step: int, values: Values) -> None:
        """Write the values of a step, in place of those of this and later steps that were written before."""
        line = {"step": step} | {name: float(v) if math.isfinite(v) else None for name, v in values.items()}
        self.lines = [*(known for known in self.lines if known["step"] < step), line]
        write(self.file, "".join(json.dumps(known) + "\n" for known in self.lines).encode())
        known = {name: float(value) for name, value in values.items() if math.isfinite(value)}
        for place in list(self._places):
            self._try(place, lambda place=place: place.write(step, known))

    def close(self, failed: bool) -> None:
        """End what was begun elsewhere; failed: training did not reach its end."""
        for place in list(self._places):
            self._try(place, lambda place=place: place.close(failed))
        if self._places:
            self._try(self._places[0], lambda: put_folder(self.file.parent, prune=False))

    def _try(self, place: _Place, do: Any) -> None:
        try:
            do()
        except Exception as error:  # whatever it is, hours of training are worth more
            self._places.remove(place)
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            warnings.warn(f"tracking has stopped ({reason}); {CURVES} goes on", RuntimeWarning, stacklevel=2)


@contextmanager
def tracker(kind: str, folder: Path, params: Mapping[str, Any]) -> Iterator[Track]:
    """Open what curves go to, for one training: `curves.jsonl` in the folder, and kind: none, tensorboard or mlflow.

    params: what the training was asked for, without paths. MLflow writes to MLFLOW_TRACKING_URI, else to mlflow.db in
    the folder. Raises RequestError where a package is missing or no MLflow server answers, before anything is trained.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kinds = {"tensorboard": _TensorBoard, "mlflow": _MLflow}
    try:
        places = [kinds[kind](folder, params)] if kind in kinds else []
    except ImportError as error:
        raise RequestError(
            f"tracking = {kind!r}: {error.name or error} is not installed; pip install 'nbpipe[tracking]', or "
            "tracking = 'none'"
        ) from None
    track = Track(folder / CURVES, places)
    try:
        yield track
    except BaseException:
        track.close(failed=True)
        raise
    track.close(failed=False)


def read_curves(file: Path) -> list[dict[str, Any]]:
    """Return the steps of a file of JSON lines, rising; none where there is no file."""
    return [json.loads(line) for line in file.read_bytes().splitlines()] if file.exists() else []


class _TensorBoard:
    """Event files in a folder."""

    def __init__(self, folder: Path, params: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter  # loads for seconds, and only who asks has it

        self._open, self._folder, self._params, self._writer = SummaryWriter, folder, params, None

    def write(self, step: int, values: Values) -> None:
        if self._writer is None:
            self._writer = self._open(str(self._folder), purge_step=step)  # hides this and later steps of before
            self._writer.add_text(
                "parameters", "\n".join(f"    {name}: {value}" for name, value in self._params.items())
            )
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self, failed: bool) -> None:
        if self._writer is not None:
            self._writer.close()
        for file in self._folder.glob("events.out.tfevents.*"):  # its name holds the host's
            file.rename(file.with_name(re.sub(r"(tfevents\.\d+)\..*?(\.\d+\.\d+)$", r"\1\2", file.name)))


class _MLflow:
    """A run of the experiment "nbpipe"; a resumed training goes on in its run."""

    def __init__(self, folder: Path, params: Mapping[str, Any]) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        local = f"sqlite:///{(folder / 'mlflow.db').as_posix()}"
        self._file, self._name, self._params, self._run = folder / _RUN, folder.parent.name, params, ""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # SQLAlchemy warns of what MLflow does
                self._client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or local)
                found = self._client.get_experiment_by_name(EXPERIMENT)
                self._experiment = found.experiment_id if found else self._client.create_experiment(EXPERIMENT)
        except MlflowException as error:
            raise RequestError(
                f"tracking = 'mlflow': MLFLOW_TRACKING_URI does not answer ({type(error).__name__}); start it, correct "
                "the address, or tracking = 'none'"
            ) from None

    def write(self, step: int, values: Values) -> None:
        from mlflow.entities import Metric

        if not self._run:
            self._run = self._resumed(step) or self._begun()
        now = time.time_ns() // 1_000_000
        self._client.log_batch(self._run, [Metric(name, value, now, step) for name, value in values.items()])

    def close(self, failed: bool) -> None:
        if self._run:
            self._client.set_terminated(self._run, "FAILED" if failed else "FINISHED")

    def _begun(self) -> str:
        run = self._client.create_run(self._experiment, run_name=self._name).info.run_id
        for name, value in self._params.items():
            self._client.log_param(run, name, value)
        write(self._file, run.encode())
        return run

    def _resumed(self, step: int) -> str:
        """Return the run of a training that was broken off before this step, if there is one where metrics go."""
        from mlflow.exceptions import MlflowException

        if step == 1 or not self._file.exists():
            return ""
        try:
            run = self._file.read_text().strip()
            self._client.update_run(run, status="RUNNING")
        except MlflowException:
            return ""
        return run
