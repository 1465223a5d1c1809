"""Where labels and groups come from: the first folder of a document's path, or a CSV file.

Unusual: a label file that names a document this run does not have is an error, because a misspelt path would otherwise
leave that document silently without its label; so is a column that is nearly called group.
"""

import io
from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path

import polars as pl

from nbpipe.audit import digest
from nbpipe.config import Train
from nbpipe.errors import RequestError, nearest

_COLUMNS = ("path", "label")
_GROUP = "group"
_NEARLY = 0.8
BAR = "|"


@dataclass(frozen=True, eq=False)
class Labels:
    """What is known of each document. table: columns path, labels, group, one row per path in the order given.

    labels: its labels, sorted, each once (list[str]); null = unlabelled. group: documents of one group stay on one side
    of the split; null = in no group.
    """

    table: pl.DataFrame

    @property
    def multi(self) -> bool:
        """Whether any document has several labels."""
        return bool((self.table["labels"].list.len() > 1).any())


def read_labels(file: Path | None, paths: pl.Series, gone: Collection[str] = ()) -> Labels:
    """Return what a CSV file says of these paths, or, without a file, their first folders as labels.

    gone: paths that were documents once, which the file may name too. Raises RequestError as `csv_labels` does.
    """
    if file:
        return Labels(csv_labels(file, paths, gone))
    label = folder_labels(paths)
    labels = pl.when(label.is_not_null()).then(pl.concat_list(label))
    return Labels(pl.select(path=paths, labels=labels, group=pl.lit(None, pl.String)))


def folder_labels(paths: pl.Series) -> pl.Series:
    """Return the first folder of each path; null for a document outside any folder."""
    steps = paths.str.split("/")
    return pl.select(pl.when(steps.list.len() > 1).then(steps.list.first())).to_series().alias("label")


def csv_labels(file: Path, paths: pl.Series, gone: Collection[str] = ()) -> pl.DataFrame:
    """Return the labels and the group that a CSV file gives each path: columns path, labels, group as of `Labels`.

    gone: paths that were documents once and may stand there too. A label `a|b` means both. Raises RequestError for a
    file that is no such CSV, and for paths that are unknown or stand there twice, differently.
    """
    given = _read(file).unique(maintain_order=True)
    _refuse_twice(file, given)
    _refuse_unknown(file, given, [*paths, *gone])
    return pl.DataFrame({"path": paths}).join(given, on="path", how="left", maintain_order="left")


def labels_digest(config: Train) -> str:
    """Return the SHA-256 of the label file, or nothing where the folders are the labels."""
    return digest(config.labels) if config.labels else ""


def encoder_digest(config: Train) -> str:
    """Return the SHA-256 over the files of an encoder's folder; of one of a hub its name, of none nothing."""
    if not isinstance(config.encoder, Path):
        return config.encoder
    files = sorted(path for path in config.encoder.rglob("*") if path.is_file())
    listed = [f"{path.relative_to(config.encoder).as_posix()} {digest(path)}" for path in files]
    return sha256("\n".join(listed).encode(errors="surrogateescape")).hexdigest()


def _read(file: Path) -> pl.DataFrame:
    """Return the rows of the file that name a path: columns path, labels, group."""
    try:
        table = pl.read_csv(io.BytesIO(file.read_bytes()), infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = f"labels = {file.name!r}: cannot be read as UTF-8 CSV ({str(error).splitlines()[0]})"
        raise RequestError(f"{reason}; accepted is a table with the columns path,label") from None
    _refuse_columns(file, table.columns)
    group = pl.col(_GROUP).str.strip_chars() if _GROUP in table.columns else pl.lit(None, pl.String)
    cells = pl.col("label").str.split(BAR).list.eval(pl.element().str.strip_chars())
    labels = cells.list.eval(pl.element().filter(pl.element() != "").unique().sort())
    rows = table.filter(pl.col("path").is_not_null()).select("path", labels=labels, group=group)
    return rows.with_columns(
        labels=pl.when(pl.col("labels").list.len() > 0).then("labels"),
        group=pl.when(pl.col("group") != "").then("group"),
    )


def _refuse_columns(file: Path, columns: list[str]) -> None:
    found = ", ".join(map(repr, columns))
    for name in _COLUMNS:
        if name not in columns:
            hint = nearest(name, columns)
            raise RequestError(f"labels = {file.name!r}: no column {name!r}{hint} (found: {found}; needed: path,label)")
    alike = get_close_matches(_GROUP, [name.strip().lower() for name in columns], n=1, cutoff=_NEARLY)
    if alike and _GROUP not in columns:
        raise RequestError(
            f"labels = {file.name!r}: a column called nearly, not exactly, {_GROUP!r} (found: {found}); call it "
            f"{_GROUP!r} if its documents are to stay together, or something else"
        )


def _refuse_twice(file: Path, given: pl.DataFrame) -> None:
    twice = given.filter(pl.col("path").is_duplicated()).group_by("path", maintain_order=True).agg("labels", "group")
    if not len(twice):
        return
    path, labels, group = twice.row(0)
    said = [BAR.join(several or []) for several in labels]
    what, hint = "labels", "; several labels of one document are written a|b, in one row"
    if len(set(said)) == 1:
        what, hint, said = "groups", "; accepted is one group a path", [name or "" for name in group]
    raise RequestError(
        f"labels = {file.name!r}: {len(twice):,} paths stand there twice, differently, such as {path!r} with the "
        f"{what} {' and '.join(map(repr, said))}{hint}"
    )


def _refuse_unknown(file: Path, given: pl.DataFrame, paths: list[str]) -> None:
    known = pl.DataFrame({"path": paths}, schema={"path": pl.String})
    unknown = given.join(known, on="path", how="anti")["path"].unique(maintain_order=True)
    if len(unknown):
        first = ", ".join(repr(path) + nearest(path, paths) for path in unknown[:3])
        raise RequestError(
            f"labels = {file.name!r}: {len(unknown):,} of {given['path'].n_unique():,} paths are no documents of this "
            f"run: {first}{', ...' if len(unknown) > 3 else ''} (a path is relative to the documents folder)"
        )
