"""Takes documents into a run that were added since, and drops those that are gone; what was parsed is taken over.

Unusual: the new plan deals all documents anew, as a run of them all would, so that the parts are the same bytes as such
a run's. The shards before are moved aside, and each new shard takes from them what it finds there under the same id and
the same digest, whichever engine parses the rest. When the last new shard is done, the old ones go.
"""

import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nbpipe.audit import RECEIPT, find_receipt
from nbpipe.claim import now_of, read_claim
from nbpipe.errors import RequestError, WorkError
from nbpipe.preprocess.files import Document, here, list_documents
from nbpipe.preprocess.outcomes import outcomes_of
from nbpipe.preprocess.parts import vouched
from nbpipe.preprocess.plan import Plan, differences, summary
from nbpipe.preprocess.worker import Outcome
from nbpipe.records import LEDGER, OUTCOME, PART, read_table
from nbpipe.run import Run, move_folder, remove_folder, write, writing
from nbpipe.shown import Sentence, Shown, Table
from nbpipe.storage import THREADS, names

_SHOWN = 10


@dataclass(frozen=True, repr=False)
class Growth(Shown):
    """How a run's plan has grown: the new plan, and the ids that were added, removed and changed."""

    plan: Plan
    changes: Mapping[str, list[str]]

    def shown(self) -> list[Table | Sentence]:
        """What has changed, and the first ids of each kind."""
        if not any(self.changes.values()):
            return [
                Sentence("The folder holds the documents of the plan, by id and size; there is nothing to take in.")
            ]
        rows = [(word, len(ids), ", ".join(ids[:_SHOWN])) for word, ids in self.changes.items() if ids]
        return [
            Table(["documents", "number", "such as"], rows),
            Sentence(f"The plan has {len(self.plan.sizes):,} documents now: {summary(self.changes)}."),
        ]


def grow(run: Run, folder: Path) -> Growth:
    """Extend a run's plan to the documents that its folder holds now, and return what has changed.

    Cut short, it is made good by the next call. Raises RequestError where there is no plan, no document, or a shard is
    being worked on.
    """
    run.fetch("plan.json")
    if not run.plan.exists():
        raise RequestError(f"run = {run.folder.name!r}: no run folder (it holds no plan.json)")
    plan = Plan.decode(run.plan.read_bytes())
    sizes = {document.id: document.bytes for document in list_documents(folder)}
    if not sizes:
        raise RequestError("documents: the folder holds no documents (names that start with a dot are skipped)")
    changes = differences(plan.sizes, sizes)
    if any(changes.values()):
        _refuse_busy(run, plan)
        before = {"fingerprint": plan.fingerprint, **changes}
        plan = Plan(sizes, plan.num_shards, (*plan.history, before))
        with writing(run.folder):
            _set_aside(run)
            write(run.plan, plan.encode())
            run.remember_documents(folder)
    return Growth(plan, changes)


def _refuse_busy(run: Run, plan: Plan) -> None:
    for shard in range(plan.num_shards):
        folder = run.shard(shard, plan.num_shards)
        claim = read_claim(folder, now_of(folder)) if names(folder) else None
        if claim and claim.running and not claim.stalled:
            raise RequestError(f"{run.shard(shard, plan.num_shards).name}: is being worked on; stop it, or wait for it")


def _set_aside(run: Run) -> None:
    """Move the shards to where those of the new plan find what they can take over."""
    move_folder(run.folder / "shards", run.earlier / f"{len(names(run.earlier)):05d}")


def taken_over(run: Run, documents: list[Document], parser: str) -> Iterator[Outcome]:
    """Yield the outcomes that earlier shards hold of documents whose bytes are the same, and that this parser gave.

    parser: its version, as in receipts.
    """
    wanted = {document.id: document for document in documents}
    with ThreadPoolExecutor(THREADS) as pool:
        for folder in sorted(run.earlier.glob("*/*"), reverse=True) if wanted else []:
            for part, ledger in _pieces(folder, parser):
                found = [one for one in _outcomes(part, ledger, wanted) if one.bytes == wanted[one.id].bytes]
                digests = pool.map(lambda one: _digest_of(wanted[one.id]), found)
                for outcome in [one for one, now in zip(found, digests, strict=True) if one.sha256 == now != ""]:
                    del wanted[outcome.id]
                    yield outcome


def _pieces(folder: Path, parser: str) -> Iterator[tuple[Path, Path]]:
    """Yield the parts of an earlier shard, each with the ledger or the piece of it that knows its documents."""
    with suppress(WorkError):
        receipt = find_receipt(folder)
        if receipt is None:
            yield from vouched(folder, parser)
        elif receipt.facts.get("parser") == parser:
            named = receipt.facts["files"]
            parts = [folder / name for name in sorted(named) if name.startswith("part-")]
            yield from ((part, folder / "ledger.parquet") for part in parts if _digest(part) == named[part.name])


def _outcomes(part: Path, ledger: Path, wanted: Mapping[str, Any]) -> list[Outcome]:
    """Return the outcomes of wanted documents, from a part and a ledger."""
    try:
        ids = pq.read_table(part, columns=["path"])["path"]
        if not pc.any(chosen := pc.is_in(ids, pa.array(list(wanted), pa.string()))).as_py():
            return []
        rows = read_table(part, PART).filter(chosen)
        said = {row["path"]: row for row in read_table(ledger, LEDGER).to_pylist()}
    except (WorkError, OSError, pa.ArrowException):
        return []
    joined = [said[row["path"]] | row for row in rows.to_pylist() if row["path"] in said]
    return outcomes_of(pa.Table.from_pylist(joined, schema=OUTCOME))


def _digest_of(document: Document) -> str:
    with suppress(OSError), here(document) as path:
        return _digest(path)
    return ""


def _digest(path: Path) -> str:
    with suppress(OSError), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    return ""


def drop_earlier(run: Run, plan: Plan) -> None:
    """Remove the shards that were set aside, once every shard of the plan is done."""
    if not names(run.earlier):
        return
    run.fetch(f"shards/*/{RECEIPT}")
    if all(_done(run.shard(shard, plan.num_shards), plan) for shard in range(plan.num_shards)):
        remove_folder(run.earlier)


def _done(folder: Path, plan: Plan) -> bool:
    with suppress(WorkError):
        receipt = find_receipt(folder)
        return receipt is not None and receipt.facts.get("plan") == plan.fingerprint
    return False
