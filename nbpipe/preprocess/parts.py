"""A shard's part files: the unit of resume.

Unusual: beside each finished part lies a hidden ledger fragment that names the part's digest, the plan, the parsers and
how documents were read. A resumed run trusts a part only through it. Documents of parts that are not yet whole are kept
in one hidden file that is rewritten now and then. Parts hold no times, so they are the same bytes whoever made them,
after any number of kills.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nbpipe.audit import RECEIPT, differences, digest, find_receipt
from nbpipe.errors import WorkError
from nbpipe.preprocess.files import Document
from nbpipe.preprocess.outcomes import ledger_rows, outcomes_of, part_rows, table_of
from nbpipe.preprocess.worker import Outcome
from nbpipe.records import LEDGER, OUTCOME, read_table, write_table
from nbpipe.run import remove, sweep

PART_ROWS = 100
_PROOF = b"nbpipe"
_UNFINISHED = ".unfinished.parquet"


@dataclass(frozen=True)
class Parts:
    """The files of one shard.

    identity: what its receipt must say to be trusted. reading: how documents are read, as far as it decides their text;
    what an unfinished shard has done is only taken up by those who read the same way.
    """

    folder: Path
    documents: list[Document]
    identity: dict[str, Any]
    reading: dict[str, Any] = field(default_factory=dict)

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
        remove(self.folder / RECEIPT)
        sweep(self.folder)
        return {index: group for index, group in enumerate(self.groups) if not self._trusted(index)}

    def _trusted(self, index: int) -> bool:
        part, fragment = self.path(index), self.fragment(index)
        if not part.exists() or not fragment.exists():
            return False
        if _proof(fragment) != self.identity | self.reading | {"part": digest(part)}:
            return False
        try:
            return read_table(fragment, LEDGER).num_rows == len(self.groups[index])
        except WorkError:  # fragments are not flushed to the disk, and may be damaged where their proof is not
            return False

    def _vouch(self, table: pa.Table, **more: str) -> pa.Table:
        proof = json.dumps(self.identity | self.reading | more)
        return table.replace_schema_metadata({_PROOF: proof.encode()})

    def done(self, lacking: dict[int, list[Document]]) -> Counter[str]:
        """Return how many documents of the parts that are not lacking have which status."""
        there = [self.fragment(index) for index in range(len(self.groups)) if index not in lacking]
        return Counter(status for path in there for status in read_table(path, LEDGER)["status"].to_pylist())

    def write(self, index: int, outcomes: list[Outcome]) -> None:
        """Write one part, then the fragment that vouches for it."""
        table = table_of(outcomes)
        write_table(self.path(index), part_rows(table))
        vouched = self._vouch(ledger_rows(table), part=digest(self.path(index)))
        write_table(self.fragment(index), vouched, lasting=False)

    def keep(self, outcomes: list[Outcome]) -> None:
        """Keep documents of unfinished parts, in place of those kept before."""
        write_table(self.folder / _UNFINISHED, self._vouch(table_of(outcomes)), lasting=False)

    def kept(self) -> list[Outcome]:
        """Return the documents of unfinished parts that an earlier attempt kept."""
        path = self.folder / _UNFINISHED
        if _proof(path) != self.identity | self.reading:
            return []
        with suppress(WorkError):
            return outcomes_of(read_table(path, OUTCOME))
        return []

    def close(self) -> None:
        """Join the fragments to the ledger, and remove files that no part of this shard has."""
        fragments = [read_table(self.fragment(index), LEDGER) for index in range(len(self.groups))]
        plain = [table.replace_schema_metadata(None) for table in fragments]
        write_table(self.ledger, pa.concat_tables([LEDGER.empty_table(), *plain]))
        for stray in set(self.folder.glob("part-*.parquet")) - set(self.paths):
            remove(stray)
        remove(self.folder / _UNFINISHED)

    def drop_fragments(self) -> None:
        """Remove the fragments, once the receipt vouches for everything."""
        for fragment in self.folder.glob(".ledger-*.parquet"):
            remove(fragment)


def _proof(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads((pq.read_schema(path).metadata or {})[_PROOF])
    except (OSError, KeyError, ValueError):  # pyarrow's own errors are of these kinds
        return None


def vouched(folder: Path, parser: str) -> Iterator[tuple[Path, Path]]:
    """Yield each whole part of a shard that was never finished, with the fragment that vouches for it.

    parser: the version of the parsers that must have made it.
    """
    for fragment in sorted(folder.glob(".ledger-*.parquet")):
        part = folder / fragment.name.replace(".ledger-", "part-")
        proof = _proof(fragment) or {}
        if proof.get("parser") == parser and part.exists() and proof.get("part") == digest(part):
            yield part, fragment


class Gathering:
    """Outcomes as they come, until all of a group are there."""

    def __init__(self, groups: dict[int, list[Document]]) -> None:
        self._groups = dict(groups)
        self._home = {document.id: index for index, group in groups.items() for document in group}
        self._came: dict[int, dict[str, Outcome]] = {index: {} for index in groups}

    def take(self, outcome: Outcome) -> tuple[int, list[Outcome]] | None:
        """Take an outcome; return its group and the outcomes of that, in order, where it is the last to come."""
        index = self._home[outcome.id]
        came, group = self._came[index], self._groups[index]
        came[outcome.id] = outcome
        if len(came) < len(group):
            return None
        del self._came[index], self._groups[index]
        return index, [came[document.id] for document in group]

    @property
    def expected(self) -> list[Document]:
        """The documents that have not come, in order."""
        groups = ((self._came[index], group) for index, group in self._groups.items())
        return [document for came, group in groups for document in group if document.id not in came]

    @property
    def held(self) -> list[Outcome]:
        """What has come of groups that are not whole."""
        return [outcome for came in self._came.values() for outcome in came.values()]
