"""From text to weighted words: one rule for what a word is, and TF-IDF weights, all of it compiled.

Unusual: a corpus is a stream of pieces that several threads cut and count at once; the result is the same whatever
the pieces. It is cut once (`count_parts`); the words of any subset of it are then picked by number. `spans` cuts a page
as it stands and lower-cases afterwards, so it can say where on the page each word of the model lies.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
import polars as pl

from nbpipe.audit import as_json
from nbpipe.errors import WorkError
from nbpipe.run import write
from nbpipe.train.pairs import with_pairs
from nbpipe.train.words import RULE, Counts, Tokens, agree, cut, entries_of, join, owners, positions, starts

MOST = 200_000
_PIECE = 4 << 20  # bytes of text
_BLOCK = 1 << 20  # entries
_LOOSE = 1 << 20  # words of pieces that may wait for a common list
_MOST_WORKERS = 8

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Bags:
    """Documents as bags of weighted words.

    words: int32 [E], rows of the vocabulary, unique within a document; weights: float32 [E], each document's of length
    1; offsets: int64 [N + 1]. A document without known words is an empty bag.
    """

    words: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, documents: np.ndarray) -> Self:
        """Return the bags of these documents (int [M]), in this order."""
        entries, offsets = entries_of(self.offsets, documents)
        return type(self)(self.words[entries], self.weights[entries], offsets)


def count(texts: pl.Series) -> Counts:
    """Cut texts into words and count them; a null text has none."""
    return count_parts([texts])


def count_parts(parts: Iterable[pl.Series], order: bool = False, bigrams: bool = False) -> Counts:
    """Count the words of texts that come in parts; the result is the same however they are cut into parts.

    order: return the words in reading order, too, as `sequence`. bigrams: count pairs of neighbouring words as words of
    their own, those that stand in two documents at least. Beside the result, a few pieces of 4 MB lie in memory.
    """
    found, loose = [cut(pl.Series([], dtype=pl.String), order or bigrams)], 0
    workers = min(pl.thread_pool_size(), _MOST_WORKERS)
    for counts in ahead(partial(cut, order=order or bigrams), _pieces(parts), workers):
        found.append(counts)
        loose += len(counts.words)
        if loose > _LOOSE + 2 * len(found[0].words):
            agree(found)
            loose = 0
    counts = join(found)
    if bigrams:
        counts = with_pairs(counts)
    return counts if order else replace(counts, sequence=None)


def _pieces(parts: Iterable[pl.Series]) -> Iterator[pl.Series]:
    """Yield the parts, those larger than a piece in pieces; a document is never cut."""
    for part in parts:
        ends = part.cast(pl.String).str.len_bytes().fill_null(0).cum_sum().to_numpy()
        cuts = np.flatnonzero(np.diff(ends // _PIECE, prepend=0)) + 1
        for start, stop in pairwise([0, *cuts.tolist(), len(part)]):
            yield part[start:stop]


def ahead(work: Callable[[Item], Made], items: Iterator[Item], workers: int) -> Iterator[Made]:
    """Yield what the work makes of each item, in their order, as many items ahead in threads as there are workers."""
    with ThreadPoolExecutor(workers) as pool:
        waiting = deque(pool.submit(work, item) for item in islice(items, workers + 1))
        while waiting:
            done = waiting.popleft().result()
            waiting.extend(pool.submit(work, item) for item in islice(items, 1))
            yield done


def spans(page: str, bigrams: bool = False) -> list[tuple[int, int, str]]:
    """Return (start, end, word) of every word of a page, in order; offsets count Python characters.

    bigrams: also of every pair of neighbouring words, from the start of the first to the end of the second.
    """
    return spans_of([page], bigrams)[0]


def spans_of(pages: Sequence[str], bigrams: bool = False) -> list[list[tuple[int, int, str]]]:
    """Return the spans of each page; many pages at once are cut much faster than one by one."""
    found = pl.Series(pages, dtype=pl.String).str.extract_all(RULE)
    written = found.explode(empty_as_null=False)
    words = zip(written.to_list(), written.str.to_lowercase().to_list(), strict=True)
    cut = [_placed(page, islice(words, many)) for page, many in zip(pages, found.list.len(), strict=True)]
    return [_with_pairs(places) for places in cut] if bigrams else cut


def _placed(page: str, words: Iterator[tuple[str, str]]) -> list[tuple[int, int, str]]:
    places, end = [], 0
    for written, word in words:
        start = page.index(written, end)  # what lies between words holds no word, so the next hit is the word itself
        end = start + len(written)
        places.append((start, end, word))
    return places


def _with_pairs(places: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    return sorted(places + [(one[0], two[1], f"{one[2]} {two[2]}") for one, two in pairwise(places)])


def _blocks(offsets: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield ranges of documents, each with not many more than _BLOCK entries."""
    cuts = np.flatnonzero(np.diff(offsets // _BLOCK)).tolist()
    yield from pairwise(dict.fromkeys([0, *cuts, len(offsets) - 1]))


def _frequency(counts: Counts, taken: np.ndarray) -> np.ndarray:
    """Return in how many of the taken documents (bool [N]) each word stands: int64 [V]."""
    frequency = np.zeros(len(counts.words), np.int64)
    for start, stop in _blocks(counts.offsets):
        columns = counts.columns[counts.offsets[start] : counts.offsets[stop]]
        columns = columns[np.repeat(taken[start:stop], np.diff(counts.offsets[start : stop + 1]))]
        frequency += np.bincount(columns, minlength=len(frequency))
    return frequency


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The words a model knows. Row 0 is padding, the empty word.

    documents: how many documents it was made from; counts: in how many of them each word stands, 0 for padding.
    """

    words: list[str]
    counts: list[int]
    documents: int

    @classmethod
    def fit(cls, texts: pl.Series) -> Self:
        """Return the vocabulary of texts."""
        return cls.of(count(texts))

    @classmethod
    def of(cls, counts: Counts, documents: np.ndarray | None = None, least: int = 1, most: int = MOST) -> Self:
        """Return the `most` most frequent words of these documents (int [M], distinct; all without it).

        A word must stand in `least` of them, a pair in two.
        """
        taken = np.ones(len(counts), bool) if documents is None else np.zeros(len(counts), bool)
        taken[documents] = True
        frequency = _frequency(counts, taken)
        pair = counts.words.str.contains(" ", literal=True).to_numpy()
        kept = np.flatnonzero(frequency >= np.where(pair, max(least, 2), least))
        if len(kept) > most:
            kept = np.sort(kept[np.argsort(-frequency[kept], kind="stable")[:most]])
        return cls(["", *counts.words.gather(kept)], [0, *frequency[kept].tolist()], int(taken.sum()))

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

    @cached_property
    def pairs(self) -> pl.Series:
        """The words that are pairs of words."""
        return self._series.filter(self._series.str.contains(" ", literal=True))

    @property
    def bigrams(self) -> bool:
        """Whether pairs of words are words here."""
        return len(self.pairs) > 0

    def count(self, parts: Iterable[pl.Series], order: bool = False) -> Counts:
        """Count the words of texts that come in parts, and those pairs that are known here."""
        counts = count_parts(parts, order or self.bigrams)
        if self.bigrams:
            counts = with_pairs(counts, self.pairs)
        return counts if order else replace(counts, sequence=None)

    def bags(self, texts: pl.Series) -> Bags:
        """Return the weighted words of texts."""
        return self.weigh(self.count([texts]))

    def tokens(self, counts: Counts) -> Tokens:
        """Return the known words of documents in reading order, as rows; the counts must hold the sequence."""
        rows = self._rows(counts.words)
        return counts.sequence.mapped(np.where(rows > 0, rows, -1))

    def weigh(self, counts: Counts) -> Bags:
        """Return the weighted words of documents that are counted already: (1 + ln times) * idf, scaled to length 1."""
        table, whole = self._rows(counts.words), len(counts.columns)
        words, weights, lengths = np.empty(whole, np.int32), np.empty(whole, np.float32), np.zeros(len(counts), int)
        end = 0
        for start, stop in _blocks(counts.offsets):
            entries = slice(counts.offsets[start], counts.offsets[stop])
            rows = table[counts.columns[entries]]
            known = rows > 0
            documents = owners(counts.offsets[start : stop + 1])[known]
            weight = (1 + np.log(counts.times[entries][known].astype(np.float32))) * self.idf[rows[known]]
            length = np.sqrt(np.bincount(documents, weight**2, minlength=stop - start))
            place, end = end, end + len(documents)
            words[place:end], weights[place:end] = rows[known], weight / length[documents]
            lengths[start:stop] = np.bincount(documents, minlength=stop - start)
        return Bags(words[:end], weights[:end], starts(lengths))

    def _rows(self, words: pl.Series) -> np.ndarray:
        """Return the row of each of these words, -1 for unknown ones."""
        return positions(words, self._series)

    @cached_property
    def _series(self) -> pl.Series:
        return pl.Series(self.words, dtype=pl.String)

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
