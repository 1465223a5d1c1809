"""Outcomes as tables: all of them, what of them makes a part, and what makes its ledger."""

from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nbpipe.preprocess.parsed import Parsed
from nbpipe.preprocess.worker import Outcome, Verdict
from nbpipe.records import LEDGER, OUTCOME, PART


def table_of(outcomes: list[Outcome]) -> pa.Table:
    """Return a row per outcome, with the columns of records.OUTCOME."""
    return pa.Table.from_pylist([_row(outcome) for outcome in outcomes], schema=OUTCOME)


def outcomes_of(table: pa.Table) -> list[Outcome]:
    """Return the outcomes of such a table."""
    return [_outcome(row) for row in table.to_pylist()]


def part_rows(table: pa.Table) -> pa.Table:
    """Return what a part says of outcomes: their text, and nothing that differs between two runs."""
    return table.select(PART.names).cast(PART)


def ledger_rows(table: pa.Table) -> pa.Table:
    """Return what the ledger says of outcomes; pages become their number."""
    counts = pc.cast(pc.list_value_length(table["pages"]), pa.int64())
    counted = table.set_column(OUTCOME.get_field_index("pages"), "pages", counts)
    return counted.select(LEDGER.names).cast(LEDGER)


def _row(outcome: Outcome) -> dict[str, Any]:
    parsed = outcome.parsed
    return {
        "path": outcome.id,
        "sha256": outcome.sha256,
        "bytes": outcome.bytes,
        "status": parsed.status,
        "reason": parsed.reason,
        "parser": parsed.parser,
        "pages": list(parsed.pages),
        "scanned_pages": list(parsed.scanned),
        "ocr_pages": list(parsed.ocr),
        "seconds": outcome.seconds,
        "peak_bytes": outcome.peak_bytes,
        "earlier": [asdict(verdict) for verdict in outcome.earlier],
    }


def _outcome(row: dict[str, Any]) -> Outcome:
    names = ("status", "reason", "parser", "pages")
    parsed = Parsed(**{name: row[name] for name in names}, scanned=row["scanned_pages"], ocr=row["ocr_pages"])
    earlier = tuple(Verdict(**verdict) for verdict in row["earlier"])
    return Outcome(row["path"], row["sha256"], row["bytes"], parsed, row["seconds"], row["peak_bytes"], earlier)
