"""How far a run is, read from its folder alone, so it works on any machine that sees the folder.

Unusual: nothing is asked of the machines at work. Each rewrites a small claim in its shard's folder every few seconds;
a claim that says "running" and is a minute old means a machine that is gone or hangs.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from nbpipe.audit import RECEIPT, Receipt, find_receipt
from nbpipe.claim import Claim, Progress, read_claim
from nbpipe.config import STATUSES
from nbpipe.cost import duration
from nbpipe.errors import RequestError, WorkError
from nbpipe.preprocess.plan import Plan
from nbpipe.run import Run
from nbpipe.shown import Sentence, Shown, Table

_WATCH = 2.0  # seconds between two looks


@dataclass(frozen=True)
class Stage:
    """How far one stage is, and for preprocess one shard.

    state: waiting, done, outdated (made from what is another now) or damaged; of a shard also running, stalled,
    stopped, failed, or parsed (its receipt is to come). statuses: the documents that are done, by status; rate:
    documents a second of this attempt; left, silence: seconds to its end, and since its last sign of life, None where
    neither is known.
    """

    name: str
    state: str
    detail: str = ""
    total: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    rate: float = 0.0
    left: float | None = None
    silence: float | None = None

    @property
    def done(self) -> int:
        """The number of documents that are done."""
        return sum(self.statuses.values())

    @property
    def row(self) -> list[object]:
        """Its row of the table."""
        documents = f"{self.done:,} of {self.total:,}" if self.total else ""
        rate = f"{self.rate:,.1f}/s" if self.rate else ""
        times = [duration(seconds) if seconds is not None else "" for seconds in (self.left, self.silence)]
        return [self.name, self.state, documents, rate, times[0], f"{times[1]} ago" if times[1] else "", self.detail]


@dataclass(frozen=True, repr=False)
class Status(Shown):
    """How far every stage of a run is."""

    stages: list[Stage]

    @property
    def done(self) -> bool:
        """Whether every stage has its receipt."""
        return all(stage.state == "done" for stage in self.stages)

    @cached_property
    def shards(self) -> list[Stage]:
        """The stages that are shards."""
        return [stage for stage in self.stages if stage.name.startswith("preprocess")]

    @property
    def missing(self) -> list[int]:
        """The shards that nobody works on and that are not done."""
        lacking = ("waiting", "stalled", "stopped", "failed", "damaged", "parsed")
        return [index for index, stage in enumerate(self.shards) if stage.state in lacking]

    @property
    def statuses(self) -> dict[str, int]:
        """The documents that are done in all shards, by status."""
        found = sum((Counter(stage.statuses) for stage in self.shards), Counter())
        return {status: found[status] for status in STATUSES if found[status]}

    @property
    def summary(self) -> Sentence:
        """The shards by state, the documents that are done, and how long the slowest shard at work may take."""
        states = Counter(stage.state for stage in self.shards)
        said = ", ".join(f"{count:,} {state}" for state, count in states.most_common())
        done, total = sum(self.statuses.values()), sum(stage.total for stage in self.shards)
        left = max((stage.left for stage in self.shards if stage.left is not None), default=None)
        ends = f"; those running end in about {duration(left)}" if left is not None else ""
        return Sentence(f"Shards: {said}. Documents: {done:,} of {total:,}{ends}.")

    def shown(self) -> list[Table | Sentence]:
        """A row a stage, the documents by status, and a summary."""
        columns = ["stage", "state", "documents", "rate", "left", "sign of life", "detail"]
        rows = [stage.row for stage in self.stages]
        used = [n for n, name in enumerate(columns) if n < 2 or any(row[n] for row in rows)]
        table = Table([columns[n] for n in used], [[row[n] for n in used] for row in rows])
        statuses = [Table(["status", "documents"], list(self.statuses.items()))] if self.statuses else []
        return [table, *statuses, self.summary]


def read_status(run: Run) -> Status:
    """Return how far each stage is; raise RequestError where the folder is no run."""
    receipts = (f"shards/*/{RECEIPT}", f"model/{RECEIPT}", f"explain/{RECEIPT}")
    run.fetch("plan.json", *receipts, "audit/*.failed.ipynb")
    plan = _plan(run)
    shards = [_shard(run, index, plan.num_shards, len(ids)) for index, ids in enumerate(plan.shards)]
    folders = [run.shard(index, plan.num_shards) for index in range(plan.num_shards)]
    made_from = {"train": {folder.name: folder for folder in folders}, "explain": {"model": run.model}}
    return Status([*shards, *(_stage(stage, run, inputs) for stage, inputs in made_from.items())])


def watch(run: Run, show: Callable[[Status], None]) -> None:
    """Show the status again and again, until every stage is done."""
    while True:
        status = read_status(run)
        show(status)
        if status.done:
            return
        time.sleep(_WATCH)


def _plan(run: Run) -> Plan:
    try:
        return Plan.decode(run.plan.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise RequestError(f"run = {run.folder.name!r}: no run folder (it holds no plan.json)") from None


def _shard(run: Run, index: int, num_shards: int, total: int) -> Stage:
    folder = run.shard(index, num_shards)
    name, claim = f"preprocess {folder.name}", read_claim(folder)
    receipt = _receipt(folder)
    if claim and ((claim.running and not claim.stalled) or receipt is None):
        return _claimed(name, claim, total)
    if receipt == "damaged":
        return Stage(name, "damaged", "its receipt cannot be read; run it again", total)
    if isinstance(receipt, Receipt):
        counts = receipt.facts.get("statuses")
        if not isinstance(counts, dict) or not all(isinstance(count, int) for count in counts.values()):
            return Stage(name, "damaged", "its receipt cannot be read; run it again", total)
        counts = {status: count for status, count in counts.items() if count}
        return Stage(name, "done", _finished(receipt), total, counts)
    failed = run.notebook("preprocess", index, num_shards).with_suffix(".failed.ipynb")
    return (
        Stage(name, "failed", f"see audit/{failed.name}", total)
        if failed.exists()
        else Stage(name, "waiting", "", total)
    )


def _claimed(name: str, claim: Claim, total: int) -> Stage:
    """Return what the claim of a shard says."""
    progress, silence = claim.progress, claim.silence
    total = progress.total or total
    if claim.running and not claim.stalled:
        rate = _rate(progress)
        left = (total - sum(progress.done.values())) / rate if rate else None
        return Stage(name, "running", "", total, progress.done, rate, left, silence)
    if claim.running:
        return Stage(name, "stalled", "run it again; it goes on from there", total, progress.done, silence=silence)
    state = {"over": "parsed", "failed": "failed"}.get(progress.state, "stopped")
    return Stage(name, state, progress.reason, total, progress.done, silence=silence)


def _rate(progress: Progress) -> float:
    seconds = progress.latest - progress.begun
    return (sum(progress.done.values()) - progress.earlier) / seconds if seconds > 0 else 0.0


def _stage(stage: str, run: Run, inputs: dict[str, Path]) -> Stage:
    """Return how far train or explain is; outdated where what it was made from was made again since."""
    receipt = _receipt(run.of(stage))
    if isinstance(receipt, Receipt):
        found = {name: _receipt(folder) for name, folder in inputs.items()}
        now = {name: made.digest for name, made in found.items() if isinstance(made, Receipt)}
        if receipt.facts.get("inputs", {}) != now:
            return Stage(stage, "outdated", "what it was made from is another now; run it again")
        return Stage(stage, "done", _finished(receipt))
    if receipt:
        return Stage(stage, "damaged", "its receipt cannot be read; run it again")
    failed = run.notebook(stage).with_suffix(".failed.ipynb")
    return Stage(stage, "failed", f"see audit/{failed.name}") if failed.exists() else Stage(stage, "waiting")


def _finished(receipt: Receipt) -> str:
    return f"finished {receipt.facts['stamp'].get('finished', '')}"


def _receipt(folder: Path) -> Receipt | str | None:
    try:
        return find_receipt(folder)
    except WorkError:
        return "damaged"
