"""Second chances: some documents of a shard are parsed again, with other options, and replace their rows.

Unusual: the second attempt is a small shard of its own in a hidden folder of the first, so it resumes like any other.
Its rows are merged into copies of the parts that they belong to, beside a receipt that holds for the result; only then
do the copies take the originals' places, receipt last. Cut short before that receipt is there, nothing has changed; cut
short after it, the next attempt finishes the move.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nbpipe.audit import RECEIPT, Receipt, Stamp, digest, digests, read_receipt, receipt_for
from nbpipe.claim import Work
from nbpipe.preprocess.attempt import fill
from nbpipe.preprocess.files import Document
from nbpipe.preprocess.parts import Parts
from nbpipe.preprocess.worker import Outcome, Verdict
from nbpipe.records import LEDGER, PART, read_table, write_table
from nbpipe.run import flush, move, remove_folder, write

_AGAIN, _MERGED = ".again", "merged"
Parse = Callable[[list[Document]], Iterator[Outcome]]


@dataclass(frozen=True)
class Again:
    """A second attempt at the documents of a shard that have one of some statuses.

    options: what the attempt differs by; one with others does not take it up.
    """

    parts: Parts
    statuses: list[str]
    options: dict[str, Any]

    @property
    def merged(self) -> Path:
        """The folder of the parts and the ledger as they will be."""
        return self.parts.folder / _AGAIN / _MERGED

    @cached_property
    def before(self) -> dict[str, dict[str, Any]]:
        """The ledger's rows of the documents to parse again, by path."""
        ledger = read_table(self.parts.ledger, LEDGER)
        rows = ledger.filter(pc.is_in(ledger["status"], pa.array(self.statuses, pa.string()))).to_pylist()
        return {row["path"]: row for row in rows}

    @property
    def attempt(self) -> Parts:
        """The second attempt's own parts."""
        documents = [document for document in self.parts.documents if document.id in self.before]
        identity = self.parts.identity | {"of": digest(self.parts.ledger), "statuses": self.statuses}
        return Parts(self.parts.folder / _AGAIN, documents, identity, self.parts.reading | self.options)

    def run(self, parse: Parse, work: Work) -> None:
        """Parse the documents again, and merge them; a merge that is there already is made anew."""
        fill(self.attempt, lambda documents: map(self._remember, parse(documents)), work)
        remove_folder(self.merged)
        self._merge_ledger()
        for index, group in enumerate(self.parts.groups):
            if any(document.id in self.before for document in group):
                self._merge_part(index)

    def _remember(self, outcome: Outcome) -> Outcome:
        """Add the verdict before this one to an outcome."""
        row = self.before[outcome.id]
        earlier = [*row["earlier"], {name: row[name] for name in Verdict.__dataclass_fields__}]
        return replace(outcome, earlier=tuple(Verdict(**verdict) for verdict in earlier))

    def _merge_ledger(self) -> None:
        rows = {row["path"]: row for row in read_table(self.attempt.ledger, LEDGER).to_pylist()}
        _replace_rows(self.parts.ledger, self.merged / self.parts.ledger.name, rows, LEDGER)

    def _merge_part(self, index: int) -> None:
        mine = {document.id for document in self.parts.groups[index]}
        tables = (read_table(path, PART) for path in self.attempt.paths)
        chosen = (table.filter(pc.is_in(table["path"], pa.array(mine & self.before.keys()))) for table in tables)
        rows = {row["path"]: row for table in chosen for row in table.to_pylist()}
        path = self.parts.path(index)
        _replace_rows(path, self.merged / path.name, rows, PART)

    def commit(self, stamp: Stamp, facts: dict[str, Any]) -> Receipt:
        """Write the receipt of the result, put the result in the place of the original, and return the receipt."""
        files = digests(self.parts.folder) | digests(self.merged)
        write(self.merged / RECEIPT, receipt_for(files, "preprocess", stamp, facts))
        roll_forward(self.parts.folder)
        return read_receipt(self.parts.folder)


def _replace_rows(source: Path, target: Path, rows: dict[str, dict[str, Any]], schema: pa.Schema) -> None:
    """Write a table's copy in which rows are replaced by those of the same path."""
    merged = [rows.get(row["path"], row) for row in read_table(source, schema).to_pylist()]
    write_table(target, pa.Table.from_pylist(merged, schema=schema))


def roll_forward(folder: Path) -> None:
    """Finish the move that a commit began in a shard's folder, if any: its receipt says what belongs there."""
    merged = folder / _AGAIN / _MERGED
    if not (merged / RECEIPT).exists():
        return
    for path in sorted(merged.iterdir(), key=lambda path: path.name == RECEIPT):
        move(path, folder / path.name)
    flush(folder)
    remove_folder(folder / _AGAIN)
