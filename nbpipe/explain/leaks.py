"""The strongest words of each class, over all explained documents: where leaks show.

Unusual: it counts where else a word stands, and looks for the class' own name among its words.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from nbpipe.explain.attribute import Attributions
from nbpipe.shown import Sentence, Shown, Table
from nbpipe.train.model import Classifier
from nbpipe.train.text import spans

_SHOWN = 10


@dataclass(frozen=True, eq=False, repr=False)
class TopWords(Shown):
    """The strongest words of each predicted class.

    rows: a row per class and word, strongest first: predicted, word, attribution (mean over the class' documents), of
    (documents of the class), documents (those with the word), elsewhere (other documents with the word), own_name.
    """

    rows: pl.DataFrame

    @property
    def top(self) -> dict[str, list[tuple[str, float]]]:
        """The words and their mean attributions by class."""
        parts = self.rows.partition_by("predicted", as_dict=True, maintain_order=True)
        return {name: list(part.select("word", "attribution").iter_rows()) for (name,), part in parts.items()}

    @property
    def leaking(self) -> list[str]:
        """The classes whose own name is among their strongest words."""
        return self.rows.filter("own_name")["predicted"].unique(maintain_order=True).to_list()

    def shown(self) -> list[Table | Sentence]:
        """The strongest words of each class."""
        lines = []
        for (name,), part in self.rows.partition_by("predicted", as_dict=True, maintain_order=True).items():
            words = [f"{word} {value:+.2f}" for word, value in self.top[name][:_SHOWN]]
            own = ", ".join(part.filter("own_name")["word"])
            alone = ", ".join(part.filter(pl.col("elsewhere") == 0)["word"][:_SHOWN])
            lines.append((name, part["of"][0], ", ".join(words), own or "no", alone or "none"))
        columns = ["predicted", "documents", "strongest words", "its own name among them", "in no other class"]
        many = f"{len(self.leaking):,} of {self.rows['predicted'].n_unique():,}"
        return [Table(columns, lines, f"Classes with their own name among their strongest words: {many}")]


def top_words(classifier: Classifier, found: Attributions, top: int) -> TopWords:
    """Return the `top` strongest words of each predicted class, those that speak for it."""
    predicted = pl.Series([classifier.labels[target] for target in found.targets], dtype=pl.String)
    rows = _rank(_entries(found, predicted), predicted, top)
    own = [named(word, own_names(name)) for name, word in rows.select("predicted", "word").iter_rows()]
    return TopWords(rows.with_columns(pl.Series("own_name", own, pl.Boolean)))


def own_names(label: str) -> set[str]:
    """Return the words that spell a label: each of its words, their parts, and all of them joined."""
    words = [word for _, _, word in spans(label)]
    parts = [part for word in words for part in word.split("_") if part]
    return {*words, *parts, "".join(parts)} - {""}


def named(word: str, names: set[str]) -> bool:
    """Return whether a word, or a word of a pair, is one of these names."""
    return not names.isdisjoint(word.split(" "))


def _entries(found: Attributions, predicted: pl.Series) -> pl.DataFrame:
    """Return a row per word of each document: predicted, word, attribution."""
    return pl.DataFrame(
        {
            "predicted": predicted.gather(found.reading.owners),
            "word": found.reading.names.gather(found.reading.words),
            "attribution": found.values.astype(np.float64),
        }
    )


def _rank(entries: pl.DataFrame, predicted: pl.Series, top: int) -> pl.DataFrame:
    """Return the rows of TopWords, less own_name: the `top` words of each class with the largest mean attribution."""
    of = predicted.value_counts(name="of").rename({predicted.name: "predicted"})
    everywhere = entries.group_by("word").agg(pl.len().alias("everywhere"))
    rows = entries.group_by("predicted", "word").agg(pl.len().alias("documents"), pl.col("attribution").sum())
    return (
        rows.join(of, on="predicted")
        .join(everywhere, on="word")
        .with_columns(pl.col("attribution") / pl.col("of"), elsewhere=pl.col("everywhere") - pl.col("documents"))
        .filter(pl.col("attribution") > 0)
        .sort("predicted", "attribution", "word", descending=[False, True, False])
        .group_by("predicted", maintain_order=True)
        .head(top)
        .select("predicted", "word", "attribution", "of", "documents", "elsewhere")
    )
