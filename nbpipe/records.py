"""The Arrow schemas of every table that passes between machines, and how tables are written and read.

Unusual: a part holds nothing that differs between two runs over the same documents, so its bytes can be compared.
Seconds and memory live in the ledger.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from nbpipe.errors import WorkError
from nbpipe.run import replacing

PART = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("pages", pa.list_(pa.string()), nullable=False),
    ]
)

# What an earlier attempt at a document found, before it was parsed again with other options.
VERDICT = pa.struct(
    [
        pa.field("status", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("parser", pa.string()),
        pa.field("seconds", pa.float64()),
    ]
)

OUTCOME = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("parser", pa.string(), nullable=False),
        pa.field("pages", pa.list_(pa.string()), nullable=False),
        pa.field("scanned_pages", pa.list_(pa.int32()), nullable=False),
        pa.field("ocr_pages", pa.list_(pa.int32()), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),
        pa.field("peak_bytes", pa.int64(), nullable=False),
        pa.field("earlier", pa.list_(VERDICT), nullable=False),
    ]
)

LEDGER = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("parser", pa.string(), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),
        pa.field("peak_bytes", pa.int64(), nullable=False),
        pa.field("pages", pa.int64(), nullable=False),
        pa.field("scanned_pages", pa.list_(pa.int32()), nullable=False),
        pa.field("ocr_pages", pa.list_(pa.int32()), nullable=False),
        pa.field("earlier", pa.list_(VERDICT), nullable=False),
    ]
)

ATTRIBUTION = pa.struct(
    [
        pa.field("page", pa.int32()),
        pa.field("start", pa.int32()),
        pa.field("end", pa.int32()),
        pa.field("word", pa.string()),
        pa.field("attribution", pa.float32()),
    ]
)

EXPLANATIONS = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("predicted", pa.string(), nullable=False),
        pa.field("target", pa.string(), nullable=False),
        pa.field("probability", pa.float32(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("gap", pa.float32(), nullable=False),
        pa.field("steps", pa.int64(), nullable=False),
        pa.field("words", pa.list_(ATTRIBUTION), nullable=False),
    ]
)


def neighbours(width: int) -> pa.Schema:
    """Return the schema of the documents a model learnt from, each with the direction of its hidden vector."""
    return pa.schema(
        [
            pa.field("path", pa.string(), nullable=False),
            pa.field("label", pa.string(), nullable=False),
            pa.field("vector", pa.list_(pa.field("item", pa.float16(), nullable=False), width), nullable=False),
        ]
    )


def write_table(path: Path, table: pa.Table, lasting: bool = True) -> None:
    """Write a table as Parquet, whole or not at all; the same rows give the same bytes.

    lasting: whether it must survive a power failure.
    """
    with replacing(path, lasting) as draft:
        pq.write_table(table, draft, compression="zstd", write_statistics=False)


def read_table(path: Path, schema: pa.Schema) -> pa.Table:
    """Read a Parquet file; raise WorkError where it is missing, damaged, or lacks a column of `schema`."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise WorkError(
            f"{path.name}: cannot be read as Parquet ({type(error).__name__}); run its stage again"
        ) from None
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise WorkError(f"{path.name}: lacks the column {missing[0]!r}; was it written by another version?")
    return table.select(schema.names)
