"""Runs made by hand: shards with text, models with answers; and what no widget may let through."""

from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import pytest

from nbpipe.audit import Stamp, as_json, write_receipt
from nbpipe.config import Preprocess, Train
from nbpipe.preprocess.outcomes import ledger_rows, part_rows, table_of
from nbpipe.preprocess.parsed import Parsed
from nbpipe.preprocess.parts import PART_ROWS, Parts
from nbpipe.preprocess.plan import Plan
from nbpipe.preprocess.worker import Outcome
from nbpipe.records import write_table
from nbpipe.run import Run, write

ATTACK = "</pre></td><script>alert(1)</script><img src=x onerror=alert(2)>\u202e"
Answer = tuple[str, str, str, float]


@pytest.fixture
def attack() -> str:
    """What a stranger may write anywhere."""
    return ATTACK


@pytest.fixture
def write_texts(tmp_path: Path) -> Callable[..., Path]:
    """Write a run of documents, given as path: Parsed or the text of its pages, and return its folder."""

    def make(documents: dict[str, Parsed | Sequence[str]], num_shards: int = 1, name: str = "run") -> Path:
        run, plan = Run(tmp_path / name), Plan(dict.fromkeys(documents, 10), num_shards)
        write(run.plan, plan.encode())
        for shard, paths in enumerate(plan.shards):
            table = table_of([_outcome(path, documents[path]) for path in paths])
            parts = Parts(run.shard(shard, num_shards), [], {})
            for index in range(0, -(-len(paths) // PART_ROWS)):
                write_table(parts.path(index), part_rows(table.slice(index * PART_ROWS, PART_ROWS)))
            write_table(parts.ledger, ledger_rows(table))
            stamp = Stamp.now(Preprocess(documents=tmp_path, run=tmp_path.parent / "elsewhere"))
            write_receipt(parts.folder, "preprocess", stamp, rows=len(paths), plan=plan.fingerprint)
        return run.folder

    return make


def _outcome(path: str, made: Parsed | Sequence[str]) -> Outcome:
    parsed = made if isinstance(made, Parsed) else Parsed("ok", "", "text", made)
    return Outcome(path, "0" * 64, 10, parsed, 0.25, 3_000_000)


@pytest.fixture
def write_answers(tmp_path: Path) -> Callable[..., Path]:
    """Write a model folder of answers, given as (path, label, predicted, probability), and return its run folder.

    threshold: None where everything is left to a person; part: the answers' part.
    """

    def make(answers: Sequence[Answer], threshold: float | None = 0.6, name: str = "run", part: str = "test") -> Path:
        run = Run(tmp_path / name)
        schema = {"path": pl.String, "label": pl.String, "predicted": pl.String, "probability": pl.Float32}
        listed = pl.DataFrame(answers, schema, orient="row").with_columns(part=pl.lit(part))
        write_table(run.model / "documents.parquet", listed.to_arrow())
        coverage = {"threshold": threshold, "target": 0.9, "share": 0, "accuracy": None}
        write(run.model / "metrics.json", as_json({"coverage": coverage}))
        write_receipt(run.model, "train", Stamp.now(Train(run=run.folder)))
        return run.folder

    return make
