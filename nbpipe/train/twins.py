"""Finds documents that are copies or near copies of each other, over the whole corpus, from a sketch of each.

Unusual: texts come in pieces and only their sketches are kept, 521 bytes a document. Near is transitive: a document
near two others joins them, because each link that crosses the split is a leak; every single link is verified.
"""

from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b

import numpy as np
import polars as pl
import pyarrow as pa
from rensa import RMinHash
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from nbpipe.train.text import RULE

WORDS = 3
SIMILAR = 0.7
_NUMBERS, _BANDS, _ROWS = 128, 25, 5
_WINDOW = 16
_SEED = 1
_MIXED = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying loses nothing
_SLICE = 1_024  # documents of one thread; their sketches are Python numbers for a moment
_SPACE = r"\s{2,}|[^\S ]"  # leaves single spaces alone: seven times as fast as \s+
_BLANK = np.uint64(0)
_PAIRS = 50_000


class Sketches:
    """What is kept of the documents: the hash of each text, and 128 minima over its shingles (Broder 1997).

    A shingle is 3 words in a row, of a shorter document the whole of it.
    """

    def __init__(self) -> None:
        """Start without documents."""
        self._texts = [np.empty(0, np.uint64)]
        self._sketches = [np.empty((0, _NUMBERS), np.uint32)]
        self._wordy = [np.empty(0, bool)]

    def __len__(self) -> int:
        return sum(map(len, self._texts))

    def add(self, texts: pl.Series) -> None:
        """Sketch these documents, and number them on from the ones before; a null text is like no other."""
        slices = texts.cast(pl.String).to_frame().iter_slices(_SLICE)
        with ThreadPoolExecutor(pl.thread_pool_size()) as pool:
            for found in pool.map(_sketched, (frame.to_series() for frame in slices)):
                for held, new in zip((self._texts, self._wordy, self._sketches), found, strict=True):
                    held.append(new)

    def copies(self, order: np.ndarray | None = None) -> np.ndarray:
        """Return for each document the number of the first with its text, white space and case aside; int64 [N].

        order: the documents to look at, in this order, int [N], all by default. Texts without a visible character are
        no copies of each other.
        """
        texts = self._taken(self._texts, order)
        _, first, text = np.unique(texts, return_index=True, return_inverse=True)
        return np.where(texts == _BLANK, np.arange(len(texts)), first[text])

    def groups(self, order: np.ndarray | None = None) -> np.ndarray:
        """Return for each document the number of the first of its near copies, itself among them; int64 [N].

        Near are texts that are copies, or whose sets of shingles have an estimated Jaccard similarity (common to both,
        divided by all) of 0.7 or more. order: as of `copies`.
        """
        first = self.copies(order)
        apart = np.flatnonzero((first == np.arange(len(first))) & self._taken(self._wordy, order))
        one, other = _links(self._taken(self._sketches, order)[apart])
        rows, columns = np.r_[np.arange(len(first)), apart[one]], np.r_[first, apart[other]]
        near = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(len(first), len(first)))
        group = connected_components(near, directed=False)[1]
        return np.unique(group, return_index=True)[1].astype(np.int64)[group]

    def _taken(self, pieces: list[np.ndarray], order: np.ndarray | None) -> np.ndarray:
        pieces[:] = [np.concatenate(pieces)]
        return pieces[0] if order is None else pieces[0][order]


def _sketched(texts: pl.Series) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return of each text its hash (uint64 [N]), whether it holds a word (bool [N]), its sketch (uint32 [N, 128])."""
    hashes, offsets = shingles(texts)
    found = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, _NUMBERS, _SEED).to_rows()
    plain = texts.str.replace_all(_SPACE, " ").str.strip_chars().str.to_lowercase().fill_null("")
    text = np.where((plain == "").to_numpy(), _BLANK, plain.hash(_SEED).to_numpy())
    return text, np.diff(offsets) > 0, np.array(found, np.uint32).reshape(len(texts), _NUMBERS)


def shingles(texts: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return a hash of each shingle, uint64 [S], and where each text's start, int64 [N + 1].

    A word is what the model takes for one, so texts that are the same to the model are so here. The hashes are the same
    on every machine and in every process.
    """
    words, lengths = _hashed(texts)
    place = np.arange(len(words)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    rest, padded = np.repeat(lengths, lengths) - place, np.r_[words, np.zeros(WORDS, np.uint64)]
    hashes = np.zeros(len(words), np.uint64)
    for step in range(WORDS):
        hashes = hashes * _MIXED + np.where(rest > step, padded[step : step + len(words)], 0)
    numbers = np.where(lengths < WORDS, np.minimum(lengths, 1), lengths - WORDS + 1)
    return hashes[place < np.repeat(numbers, lengths)], np.r_[0, np.cumsum(numbers)]


def _hashed(texts: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return a hash of every word in reading order, made once for each distinct one, and how many each text has."""
    found = texts.fill_null("").str.extract_all(RULE)
    coded = pa.chunked_array([found.explode().drop_nulls().to_arrow()]).combine_chunks().dictionary_encode()
    words = pl.Series(coded.dictionary, dtype=pl.String).str.to_lowercase()
    hashes = b"".join(blake2b(word.encode(), digest_size=8).digest() for word in words)
    return np.frombuffer(hashes, "<u8")[coded.indices.to_numpy()], found.list.len().to_numpy().astype(np.int64)


def _links(sketches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of rows that are similar, among those that agree in one of 25 bands of 5 minima.

    25 bands of 5 make 99% of the pairs of similarity 0.7 candidates, 6% of those of 0.3 (1 - (1 - s^5)^25; Leskovec,
    Rajaraman and Ullman, Mining of Massive Datasets, 3.4). Within a band, each row is compared with the 16 after it,
    and those that agree in the next band too stand beside it: a million copies of a form cost no square of a million.
    """
    bands = [_band(sketches, band) for band in range(_BANDS)]
    found = [np.empty((2, 0), np.int64)]
    for band, following in zip(bands, bands[1:] + bands[:1], strict=True):
        order = np.lexsort((following, band))
        ranked = band[order]
        for step in range(1, _WINDOW + 1):
            same = np.flatnonzero(ranked[step:] == ranked[:-step])
            if not len(same):
                break
            found.append(_verified(sketches, np.stack([order[same], order[same + step]])))
    return tuple(np.concatenate(found, axis=1))


def _band(sketches: np.ndarray, band: int) -> np.ndarray:
    """Return one number for the minima of a band, uint64 [N]."""
    number = np.zeros(len(sketches), np.uint64)
    for column in range(band * _ROWS, (band + 1) * _ROWS):
        number = (number ^ sketches[:, column]) * _MIXED
        number ^= number >> np.uint64(29)
    return number


def _verified(sketches: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return those of the pairs (int64 [2, P]) that are similar; the share of equal minima estimates the similarity."""
    shares = [
        (sketches[one] == sketches[other]).mean(axis=1)
        for start in range(0, pairs.shape[1], _PAIRS)
        for one, other in [pairs[:, start : start + _PAIRS]]
    ]
    return pairs[:, np.concatenate(shares) >= SIMILAR]
