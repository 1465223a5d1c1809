"""A shard's part files: the unit of resume.

Unusual: beside each finished part lies a hidden ledger fragment that names the part's digest, the plan and the parsers.
A resumed run trusts a part only through it. Parts hold no times, so they are the same bytes whoever made them, after
any number of kills.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nbpipe.audit import RECEIPT, differences, digest, find_receipt
from nbpipe.errors import WorkError
from nbpipe.preprocess.files import Document
from nbpipe.preprocess.sandbox import Outcome
from nbpipe.records import LEDGER, PART, read_table, write_table
from nbpipe.run import sweep

PART_ROWS = 100
_PROOF = b"nbpipe"


@dataclass(frozen=True)
class Parts:
    """The files of one shard. identity: what a part must have been made from to be trusted."""

    folder: Path
    documents: list[Document]
    identity: dict[str, Any]

    @property
    def groups(self) -> list[list[Document]]:
        """The documents of each part, in order."""
        return [self.documents[i : i + PART_ROWS] for i in range(0, len(self.documents), PART_ROWS)]

    @property
    def paths(self) -> list[Path]:
        """The part files, in order."""
        return [self.path(index) for index in range(len(self.groups))]

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self.folder / "ledger.parquet"

    def path(self, index: int) -> Path:
        """One part's file."""
        return self.folder / f"part-{index:05d}.parquet"

    def fragment(self, index: int) -> Path:
        """The ledger rows of one part, kept until the whole ledger is written."""
        return self.folder / f".ledger-{index:05d}.parquet"

    def finished(self) -> bool:
        """Return whether the shard's receipt is of this identity, and its files match it."""
        try:
            receipt = find_receipt(self.folder)
        except WorkError:
            return False
        if receipt is None or any(receipt.facts.get(name) != value for name, value in self.identity.items()):
            return False
        return not differences(receipt)

    def lacking(self) -> dict[int, list[Document]]:
        """Return the parts that must still be made. Takes back the receipt, which no longer holds."""
        (self.folder / RECEIPT).unlink(missing_ok=True)
        sweep(self.folder)
        return {index: group for index, group in enumerate(self.groups) if not self._trusted(index)}

    def _trusted(self, index: int) -> bool:
        part, fragment = self.path(index), self.fragment(index)
        if not part.exists() or not fragment.exists():
            return False
        try:
            proof = json.loads((pq.read_schema(fragment).metadata or {})[_PROOF])
        except (OSError, KeyError, ValueError):  # pyarrow's own errors are of these kinds
            return False
        return proof == self.identity | {"part": digest(part)}

    def write(self, index: int, outcomes: list[Outcome]) -> None:
        """Write one part, then the fragment that vouches for it."""
        write_table(self.path(index), pa.Table.from_pylist([_row(o) for o in outcomes], schema=PART))
        proof = json.dumps(self.identity | {"part": digest(self.path(index))})
        rows = pa.Table.from_pylist([_entry(o) for o in outcomes], schema=LEDGER)
        write_table(self.fragment(index), rows.replace_schema_metadata({_PROOF: proof.encode()}))

    def close(self) -> None:
        """Join the fragments to the ledger, and remove files that no part of this shard has."""
        fragments = [read_table(self.fragment(index), LEDGER) for index in range(len(self.groups))]
        plain = [table.replace_schema_metadata(None) for table in fragments]
        write_table(self.ledger, pa.concat_tables([LEDGER.empty_table(), *plain]))
        for stray in set(self.folder.glob("part-*.parquet")) - set(self.paths):
            stray.unlink()

    def drop_fragments(self) -> None:
        """Remove the fragments, once the receipt vouches for everything."""
        for fragment in self.folder.glob(".ledger-*.parquet"):
            fragment.unlink(missing_ok=True)


def gather(lacking: dict[int, list[Document]], outcomes: Iterable[Outcome]) -> Iterator[tuple[int, list[Outcome]]]:
    """Yield each part's outcomes, in the order of its documents, as soon as all of them have come."""
    home = {document.id: index for index, group in lacking.items() for document in group}
    came: dict[int, dict[str, Outcome]] = {index: {} for index in lacking}
    for outcome in outcomes:
        index = home[outcome.id]
        came[index][outcome.id] = outcome
        if len(came[index]) == len(lacking[index]):
            whole = came.pop(index)
            yield index, [whole[document.id] for document in lacking[index]]


def _row(outcome: Outcome) -> dict[str, Any]:
    return {
        "path": outcome.id,
        "sha256": outcome.sha256,
        "bytes": outcome.bytes,
        "status": outcome.parsed.status,
        "pages": list(outcome.parsed.pages),
    }


def _entry(outcome: Outcome) -> dict[str, Any]:
    parsed = outcome.parsed
    return {
        "path": outcome.id,
        "status": parsed.status,
        "reason": parsed.reason,
        "parser": parsed.parser,
        "seconds": outcome.seconds,
        "peak_bytes": outcome.peak_bytes,
        "pages": len(parsed.pages),
        "scanned_pages": list(parsed.scanned),
        "ocr_pages": list(parsed.ocr),
        "earlier": [],
    }
