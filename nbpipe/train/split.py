"""Deals labelled documents to training, validation and test.

Unusual: what is dealt are distinct texts, not documents. All documents of one text, whitespace and case aside, stand on
the same side, even where their labels differ; otherwise a copy of a training text would make the test look better.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from nbpipe.errors import RequestError
from nbpipe.shown import Shown, Table

TEST, VALIDATION = 0.2, 0.1
LEAST_TEXTS = 3
PARTS = ("train", "validation", "test")
_SHOWN = 60


@dataclass(frozen=True, eq=False, repr=False)
class Parts(Shown):
    """The split. documents: columns path, text, label, part, group; one row per usable document.

    part is train, validation, test, or unlabelled; then label is null. set_aside: labels with too few distinct texts,
    and how many documents each has; they count as unlabelled.
    """

    documents: pl.DataFrame
    set_aside: dict[str, int]
    seed: int

    @cached_property
    def labels(self) -> list[str]:
        """The labels that are learnt, sorted."""
        return self.documents["label"].drop_nulls().unique().sort().to_list()

    @cached_property
    def targets(self) -> np.ndarray:
        """Each document's position in `labels`, int64 [N]; -1 for unlabelled."""
        numbers = {label: number for number, label in enumerate(self.labels)}
        return (
            self.documents["label"].replace_strict(numbers, default=-1, return_dtype=pl.Int64).to_numpy(writable=True)
        )

    def rows(self, *parts: str) -> np.ndarray:
        """The positions of the documents of these parts, int64."""
        return self.documents["part"].is_in(parts).arg_true().cast(pl.Int64).to_numpy(writable=True)

    @property
    def counts(self) -> dict[str, int]:
        """The number of documents of each part."""
        found = dict(self.documents["part"].value_counts().iter_rows())
        return {part: found.get(part, 0) for part in (*PARTS, "unlabelled")}

    @property
    def copies(self) -> int:
        """How many labelled documents repeat the text of another one."""
        labelled = self.documents.filter(pl.col("label").is_not_null())
        return len(labelled) - labelled["group"].n_unique()

    def shown(self) -> list[Table]:
        """The number of documents per label and part."""
        counted = self.documents.group_by("label").agg(*((pl.col("part") == part).sum().alias(part) for part in PARTS))
        found = {label: counts for label, *counts in counted.iter_rows()}
        rows = [[label, *found[label], sum(found[label])] for label in self.labels]
        total = [sum(row[column] for row in rows) for column in range(1, 5)]
        hidden = [[f"... {len(rows) - _SHOWN:,} more labels", *[""] * 4]] if len(rows) > _SHOWN else []
        aside = [[f"{label} (fewer than {LEAST_TEXTS} texts, set aside)", "", "", "", n] for label, n in self._aside()]
        columns = ["label", *PARTS, "all"]
        return [Table(columns, [*rows[:_SHOWN], *hidden, ["all labels", *total], *aside], self._caption())]

    def _aside(self) -> list[tuple[str, int]]:
        return list(self.set_aside.items())[:_SHOWN]

    def _caption(self) -> str:
        return (
            f"{TEST:.0%} of each label's distinct texts are for the test, {VALIDATION:.0%} for validation; "
            f"{self.copies:,} documents repeat another's text and stay on its side"
        )


def split(documents: pl.DataFrame, seed: int) -> Parts:
    """Deal documents (columns path, text, label; label null = unlabelled) to the three parts, by the seed.

    Per label, 20% of its distinct texts are for the test and 10% for validation, one of each at least. A label with
    fewer than three distinct texts is set aside. Raises RequestError where fewer than two labels are left.
    """
    documents = documents.select("path", "text", "label").with_columns(group=groups(documents["text"]))
    texts = _learnable(documents)
    known = pl.col("label").is_in(texts["label"].unique().implode())
    small = documents.filter(~known)["label"].value_counts().sort("label")
    documents = documents.with_columns(label=pl.when(known).then("label"))
    documents = documents.join(_deal(texts, seed), on="group", how="left", maintain_order="left")
    part = pl.when(pl.col("label").is_null()).then(pl.lit("unlabelled")).otherwise("part")
    return Parts(documents.with_columns(part=part), dict(small.iter_rows()), seed)


def _learnable(documents: pl.DataFrame) -> pl.DataFrame:
    """Return the distinct texts of the labels that have enough of them; a text counts for its first label only."""
    labelled = documents.filter(pl.col("label").is_not_null())
    while True:
        texts = labelled.unique("group", keep="first", maintain_order=True)
        enough = texts.group_by("label").len().filter(pl.col("len") >= LEAST_TEXTS)["label"]
        kept = labelled.filter(pl.col("label").is_in(enough.implode()))
        if len(kept) == len(labelled):
            break
        labelled = kept
    if len(enough) < 2:
        raise RequestError(f"labels: {_too_few(documents['label'].drop_nulls(), len(enough))}")
    return texts


def groups(texts: pl.Series) -> pl.Series:
    """Return a number per text that equal texts share, whitespace and case aside: where the first of them stands."""
    plain = texts.str.replace_all(r"\s+", " ").str.strip_chars().str.to_lowercase()
    table = pl.DataFrame({"plain": plain}).with_row_index("group")
    return table.select(pl.col("group").cast(pl.Int64).min().over("plain")).to_series()


def _deal(texts: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return the part of each distinct text: columns group, part."""
    chance, dealt = np.random.default_rng(seed), []
    for (_,), same in texts.sort("label", "group").group_by("label", maintain_order=True):
        test, validation = (max(1, round(share * len(same))) for share in (TEST, VALIDATION))
        part = ["test"] * test + ["validation"] * validation
        part += ["train"] * (len(same) - len(part))
        dealt.append(pl.DataFrame({"group": same["group"].to_numpy()[chance.permutation(len(same))], "part": part}))
    return pl.concat(dealt)


def _too_few(labels: pl.Series, enough: int) -> str:
    """Say why there are not two labels to learn."""
    if labels.is_empty():
        return "no document is labelled; put documents into one folder per label, or give a CSV file with path,label"
    if labels.n_unique() == 1:
        return f"all labelled documents have the label {labels[0]!r}; a classifier needs two labels"
    return (
        f"{enough} of {labels.n_unique()} labels have {LEAST_TEXTS} distinct texts or more (one each for training, "
        "validation and test); a classifier needs two such labels"
    )
