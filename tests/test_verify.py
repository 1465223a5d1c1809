"""Whatever is changed in a finished run is found."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nbpipe.run import Run
from nbpipe.verify import verify


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def edit(path: Path, change: Callable[[dict], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def shard(run: Path, index: int = 0) -> Path:
    return run / "shards" / f"{index:05d}-of-00002"


def swap_cells(book: dict) -> None:
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    code[0]["execution_count"], code[1]["execution_count"] = code[1]["execution_count"], code[0]["execution_count"]


TAMPERING = {
    "a byte of a part": (lambda run: flip(shard(run) / "part-00000.parquet"), "part-00000.parquet does not match"),
    "a byte of the weights": (lambda run: flip(run / "model" / "weights.safetensors"), "weights.safetensors does not"),
    "a byte of the explanations": (lambda run: flip(run / "explain" / "explanations.parquet"), "explanations.parquet"),
    "a receipt removed": (lambda run: (shard(run, 1) / "receipt.json").unlink(), "preprocess 00001-of-00002: has no"),
    "a receipt edited": (
        lambda run: edit(run / "model" / "receipt.json", lambda receipt: receipt["stamp"].update(seed=9)),
        "does not name the receipt of train",
    ),
    "shards of another plan": (
        lambda run: edit(shard(run) / "receipt.json", lambda receipt: receipt.update(plan="00")),
        "made from another plan",
    ),
    "shards swapped": (
        lambda run: (
            shard(run).rename(run / "away"),
            shard(run, 1).rename(shard(run)),
            (run / "away").rename(shard(run, 1)),
        ),
        "does not name the receipt",
    ),
    "a model of other shards": (
        lambda run: edit(
            run / "model" / "receipt.json", lambda receipt: receipt["inputs"].update({"00000-of-00002": "00"})
        ),
        "was made from another 00000-of-00002",
    ),
    "a notebook swapped": (
        lambda run: (run / "audit" / "train.ipynb").write_bytes((run / "audit" / "explain.ipynb").read_bytes()),
        r"audit/train.ipynb: does not name the receipt",
    ),
    "a notebook emptied": (lambda run: (run / "audit" / "train.ipynb").write_text("[]"), "is no notebook that can be"),
    "a notebook removed": (lambda run: (run / "audit" / "train.ipynb").unlink(), r"audit/train.ipynb: is missing"),
    "cells out of order": (lambda run: edit(run / "audit" / "explain.ipynb", swap_cells), "was not executed from its"),
    "an edited plan": (lambda run: flip(run / "plan.json"), r"plan.json: damaged"),
    "a stray file": (lambda run: (run / "model" / "extra.json").touch(), "extra.json is not in the receipt"),
    "a shard too many": (lambda run: (run / "shards" / "00000-of-00009").mkdir(), "is not a shard of this plan"),
}


@pytest.mark.parametrize("kind", TAMPERING)
def test_tampering_is_found(kind: str, run_copy: Path) -> None:
    tamper, said = TAMPERING[kind]
    tamper(run_copy)
    assert any(said in line for line in verify(Run(run_copy)))


def test_an_untouched_run_has_no_findings(run_copy: Path) -> None:
    assert verify(Run(run_copy)) == []


def test_a_family_that_is_not_explained_needs_no_explanation_and_has_none(run_copy: Path) -> None:
    edit(run_copy / "model" / "receipt.json", lambda receipt: receipt["config"].update(model="gru"))
    assert any("explain: is of an earlier model; remove explain/" in line for line in verify(Run(run_copy)))
    shutil.rmtree(run_copy / "explain")
    assert not any("explain" in line for line in verify(Run(run_copy)))
