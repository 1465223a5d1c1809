"""The documents of a run, or of the one shard that is at work, with their ledger rows, and their pages when asked.

Unusual: of a hundred thousand documents only the ledger is held. A document's pages are read from its part, found by
the row's number, because parts and ledger list the documents in the same order; what is read is compared with the
receipt first.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nbpipe.addresses import without_secrets
from nbpipe.audit import Receipt, digest, find_receipt
from nbpipe.config import STATUSES, relative, resolve
from nbpipe.copies import bring
from nbpipe.errors import RequestError, WorkError
from nbpipe.preprocess.parts import PART_ROWS, Parts
from nbpipe.preprocess.stage import Parsing
from nbpipe.records import LEDGER, PART, read_table
from nbpipe.run import Run, planned


@dataclass(frozen=True, eq=False)
class Source:
    """One shard: its ledger, where parts may lie, the newest folder first, and the receipt of one that is finished."""

    ledger: pa.Table
    folders: tuple[Path, ...]
    receipt: Receipt | None = None

    def document(self, row: int) -> dict[str, Any]:
        """Return what the part says of the document in this row; raise WorkError where it does not hold it."""
        part, place = divmod(row, PART_ROWS)
        paths = [Parts(folder, [], {}).path(part) for folder in self.folders]
        path = next((path for path in paths if path.exists()), paths[-1])
        table = read_table(path, PART).slice(place, 1)
        if self.receipt:
            check(self.receipt, path.name)
        if table["path"].to_pylist() != [self.ledger["path"][row].as_py()]:
            raise WorkError(f"{path.name}: does not list the documents of the ledger; run preprocess again")
        return table.to_pylist()[0]


@dataclass(frozen=True, eq=False)
class Texts:
    """Documents, numbered in the order of their shards. lacking: shards that are not finished; place: of the files."""

    sources: tuple[Source, ...]
    lacking: tuple[str, ...] = ()
    place: Path | None = None

    @cached_property
    def ledger(self) -> pa.Table:
        """The ledger's rows of all documents."""
        return pa.concat_tables([LEDGER.empty_table(), *(source.ledger for source in self.sources)]).combine_chunks()

    @cached_property
    def counts(self) -> dict[str, int]:
        """The number of documents of each status that occurs."""
        found = {row["values"]: row["counts"] for row in self.ledger["status"].value_counts().to_pylist()}
        return {status: found[status] for status in STATUSES if status in found}

    def find(self, status: str, words: str = "") -> list[int]:
        """Return the numbers of the documents of a status, or of any if empty, with words in their path or reason."""
        mask = pc.equal(self.ledger["status"], status) if status else pc.is_valid(self.ledger["status"])
        if words.strip():
            names = (self.ledger["path"], self.ledger["reason"])
            named = [pc.match_substring(column, words.strip(), ignore_case=True) for column in names]
            mask = pc.and_(mask, pc.or_(*named))
        return pc.indices_nonzero(mask).to_pylist()

    def row(self, number: int) -> dict[str, Any]:
        """Return what the ledger says of a document."""
        return self.ledger.slice(number, 1).to_pylist()[0]

    def document(self, number: int) -> dict[str, Any]:
        """Return what the part says of a document: its pages, the SHA-256 of its bytes."""
        for source in self.sources:
            if number < source.ledger.num_rows:
                return source.document(number)
            number -= source.ledger.num_rows
        raise IndexError(number)

    def pages(self, number: int) -> list[str]:
        """Return the text of a document, page by page."""
        return self.document(number)["pages"]

    def file(self, number: int) -> Path | None:
        """Return where a document's file lies on this machine; None where it does not."""
        path = self.place / self.ledger["path"][number].as_py() if self.place else None
        return path if path and bring(path) else None


def check(receipt: Receipt, name: str) -> None:
    """Raise WorkError where a file of a stage is not the one that its receipt vouches for."""
    if digest(receipt.folder / name) != receipt.facts["files"].get(name):
        raise WorkError(f"{receipt.title}: {name} does not match its digest; run that stage again, or restore the file")


def run_of(given: Any) -> Run:
    """Return the run in a folder; raise RequestError for what names none."""
    try:
        run = Run(resolve(given))
        run.folder.exists()
        run.fetch()
    except RequestError:
        raise
    except (ValueError, OSError):
        shown = without_secrets(repr(given))
        raise RequestError(f"run = {shown}: accepted is a run folder, or what the stage's own cell gave") from None
    return run


def texts_of(given: str | Path | Parsing) -> Texts:
    """Return the documents of a run folder, or of a shard as `parse_shard` gave it.

    Raises RequestError where the folder is no run, WorkError where a ledger is damaged.
    """
    if isinstance(given, Parsing):
        parts, again = given.shard.parts, given.shard.again
        folders = (again.merged, parts.folder) if again else (parts.folder,)
        return Texts((Source(given.ledger, folders),), place=given.shard.config.documents)
    run = run_of(given)
    num_shards = planned(run)
    if num_shards is None:
        raise RequestError(f"run = {relative(run.folder)!r}: no run folder (it holds no plan.json)")
    folders = [run.shard(shard, num_shards) for shard in range(num_shards)]
    receipts = [receipt for folder in folders if (receipt := find_receipt(folder))]
    finished = {receipt.folder for receipt in receipts}
    lacking = tuple(folder.name for folder in folders if folder not in finished)
    return Texts(tuple(map(_source, receipts)), lacking, run.documents())


def _source(receipt: Receipt) -> Source:
    ledger = read_table(receipt.folder / "ledger.parquet", LEDGER)
    check(receipt, "ledger.parquet")
    return Source(ledger, (receipt.folder,), receipt)
