"""Reads what preprocessing left: through receipts only, and only when all shards are there and agree.

Unusual: everything that is wrong is named at once, so that ten machines need not be repaired one message at a time.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from nbpipe.audit import Receipt, differences, find_receipt
from nbpipe.errors import WorkError
from nbpipe.records import PART, read_table
from nbpipe.run import Run, shard_numbers

_AGREED = ("num_shards", "parser")
_LISTED = 20
_PIECE = 16_000_000  # bytes of text


def check_shards(run: Run) -> list[Receipt]:
    """Return the receipt of every shard of the plan, in order.

    Raises WorkError that names each shard that is missing, damaged, or disagrees with the plan or the others.
    """
    run.fetch("plan.json", "forecast.json", "shards/*", ".documents")
    plan = _plan(run)
    wrong = _strangers(run, plan["num_shards"])
    receipts = []
    for shard in range(plan["num_shards"]):
        folder = run.shard(shard, plan["num_shards"])
        try:
            receipt = find_receipt(folder)
        except WorkError as error:
            wrong.append(str(error))
            continue
        if receipt is None:
            wrong.append(f"preprocess {folder.name}: is missing or unfinished; run preprocess with shard = {shard}")
            continue
        receipts.append(receipt)
        wrong += differences(receipt) + _disagreements(receipt, plan, shard)
    wrong += _split_votes(receipts)
    rows = sum(receipt.facts.get("rows", 0) for receipt in receipts)
    if not wrong and rows != len(plan["documents"]):
        wrong.append(f"preprocess: the shards hold {rows:,} rows, plan.json names {len(plan['documents']):,} documents")
    if wrong:
        more = [f"... and {len(wrong) - _LISTED:,} more"] if len(wrong) > _LISTED else []
        raise WorkError("\n".join([*wrong[:_LISTED], *more, "train starts when every shard is whole and agrees"]))
    return receipts


def _plan(run: Run) -> dict[str, Any]:
    try:
        plan = json.loads(run.plan.read_bytes())
        if {"documents", "num_shards", "fingerprint"} <= plan.keys():
            return plan
    except FileNotFoundError:
        raise WorkError(f"{run.folder.name}: holds no plan.json, so nothing was preprocessed here") from None
    except (ValueError, AttributeError):
        pass
    raise WorkError("plan.json: damaged; restore it, or start a new run folder")


def planned_paths(run: Run) -> pl.Series:
    """Return the path of every document of the plan."""
    return pl.Series("path", [document["path"] for document in _plan(run)["documents"]], dtype=pl.String)


def removed_paths(run: Run) -> list[str]:
    """Return the paths that plans before this one named, and this one may not."""
    return [path for before in _plan(run).get("history", ()) for path in before["removed"]]


def _strangers(run: Run, num_shards: int) -> list[str]:
    """Name the shard folders of another number of shards."""
    found = sorted(path.name for path in (run.folder / "shards").glob("*") if path.is_dir())
    others = [name for name in found if (numbers := shard_numbers(name)) and numbers[1] != num_shards]
    return [f"preprocess {name}: plan.json says num_shards = {num_shards}; delete one of the two" for name in others]


def _disagreements(receipt: Receipt, plan: dict[str, Any], shard: int) -> list[str]:
    expected = {"stage": "preprocess", "plan": plan["fingerprint"], "shard": shard, "num_shards": plan["num_shards"]}
    facts = receipt.facts
    return [
        f"preprocess {receipt.folder.name}: its receipt says {name} = {facts.get(name)!r}, not {value!r}; run it again"
        for name, value in expected.items()
        if facts.get(name) != value
    ]


def _split_votes(receipts: list[Receipt]) -> list[str]:
    """Name what the shards' receipts disagree on, and which shards say what."""
    lines = []
    for name in _AGREED:
        votes: dict[str, list[str]] = {}
        for receipt in receipts:
            votes.setdefault(str(receipt.facts.get(name)), []).append(receipt.folder.name)
        if len(votes) > 1:
            said = "; ".join(f"{value}: {', '.join(folders[:3])}" for value, folders in votes.items())
            lines.append(f"preprocess: shards disagree on {name} ({said}); run the older ones again")
    return lines


def stream_texts(receipts: list[Receipt]) -> Iterator[pl.DataFrame]:
    """Yield every document of these shards: path, status, and text, its pages joined by line breaks.

    A table holds whole parts, about 16 MB of text, so that memory does not grow with the corpus.
    """
    held, size = list[pl.DataFrame](), 0
    for part in _parts(receipts):
        held.append(part)
        size += part["text"].str.len_bytes().sum()
        if size >= _PIECE:
            yield pl.concat(held)
            held, size = [], 0
    if held:
        yield pl.concat(held)


def _parts(receipts: list[Receipt]) -> Iterator[pl.DataFrame]:
    for file in _files(receipts):
        part = pl.from_arrow(read_table(file, PART))
        yield part.select("path", "status", text=pl.col("pages").list.join("\n"))


def _files(receipts: list[Receipt]) -> list[Path]:
    """Return the parts of these shards, in order."""
    named = ((receipt, sorted(receipt.facts["files"])) for receipt in receipts)
    return [receipt.folder / name for receipt, names in named for name in names if name.startswith("part-")]


def read_pages(receipts: list[Receipt], paths: pl.Series) -> pl.DataFrame:
    """Return path, pages and text of these documents, in the order of the shards, holding one part at a time."""
    parts = (pl.from_arrow(read_table(file, PART)) for file in _files(receipts))
    found = [part.filter(pl.col("path").is_in(paths.implode())) for part in parts]
    return pl.concat(found).select("path", "pages", text=pl.col("pages").list.join("\n"))
