"""Gathers what the index of a report tells: pages, verdicts, counts and scores, and what is missing.

Unusual: the run is verified first, every digest of it. What is missing or does not agree becomes a sentence of the
report instead of an error, and no figure is taken from its files. Half a run gives half a report that says so.
"""

import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nbpipe.audit import Receipt, find_receipt
from nbpipe.config import STATUSES
from nbpipe.errors import WorkError
from nbpipe.preprocess.forecast import Forecast, kept
from nbpipe.preprocess.plan import Plan
from nbpipe.records import LEDGER, read_table
from nbpipe.report.clean import plain
from nbpipe.report.pages import Page, read_page
from nbpipe.run import Run
from nbpipe.verify import verify

_LISTED = 200  # failures listed per status: what a person may still read; the ledgers hold them all


@dataclass(frozen=True)
class Piece:
    """What one notebook left behind: of a stage, or for preprocess of one shard.

    failed: its page is that of a failed attempt. problems: what verification found about it.
    """

    stage: str
    title: str
    notebook: Path
    page: Page | None
    failed: bool
    receipt: Receipt | None
    problems: tuple[str, ...]

    @property
    def link(self) -> str:
        """The file name of its page, or nothing."""
        return f"{self.notebook.stem}.html" if self.page else ""

    @property
    def sound(self) -> bool:
        """Whether its receipt and files agree, so that figures may be taken from them, with or without a notebook."""
        lost = f"audit/{self.notebook.name}: is missing"
        return bool(self.receipt) and all(problem.startswith(lost) for problem in self.problems)

    @property
    def verdict(self) -> str:
        """The notebook's own answer; where there is none, why not."""
        if self.page and self.failed:
            return f"Stopped: {self.page.error or 'its kernel ended early'}"
        lacking = "its executed notebook is missing" if self.receipt else "this step has not been run to its end"
        return (self.page.verdict if self.page else "") or f"No answer: {lacking}."

    @property
    def answer(self) -> str:
        """The verdict in one word: yes or no; done where it says neither; else stopped, open or unproven."""
        if self.failed or not self.receipt:
            return "stopped" if self.failed else "open"
        word = self.verdict.partition(":")[0].lower()
        return "unproven" if self.problems else word if word in ("yes", "no") else "done"

    @property
    def stamp(self) -> dict[str, Any]:
        """What made it, as the receipt says."""
        return self.receipt.facts["stamp"] if self.receipt and self.sound else {}

    @property
    def finished(self) -> str:
        """When the receipt was written: day and minute, UTC."""
        return self.stamp.get("finished", "").replace("T", " ")[:16]

    @cached_property
    def ledger(self) -> list[dict[str, Any]]:
        """The row of every document of a shard."""
        return read_table(self.receipt.folder / "ledger.parquet", LEDGER).to_pylist() if self.sound else []

    @cached_property
    def counts(self) -> dict[str, int]:
        """The number of documents of each status that occurs in a shard."""
        found = Counter(row["status"] for row in self.ledger)
        return {status: found[status] for status in STATUSES if found[status]}


@dataclass(frozen=True)
class Score:
    """One line of the comparison: who, and how well on the test documents; shares from 0 to 1.

    low, high: the 95% interval of the accuracy, where it is known.
    """

    name: str
    accuracy: float
    macro_f1: float
    ours: bool
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Evidence:
    """All that the index tells of a run. forecast: what `nbpipe plan` kept; unread: why it cannot be read."""

    plan: Plan
    shards: list[Piece]
    train: Piece
    explain: Piece
    problems: list[str]
    forecast: Forecast | None = None
    unread: str = ""

    @property
    def pieces(self) -> list[Piece]:
        """Every piece, in the order of the work."""
        return [*self.shards, self.train, self.explain]

    @property
    def counts(self) -> dict[str, int]:
        """The number of documents of each status that occurs, over the shards that can be trusted."""
        total = sum((Counter(piece.counts) for piece in self.shards), Counter())
        return {status: total[status] for status in STATUSES if total[status]}

    @property
    def failures(self) -> dict[str, list[tuple[str, str]]]:
        """The documents that gave no text: (path, reason) by status, at most 200 of each."""
        rows = sorted((row["path"], row["status"], row["reason"]) for piece in self.shards for row in piece.ledger)
        listed = {status: [(path, plain(why)) for path, found, why in rows if found == status] for status in STATUSES}
        return {status: found[:_LISTED] for status, found in listed.items() if found and status != "ok"}

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """What the train stage measured; nothing where it cannot be trusted."""
        return json.loads((self.train.receipt.folder / "metrics.json").read_bytes()) if self.train.sound else {}

    @property
    def scores(self) -> list[Score]:
        """The model beside its baselines, best accuracy first."""
        if not self.metrics:
            return []
        others = self.metrics["baselines"] | {"untrained": self.metrics["untrained"]}
        rows = [("this model", self.metrics["test"], True), *((name, values, False) for name, values in others.items())]
        scores = [
            Score(name, values["accuracy"], values["macro_f1"], ours, *self.interval(self.family if ours else name))
            for name, values, ours in rows
        ]
        return sorted(scores, key=lambda score: -score.accuracy)

    @property
    def family(self) -> str:
        """The family of the model; nothing where it cannot be trusted."""
        return self.train.receipt.facts["config"].get("model", "") if self.train.sound else ""

    def interval(self, model: str, measure: str = "accuracy") -> tuple[float, float] | tuple[()]:
        """Return the 95% interval of one model's measure, or nothing where it is not known."""
        known = self.metrics.get("intervals", {}).get(model, {}).get(measure)
        return (known["low"], known["high"]) if known else ()

    @property
    def tested(self) -> int:
        """The number of documents that the scores are over."""
        return self.metrics["documents"]["test"]


def gather(run: Run) -> Evidence:
    """Return all that is known of a run.

    Raises RequestError where the folder is no run, WorkError where it holds no executed notebook at all or its plan is
    damaged.
    """
    problems = [plain(line) for line in verify(run)]
    plan = Plan.decode(run.plan.read_bytes())
    shards = [_piece(run, problems, "preprocess", index, plan.num_shards) for index in range(plan.num_shards)]
    train, explain = (_piece(run, problems, stage) for stage in ("train", "explain"))
    evidence = Evidence(plan, shards, train, explain, problems, *_forecast(run))
    if not any(piece.page for piece in evidence.pieces):
        raise WorkError(
            f"{run.folder.name}/audit: holds no executed notebook, so there is nothing to report; "
            "`nbpipe run` executes them and keeps them there"
        )
    return evidence


def _forecast(run: Run) -> tuple[Forecast | None, str]:
    try:
        return kept(run), ""
    except WorkError as error:
        return None, str(error)


def _piece(run: Run, findings: list[str], stage: str, shard: int = 0, num_shards: int = 1) -> Piece:
    folder, kept = run.of(stage, shard, num_shards), run.notebook(stage, shard, num_shards)
    title = f"{stage} {folder.name}" if stage == "preprocess" else stage
    failed = not kept.exists() and kept.with_suffix(".failed.ipynb").exists()
    page = receipt = None
    with suppress(WorkError):
        page = read_page(kept.with_suffix(".failed.ipynb") if failed else kept)
    with suppress(WorkError):
        receipt = find_receipt(folder)
    problems = tuple(
        line for line in findings if line.startswith((f"{title}:", f"audit/{kept.name}:", f"{folder.name}/"))
    )
    return Piece(stage, title, kept, page, failed, receipt, problems)
