"""Where labels come from: the first folder of a document's path, or a CSV file.

Unusual: a label file that names a document this run does not have is an error, because a misspelt path would otherwise
leave that document silently without its label.
"""

import io
from pathlib import Path

import polars as pl

from nbpipe.audit import digest
from nbpipe.config import Train
from nbpipe.errors import RequestError, nearest

_COLUMNS = ("path", "label")


def folder_labels(paths: pl.Series) -> pl.Series:
    """Return the first folder of each path; null for a document outside any folder."""
    steps = paths.str.split("/")
    return pl.select(pl.when(steps.list.len() > 1).then(steps.list.first())).to_series().alias("label")


def csv_labels(file: Path, paths: pl.Series) -> pl.Series:
    """Return the label that a CSV file gives each path; null where it gives none.

    Raises RequestError for a file that is no such CSV, and for paths that are unknown or labelled twice, differently.
    """
    given = _read(file).unique(maintain_order=True)
    _refuse_twice(file, given)
    _refuse_unknown(file, given, paths)
    given = given.filter(pl.col("label").is_not_null())
    return pl.DataFrame({"path": paths}).join(given, on="path", how="left", maintain_order="left")["label"]


def labels_digest(config: Train) -> str:
    """Return the SHA-256 of the label file, or nothing where the folders are the labels."""
    return digest(config.labels) if config.labels else ""


def _read(file: Path) -> pl.DataFrame:
    try:
        table = pl.read_csv(io.BytesIO(file.read_bytes()), infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = f"labels = {file.name!r}: cannot be read as UTF-8 CSV ({str(error).splitlines()[0]})"
        raise RequestError(f"{reason}; accepted is a table with the columns path,label") from None
    for name in _COLUMNS:
        if name not in table.columns:
            found = ", ".join(map(repr, table.columns))
            hint = nearest(name, table.columns)
            raise RequestError(f"labels = {file.name!r}: no column {name!r}{hint} (found: {found}; needed: path,label)")
    cells = table.select(_COLUMNS).filter(pl.col("path").is_not_null())
    label = pl.col("label").str.strip_chars()
    return cells.with_columns(label=pl.when(label != "").then(label))


def _refuse_twice(file: Path, given: pl.DataFrame) -> None:
    twice = given.filter(pl.col("path").is_duplicated()).group_by("path", maintain_order=True).agg("label")
    if len(twice):
        path, labels = twice.row(0)
        said = " and ".join(repr(label or "") for label in labels)
        raise RequestError(
            f"labels = {file.name!r}: {len(twice):,} paths have two different labels, such as {path!r} with {said}; "
            "accepted is one label a path"
        )


def _refuse_unknown(file: Path, given: pl.DataFrame, paths: pl.Series) -> None:
    known = pl.DataFrame({"path": paths})
    unknown = given.join(known, on="path", how="anti")["path"].unique(maintain_order=True)
    if len(unknown):
        first = ", ".join(repr(path) + nearest(path, paths) for path in unknown[:3])
        raise RequestError(
            f"labels = {file.name!r}: {len(unknown):,} of {given['path'].n_unique():,} paths are no documents of this "
            f"run: {first}{', ...' if len(unknown) > 3 else ''} (a path is relative to the documents folder)"
        )
