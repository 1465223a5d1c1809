"""Counts pairs of neighbouring words, as words of their own: "a b".

Unusual: pairs are counted by the positions of their words, a range of first words at a time, so the tens of millions
of pairs that stand in one document only never become strings and never lie in memory together.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from scipy.sparse import csc_array, csr_array

from nbpipe.train.words import Counts, Tokens, positions, starts

_AT_ONCE = 1 << 24  # places of pairs


@dataclass(frozen=True)
class _Found:
    """Where pairs stand. keys: int64 [P], pairs, ascending; lengths: int64 [P], in how many documents each stands;

    documents, times: int32 [E], pair after pair.
    """

    keys: np.ndarray
    lengths: np.ndarray
    documents: np.ndarray
    times: np.ndarray


def with_pairs(counts: Counts, known: pl.Series | None = None) -> Counts:
    """Return the counts with pairs of neighbouring words among the words; the counts must hold their sequence.

    known: the pairs to count; without it, those that stand in two documents at least. The sequence stays one of single
    words. Takes the memory of the result and of 16 million places.
    """
    width, wanted = len(counts.words), None if known is None else _keys(known, counts.words)
    useful = _useful(counts, wanted)
    pieces = [_find(counts.sequence, first, width, useful, wanted) for first in _ranges(counts.sequence, useful)]
    keys, lengths, documents, times = (
        np.concatenate([np.zeros(0, kind), *(getattr(piece, name) for piece in pieces)])
        for name, kind in (("keys", np.int64), ("lengths", np.int64), ("documents", np.int32), ("times", np.int32))
    )
    del pieces
    return _merged(counts, _written(keys, counts.words), csc_parts=(times, documents, starts(lengths)))


def _keys(pairs: pl.Series, words: pl.Series) -> np.ndarray:
    """Return the keys of those pairs whose words are both there: int64, ascending."""
    halves = pairs.str.split_exact(" ", 1).struct
    first, second = (positions(half, words).astype(np.int64) for half in (halves[0], halves[1]))
    return np.sort((first * len(words) + second)[(first >= 0) & (second >= 0)])


def _useful(counts: Counts, wanted: np.ndarray | None) -> np.ndarray:
    """Return which words can be in a pair that is kept: bool [V]."""
    if wanted is None:
        return np.bincount(counts.columns, minlength=len(counts.words)) > 1
    useful = np.zeros(len(counts.words), bool)
    useful[np.concatenate(np.divmod(wanted, max(len(counts.words), 1)))] = True
    return useful


def _ranges(sequence: Tokens, useful: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield ranges of first words, each with not many more than _AT_ONCE places."""
    places = np.cumsum(np.bincount(sequence.words, minlength=len(useful)) * useful)
    cuts = np.flatnonzero(np.diff(places // _AT_ONCE, prepend=0))
    yield from zip([0, *cuts], [*cuts, len(useful)], strict=True)


def _find(
    sequence: Tokens, firsts: tuple[int, int], width: int, useful: np.ndarray, wanted: np.ndarray | None
) -> _Found:
    """Return the pairs to keep whose first word lies in the range."""
    taken = useful.copy()
    taken[: firsts[0]] = taken[firsts[1] :] = False
    starting = taken[sequence.words[:-1]] & useful[sequence.words[1:]]
    ends = sequence.offsets[1:-1]
    starting[ends[(ends > 0) & (ends < len(sequence.words))] - 1] = False  # the next word is another document's
    place = np.flatnonzero(starting)
    keys = sequence.words[place].astype(np.int64) * width + sequence.words[place + 1]
    if wanted is not None:
        near = np.searchsorted(wanted, keys)
        known = wanted[np.minimum(near, len(wanted) - 1)] == keys if len(wanted) else np.zeros(len(keys), bool)
        place, keys = place[known], keys[known]
    order = np.argsort(keys, kind="stable")
    documents = (np.searchsorted(sequence.offsets, place[order], side="right") - 1).astype(np.int32)
    return _runs(keys[order], documents, 1 if wanted is not None else 2)


def _runs(keys: np.ndarray, documents: np.ndarray, least: int) -> _Found:
    """Return the pairs of at least `least` documents, from the key and document of each place, sorted."""
    first = np.flatnonzero((np.diff(keys, prepend=-1) != 0) | (np.diff(documents, prepend=-1) != 0))
    times, keys, documents = np.diff(first, append=len(keys)), keys[first], documents[first]
    begin = np.flatnonzero(np.diff(keys, prepend=-1))
    lengths = np.diff(begin, append=len(keys))
    kept = np.repeat(lengths >= least, lengths)
    return _Found(
        keys[begin][lengths >= least], lengths[lengths >= least], documents[kept], times[kept].astype(np.int32)
    )


def _written(keys: np.ndarray, words: pl.Series) -> pl.Series:
    """Return the pairs of these keys as text."""
    first, second = (words.gather(part) for part in np.divmod(keys, max(len(words), 1)))
    return first + pl.repeat(" ", len(keys), eager=True) + second


def _merged(counts: Counts, pairs: pl.Series, csc_parts: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Counts:
    """Return the counts with these pairs, whose times, documents and starts are given pair after pair."""
    words = pl.concat([counts.words, pairs]).sort()
    rows, shape = positions(counts.words, words), (len(counts), len(words))
    single = csr_array((counts.times, rows[counts.columns], counts.offsets), shape=shape)
    double = csc_array(csc_parts, shape=(len(counts), len(pairs))).tocsr()
    double = csr_array((double.data, positions(pairs, words)[double.indices], double.indptr), shape=shape)
    both = single + double
    sequence = replace(counts.sequence, words=rows[counts.sequence.words])
    return Counts(words, both.indices.astype(np.int32), both.data, both.indptr.astype(np.int64), sequence)
