"""From text to weighted words: one rule for what a word is, and TF-IDF weights, all of it compiled.

Unusual: words are cut from the text as it stands and lower-cased afterwards, so `spans` can say where on a page each
word of the model lies. A corpus is cut once (`count`); the words of any subset of it are then picked by number.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
import pyarrow as pa

from nbpipe.audit import as_json
from nbpipe.errors import WorkError
from nbpipe.run import write

RULE = r"[\p{L}\p{M}\p{N}_]{2,}"
LEAST = 1
MOST = 200_000


@dataclass(frozen=True)
class Counts:
    """How often each document holds each word.

    words: the distinct words, sorted; columns: int64 [E], positions in `words`, ascending within a document;
    times: int64 [E]; offsets: int64 [N + 1], where each document's entries start.
    """

    words: pl.Series
    columns: np.ndarray
    times: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, documents: np.ndarray) -> Self:
        """Return the counts of these documents (int [M]), in this order."""
        entries, offsets = _entries(self.offsets, documents)
        return type(self)(self.words, self.columns[entries], self.times[entries], offsets)


@dataclass(frozen=True)
class Bags:
    """Documents as bags of weighted words.

    words: int64 [E], rows of the vocabulary, unique within a document; weights: float32 [E], each document's of length
    1; offsets: int64 [N + 1]. A document without known words is an empty bag.
    """

    words: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, documents: np.ndarray) -> Self:
        """Return the bags of these documents (int [M]), in this order."""
        entries, offsets = _entries(self.offsets, documents)
        return type(self)(self.words[entries], self.weights[entries], offsets)


def _entries(offsets: np.ndarray, documents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of these documents' entries, and where each document starts among them."""
    lengths = np.diff(offsets)[documents]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return np.arange(starts[-1]) + np.repeat(offsets[documents] - starts[:-1], lengths), starts


def count(texts: pl.Series) -> Counts:
    """Cut texts into words and count them; a null text has none."""
    found = texts.cast(pl.String).fill_null("").str.extract_all(RULE)
    lengths = found.list.len().to_numpy()
    coded = pa.chunked_array([found.explode().drop_nulls().to_arrow()]).combine_chunks().dictionary_encode()
    lowered = pl.Series(coded.dictionary, dtype=pl.String).str.to_lowercase()
    words = lowered.unique().sort()
    column = _positions(lowered, words)[coded.indices.to_numpy()]
    keys = pl.Series(np.repeat(np.arange(len(texts)), lengths) * max(len(words), 1) + column)
    entries = keys.sort().rle().struct
    document, column = np.divmod(entries.field("value").to_numpy(), max(len(words), 1))
    offsets = np.searchsorted(document, np.arange(len(texts) + 1))
    return Counts(words, column, entries.field("len").to_numpy().astype(np.int64), offsets)


def _positions(wanted: pl.Series, words: pl.Series) -> np.ndarray:
    """Return where each wanted word stands in `words`, -1 where it does not."""
    table = pl.DataFrame({"word": words, "row": pl.arange(len(words), dtype=pl.Int64, eager=True)})
    wanted = pl.DataFrame({"word": wanted})
    joined = wanted.join(table, on="word", how="left", maintain_order="left")
    return joined["row"].fill_null(-1).to_numpy()


def spans(page: str) -> list[tuple[int, int, str]]:
    """Return (start, end, word) of every word of a page, in order; offsets count Python characters."""
    found = pl.Series([page], dtype=pl.String).str.extract_all(RULE).explode().drop_nulls()
    places, end = [], 0
    for written, word in zip(found, found.str.to_lowercase(), strict=True):
        start = page.index(written, end)  # what lies between words holds no word, so the next hit is the word itself
        end = start + len(written)
        places.append((start, end, word))
    return places


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The words a model knows. Row 0 is padding, the empty word.

    documents: how many documents it was made from; counts: in how many of them each word stands, 0 for padding.
    """

    words: list[str]
    counts: list[int]
    documents: int

    @classmethod
    def fit(cls, texts: pl.Series, least: int = LEAST, most: int = MOST) -> Self:
        """Return the vocabulary of texts: words of at least `least` documents, the `most` most frequent of them."""
        return cls.of(count(texts), least, most)

    @classmethod
    def of(cls, counts: Counts, least: int = LEAST, most: int = MOST) -> Self:
        """Return the vocabulary of documents that are counted already."""
        frequency = np.bincount(counts.columns, minlength=len(counts.words))
        kept = np.flatnonzero(frequency >= min(least, max(len(counts), 1)))
        if len(kept) > most:
            kept = np.sort(kept[np.argsort(-frequency[kept], kind="stable")[:most]])
        return cls(["", *counts.words.gather(kept)], [0, *frequency[kept].tolist()], len(counts))

    def __len__(self) -> int:
        return len(self.words)

    def __repr__(self) -> str:
        return f"vocabulary of {len(self) - 1:,} words from {self.documents:,} documents"

    @cached_property
    def idf(self) -> np.ndarray:
        """Each word's rarity, float32 [V]: ln((1 + documents) / (1 + counts)) + 1, as scikit-learn has it."""
        idf = np.log((1 + self.documents) / (1 + np.asarray(self.counts))) + 1
        idf[0] = 0
        return idf.astype(np.float32)

    @cached_property
    def index(self) -> dict[str, int]:
        """The row of each word."""
        return {word: row for row, word in enumerate(self.words)}

    def bags(self, texts: pl.Series) -> Bags:
        """Return the weighted words of texts."""
        return self.weigh(count(texts))

    def weigh(self, counts: Counts) -> Bags:
        """Return the weighted words of documents that are counted already: (1 + ln times) * idf, scaled to length 1."""
        rows = _positions(counts.words, pl.Series(self.words, dtype=pl.String))[counts.columns]
        known = rows > 0
        offsets = np.concatenate([[0], np.cumsum(known)])[counts.offsets]
        rows = rows[known]
        weights = (1 + np.log(counts.times[known])) * self.idf[rows]
        documents = np.repeat(np.arange(len(counts)), np.diff(offsets))
        length = np.sqrt(np.bincount(documents, weights**2, minlength=len(counts)))
        return Bags(rows, (weights / length[documents]).astype(np.float32), offsets)

    def save(self, path: Path) -> None:
        """Write the vocabulary as JSON."""
        write(
            path,
            as_json({"rule": RULE, "documents": self.documents, "words": self.words, "counts": self.counts}),
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a vocabulary; raise WorkError where it is damaged or made by another rule of what a word is."""
        try:
            content = json.loads(path.read_bytes())
            rule, words, counts = content["rule"], content["words"], content["counts"]
            vocabulary = cls(words, counts, content["documents"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WorkError(f"{path.name}: cannot be read ({type(error).__name__}); train again") from None
        if rule != RULE or len(words) != len(counts):
            raise WorkError(f"{path.name}: made by another version of nbpipe ({rule!r} is a word there); train again")
        return vocabulary
