"""Cuts texts into words, counts them, and brings the counts of many pieces to one list of words.

Unusual: only characters outside ASCII meet a regular expression; all others are told by a table of 256 bytes, so a text
is cut at the speed of the memory. Words are lower-cased once each, not once per occurrence.
"""

import string
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

RULE = r"[\p{L}\p{M}\p{N}_]{2,}"
_BETWEEN = r"[^\x00-\x7F\p{L}\p{M}\p{N}]+"  # what RULE leaves out beyond ASCII
_WITHIN = (string.ascii_letters + string.digits + "_").encode()
_TABLE = bytes(byte if byte > 127 else (bytes([byte]).lower()[0] if byte in _WITHIN else 32) for byte in range(256))


@dataclass(frozen=True, eq=False)
class Tokens:
    """Documents as words in reading order.

    words: int32 [T], positions in a list of words; offsets: int64 [N + 1], where each document starts.
    """

    words: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, documents: np.ndarray) -> Self:
        """Return the tokens of these documents (int [M]), in this order."""
        entries, offsets = entries_of(self.offsets, documents)
        return type(self)(self.words[entries], offsets)

    def mapped(self, rows: np.ndarray) -> Self:
        """Return the tokens by their new positions, rows[old]; those that are to be dropped have -1 there."""
        words = rows[self.words]
        kept = words >= 0
        offsets = np.concatenate([[0], np.cumsum(kept)])[self.offsets]
        return type(self)(words[kept], offsets)


@dataclass(frozen=True, eq=False)
class Counts:
    """How often each document holds each word.

    words: the distinct words, sorted; columns: int32 [E], positions in `words`, ascending within a document;
    times: int32 [E]; offsets: int64 [N + 1], where each document's entries start; sequence: the words in reading order,
    by position in `words`, where it was asked for.
    """

    words: pl.Series
    columns: np.ndarray
    times: np.ndarray
    offsets: np.ndarray
    sequence: Tokens | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, documents: np.ndarray) -> Self:
        """Return the counts of these documents (int [M]), in this order."""
        entries, offsets = entries_of(self.offsets, documents)
        sequence = self.sequence.take(documents) if self.sequence is not None else None
        return type(self)(self.words, self.columns[entries], self.times[entries], offsets, sequence)


def entries_of(offsets: np.ndarray, documents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of these documents' entries, and where each document starts among them."""
    lengths = np.diff(offsets)[documents]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return np.arange(starts[-1]) + np.repeat(offsets[documents] - starts[:-1], lengths), starts


def owners(offsets: np.ndarray) -> np.ndarray:
    """Return the document of each entry: int64 [E]."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def positions(wanted: pl.Series, words: pl.Series) -> np.ndarray:
    """Return where each wanted word stands in `words`, int32; -1 where it does not."""
    table = pl.DataFrame({"word": words, "row": pl.arange(len(words), dtype=pl.Int32, eager=True)})
    joined = pl.DataFrame({"word": wanted}).join(table, on="word", how="left", maintain_order="left")
    return joined["row"].fill_null(-1).to_numpy()


def cut(texts: pl.Series, order: bool) -> Counts:
    """Return the counts of one piece of text, with the sequence where order is true; a null text has no words."""
    found = pc.ascii_split_whitespace(_spaced(texts))
    coded = found.values.dictionary_encode()
    written = pl.Series(coded.dictionary, dtype=pl.String)
    lowered = written.set(written.str.len_chars() < 2, None).str.to_lowercase()
    words = lowered.drop_nulls().unique().sort()
    tokens = Tokens(coded.indices.to_numpy(), found.offsets.to_numpy().astype(np.int64)).mapped(
        positions(lowered, words)
    )
    columns, times, offsets = _count(tokens, max(len(words), 1))
    return Counts(words, columns, times, offsets, tokens if order else None)


def _spaced(texts: pl.Series) -> pa.Array:
    """Return the texts with spaces for all that belongs to no word, and ASCII letters in lower case."""
    texts = texts.cast(pl.String).fill_null("").str.replace_all(_BETWEEN, " ").rechunk().to_arrow()
    _, offsets, data = texts.buffers()
    data = pa.py_buffer(bytes(data or b"").translate(_TABLE))
    return pa.LargeStringArray.from_buffers(len(texts), offsets, data, None, 0, texts.offset)


def _count(tokens: Tokens, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return columns, times and offsets of tokens whose words are smaller than width."""
    kind = np.int32 if len(tokens) * width < 1 << 31 else np.int64
    keys = np.sort(owners(tokens.offsets).astype(kind) * kind(width) + tokens.words)
    first = np.flatnonzero(np.diff(keys, prepend=kind(-1)))
    documents, columns = np.divmod(keys[first], kind(width))
    offsets = np.searchsorted(documents, np.arange(len(tokens) + 1))
    return columns.astype(np.int32), np.diff(first, append=len(keys)).astype(np.int32), offsets


def agree(found: list[Counts]) -> None:
    """Bring all these counts to one common list of words, one after the other, in place."""
    lists = {id(counts.words): counts.words for counts in found}
    words = pl.concat(list(lists.values())).unique().sort()
    rows = {key: positions(old, words) for key, old in lists.items()}
    for number, counts in enumerate(found):
        found[number] = _moved(counts, words, rows[id(counts.words)])


def _moved(counts: Counts, words: pl.Series, rows: np.ndarray) -> Counts:
    """Return counts by a longer sorted list of words, in which the order of their columns stays as it is."""
    if len(rows) == len(words):
        return replace(counts, words=words)
    sequence = counts.sequence
    moved = replace(sequence, words=rows[sequence.words]) if sequence is not None else None
    return replace(counts, words=words, columns=rows[counts.columns], sequence=moved)


def join(found: list[Counts]) -> Counts:
    """Return the counts of all documents of these pieces, one after the other; empties the list."""
    agree(found)
    words, ordered = found[0].words, found[0].sequence is not None
    lengths = np.concatenate([np.diff(counts.offsets) for counts in found])
    tokens = np.concatenate([np.diff(counts.sequence.offsets) for counts in found]) if ordered else None
    pieces = [(counts.columns, counts.times, counts.sequence.words if ordered else None) for counts in found]
    found.clear()
    columns, times, order = (list(arrays) for arrays in zip(*pieces, strict=True))
    del pieces
    columns, times = _drained(columns), _drained(times)
    sequence = Tokens(_drained(order), starts(tokens)) if ordered else None
    return Counts(words, columns, times, starts(lengths), sequence)


def starts(lengths: np.ndarray) -> np.ndarray:
    """Return where each of things of these lengths starts, and where the last one ends: int64."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _drained(arrays: list[np.ndarray]) -> np.ndarray:
    """Join arrays and let go of each as soon as it is copied, so that they never lie in memory twice."""
    whole, start = np.empty(sum(map(len, arrays)), np.int32), 0
    for number, array in enumerate(arrays):
        whole[start : start + len(array)] = array
        start, arrays[number] = start + len(array), None
    return whole
