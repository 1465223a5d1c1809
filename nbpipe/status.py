"""How far a run is, read from its folder alone, so it works on any machine that sees the folder."""

from dataclasses import dataclass
from pathlib import Path

from nbpipe.audit import Receipt, find_receipt
from nbpipe.errors import RequestError, WorkError
from nbpipe.run import Run, planned
from nbpipe.shown import Sentence, Shown, Table


@dataclass(frozen=True)
class Stage:
    """How far one stage is, and for preprocess one shard."""

    name: str
    state: str
    detail: str = ""


@dataclass(frozen=True, repr=False)
class Status(Shown):
    """How far every stage of a run is."""

    stages: list[Stage]

    @property
    def done(self) -> bool:
        """Whether every stage has its receipt."""
        return all(stage.state == "done" for stage in self.stages)

    def shown(self) -> list[Table | Sentence]:
        """One row a stage."""
        return [Table(["stage", "state", "detail"], [(stage.name, stage.state, stage.detail) for stage in self.stages])]


def read_status(run: Run) -> Status:
    """Return how far each stage is; raise RequestError where the folder is no run."""
    shards = [_shard(run, index, total) for index, total in _expected(run)]
    return Status([*shards, _stage("train", run), _stage("explain", run)])


def _expected(run: Run) -> list[tuple[int, int]]:
    total = planned(run)
    if total is None:
        raise RequestError(f"run = {run.folder.name!r}: no run folder (it holds no plan.json)")
    return [(index, total) for index in range(total)]


def _shard(run: Run, index: int, total: int) -> Stage:
    folder = run.shard(index, total)
    receipt, name = _receipt(folder), f"preprocess {folder.name}"
    if receipt == "damaged":
        return Stage(name, "damaged", "its receipt cannot be read; run it again")
    if isinstance(receipt, Receipt):
        counts = {status: count for status, count in receipt.facts.get("statuses", {}).items() if count}
        return Stage(name, "done", ", ".join(f"{count} {status}" for status, count in counts.items()))
    parts = len(list(folder.glob("part-*.parquet")))
    return Stage(name, "started" if folder.exists() else "waiting", f"{parts} parts written" if parts else "")


def _stage(stage: str, run: Run) -> Stage:
    receipt = _receipt(run.of(stage))
    if isinstance(receipt, Receipt):
        return Stage(stage, "done", f"finished {receipt.facts['stamp'].get('finished', '')}")
    return Stage(stage, "damaged" if receipt else "waiting")


def _receipt(folder: Path) -> Receipt | str | None:
    try:
        return find_receipt(folder)
    except WorkError:
        return "damaged"
