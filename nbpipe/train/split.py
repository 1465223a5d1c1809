"""Deals labelled documents to training, validation and test.

Unusual: what is dealt are units, not documents. Copies, near copies and the documents of one group are one unit, also
across labels and through others; a unit on both sides would make the test look better than the model is.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from nbpipe.errors import RequestError
from nbpipe.shown import Shown, Table
from nbpipe.train.deal import PARTS, TEST, VALIDATION, deal
from nbpipe.train.labels import BAR

LEAST_UNITS = len(PARTS)
OTHER = "other"
_SHOWN = 60


@dataclass(frozen=True, eq=False, repr=False)
class Parts(Shown):
    """The split. documents: columns path, labels, label, part, unit, copy, twin; one row per usable document.

    labels: those learnt of it, sorted (list[str]), label: the same as one text, a|b; both null = unlabelled. part is
    train, validation, test, or unlabelled. unit: documents of one unit share it; copy, twin: as `split` was given them.
    multi: a document may hold several labels. set_aside: labels in too few units, which are not learnt, and how many
    documents each has; merged: those that became the label other.
    """

    documents: pl.DataFrame
    multi: bool
    set_aside: dict[str, int]
    merged: dict[str, int]
    seed: int

    @cached_property
    def labels(self) -> list[str]:
        """The labels that are learnt, sorted."""
        return self.documents["labels"].explode().drop_nulls().unique().sort().to_list()

    @cached_property
    def truth(self) -> np.ndarray:
        """Which labels each document has, bool [N, C]."""
        held = _held(self.documents)
        columns = {label: column for column, label in enumerate(self.labels)}
        truth = np.zeros((len(self.documents), len(columns)), bool)
        truth[held["row"], held["label"].replace_strict(columns, return_dtype=pl.Int64)] = True
        return truth

    @cached_property
    def targets(self) -> np.ndarray:
        """The position in `labels` of each document's label, of several the first, int64 [N]; -1 for unlabelled."""
        return np.where(self.truth.any(axis=1), self.truth.argmax(axis=1), -1)

    def rows(self, *parts: str) -> np.ndarray:
        """The positions of the documents of these parts, int64."""
        return self.documents["part"].is_in(parts).arg_true().cast(pl.Int64).to_numpy(writable=True)

    def weights(self, rows: np.ndarray, weighting: str) -> np.ndarray:
        """Return what each of these documents counts in training, float32 [n], 1 on average of the labelled ones.

        'none': all the same. 'balanced': n / (C * documents of its label), as scikit-learn has it; of several labels
        the mean, and nothing for unlabelled ones. rows: positions of documents, int [n].
        """
        if weighting == "none":
            return np.ones(len(rows), np.float32)
        truth = self.truth[rows]
        each = truth @ (1 / np.maximum(truth.sum(axis=0), 1)) / np.maximum(truth.sum(axis=1), 1)
        return (each / each[each > 0].mean()).astype(np.float32)

    @property
    def counts(self) -> dict[str, int]:
        """The number of documents of each part."""
        found = dict(self.documents["part"].value_counts().iter_rows())
        return {part: found.get(part, 0) for part in (*PARTS, "unlabelled")}

    @property
    def copies(self) -> int:
        """How many labelled documents repeat the text of another one."""
        return len(self._labelled) - self._labelled["copy"].n_unique()

    @property
    def near(self) -> int:
        """How many different texts of labelled documents are near copies of another one."""
        return self._labelled["copy"].n_unique() - self._labelled["twin"].n_unique()

    @cached_property
    def _labelled(self) -> pl.DataFrame:
        return self.documents.filter(pl.col("label").is_not_null())

    def shown(self) -> list[Table]:
        """The number of documents per label and part."""
        in_parts = ((pl.col("part") == part).sum().alias(part) for part in PARTS)
        counted = self._labelled.explode("labels").group_by("labels").agg(*in_parts, pl.len()).sort("labels")
        hidden = [[f"... {len(counted) - _SHOWN:,} more labels", *[""] * 4]] if len(counted) > _SHOWN else []
        total = ["all documents", *(self.counts[part] for part in PARTS), len(self._labelled)]
        aside = [[f"{label} (too rare for three parts, set aside)", n] for label, n in self.set_aside.items()]
        aside += [[f"{label} (too rare for three parts, merged into {OTHER})", n] for label, n in self.merged.items()]
        aside = [[label, "", "", "", n] for label, n in aside[:_SHOWN]]
        rows = [*map(list, counted.head(_SHOWN).iter_rows()), *hidden, total, *aside]
        return [Table(["label", *PARTS, "all"], rows, self._caption())]

    def _caption(self) -> str:
        sizes = self._labelled["unit"].value_counts()["count"]
        return (
            f"{TEST:.0%} of each label's documents are for the test, {VALIDATION:.0%} for validation; {self.copies:,} "
            f"documents repeat another's text, {self.near:,} more nearly repeat it, and what belongs together stays on "
            f"one side: {len(sizes):,} units, the largest of {sizes.max():,} documents"
        )


def split(documents: pl.DataFrame, seed: int, rare: str = "drop") -> Parts:
    """Deal documents to the three parts, by the seed.

    documents: columns path, labels and group (as `read_labels` gives them), copy and twin (as `Sketches` gives them).
    Of each label's documents 20% are for the test and 10% for validation, one unit each at least. What becomes of a
    label in fewer than three units says `rare`: 'drop' takes it away, so that a document without another counts as
    unlabelled; 'merge' makes such labels one, other, dropped if that is still too rare; 'refuse' raises RequestError.
    So do labels that tell no documents apart.
    """
    documents = documents.select("path", "labels", "copy", "twin", unit=units(documents["twin"], documents["group"]))
    multi = bool((documents["labels"].list.len() > 1).any())
    given = held = _held(documents)
    merged, dropped = set[str](), set[str]()
    while True:
        small = _small(held)
        if not small:
            _refuse_alike(given, held, multi)
            parts, small = deal(held.group_by("unit", "label").len("documents"), seed)
        if not small:
            break
        if rare == "refuse":
            _refuse_rare(held, small)
        if rare == "merge" and small != {OTHER}:
            merged |= small
            held = held.with_columns(label=_renamed(small)).unique()
        else:
            dropped |= small | (merged if OTHER in small else set())
            held = held.filter(~pl.col("label").is_in(list(small)))
    aside, joined = (_numbers(given, labels) for labels in (dropped, merged - dropped))
    return Parts(_dealt(documents, held, parts), multi, aside, joined, seed)


def units(twin: pl.Series, group: pl.Series) -> pl.Series:
    """Return which documents stay together: of each, where the first document of its unit stands, int64.

    Together are documents of one twin or of one group, and whatever these link. A null group links nothing.
    """
    count, known = len(twin), group.is_not_null().arg_true().to_numpy()
    twins = count - 1 + twin.rank("dense").cast(pl.Int64).to_numpy()  # nodes beyond those of the documents
    names = 2 * count - 1 + group.drop_nulls().rank("dense").cast(pl.Int64).to_numpy()
    rows, columns = np.r_[np.arange(count), known], np.r_[twins, names]
    nodes = 2 * count + len(known)
    linked = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(nodes, nodes))
    found = connected_components(linked, directed=False)[1][:count]
    _, first, inverse = np.unique(found, return_index=True, return_inverse=True)
    return pl.Series("unit", first[inverse], pl.Int64)


def _held(documents: pl.DataFrame) -> pl.DataFrame:
    """Return a row for every label of every document: columns row, unit, label."""
    listed = documents.select("unit", label="labels").with_row_index("row")
    return listed.explode("label").filter(pl.col("label").is_not_null())


def _small(held: pl.DataFrame) -> set[str]:
    counted = held.group_by("label").agg(pl.col("unit").n_unique())
    return set(counted.filter(pl.col("unit") < LEAST_UNITS)["label"])


def _renamed(small: set[str]) -> pl.Expr:
    return pl.when(pl.col("label").is_in(list(small))).then(pl.lit(OTHER)).otherwise("label").alias("label")


def _numbers(held: pl.DataFrame, labels: set[str]) -> dict[str, int]:
    """Return how many documents have each of these labels."""
    return dict(held.filter(pl.col("label").is_in(list(labels)))["label"].value_counts().sort("label").iter_rows())


def _dealt(documents: pl.DataFrame, held: pl.DataFrame, parts: pl.DataFrame) -> pl.DataFrame:
    """Return the documents with the labels that are learnt, and their part."""
    labels = held.group_by("row").agg(pl.col("label").sort().alias("labels"))
    table = documents.drop("labels").with_row_index("row")
    table = table.join(labels, on="row", how="left", maintain_order="left")
    table = table.join(parts, on="unit", how="left", maintain_order="left")
    part = pl.when(pl.col("labels").is_null()).then(pl.lit("unlabelled")).otherwise("part")
    label = pl.col("labels").list.join(BAR)
    return table.select("path", "labels", label.alias("label"), part.alias("part"), "unit", "copy", "twin")


def _refuse_rare(held: pl.DataFrame, small: set[str]) -> None:
    """Raise RequestError that names the labels in too few units."""
    counted = held.filter(pl.col("label").is_in(list(small))).group_by("label")
    rows = counted.agg(pl.len(), pl.col("unit").n_unique()).sort("label").rows()
    named = ", ".join(f"{label!r} ({n:,} documents in {kept:,} units)" for label, n, kept in rows[:3])
    more = ", ..." if len(rows) > 3 else ""
    raise RequestError(
        f"rare = 'refuse': {len(rows):,} labels cannot be split: {named}{more}; each needs {LEAST_UNITS} units of its "
        f"own, one for each of {', '.join(PARTS)} (copies, near copies and a group are one unit); label more "
        "documents, or accept rare = 'drop' or 'merge'"
    )


def _refuse_alike(given: pl.DataFrame, held: pl.DataFrame, multi: bool) -> None:
    """Raise RequestError where the labels that are left tell no documents apart."""
    had, left = given["label"].n_unique(), held["label"].n_unique()
    documents = held["row"].n_unique()
    if left > 1 and not (multi and (held["label"].value_counts()["count"] == documents).all()):
        return
    if not had:
        said = "no document is labelled; put documents into one folder per label, or give a CSV file with path,label"
    elif had == 1:
        said = f"all labelled documents have the label {given['label'][0]!r}; a classifier needs two labels"
    elif left > 1:
        said = (
            f"all {documents:,} labelled documents have the same {left:,} labels; a classifier needs some that differ"
        )
    else:
        said = (
            f"{left} of {had:,} labels are in {LEAST_UNITS} units or more (one each for {', '.join(PARTS)}; copies, "
            "near copies and a group are one unit); a classifier needs two such labels"
        )
    raise RequestError(f"labels: {said}")
