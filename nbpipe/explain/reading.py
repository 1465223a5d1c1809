"""Documents as a network reads them, and the words that reasons are given for: where they stand, what they are made of.

Unusual: one form for all families. A word is what a person sees, each different one of a document once; a bag weighs
it, a network over windows reads it in several places, and to a pretrained encoder it is a few tokens. Whoever takes
words away, or adds up what they did, needs to know no more than this.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import Any, NamedTuple, Self

import numpy as np
import polars as pl

from nbpipe.train.calibrate import probabilities
from nbpipe.train.families import Encoder, Inputs
from nbpipe.train.model import Classifier
from nbpipe.train.text import Bags, Vocabulary, spans_of
from nbpipe.train.words import Tokens, owners, starts

_Place = tuple[int, int, int, str]  # page, start, end, word


class Places(NamedTuple):
    """Where words stand: int64 [K] each. page; start and end in characters of its text; entry: which of the words."""

    page: np.ndarray
    start: np.ndarray
    end: np.ndarray
    entry: np.ndarray


@dataclass(frozen=True, eq=False)
class Reading:
    """Documents as a network reads them, with their words.

    inputs: what the network reads. names: the different words of all documents; words: int64 [E], the different words
    of each document, as positions in names; offsets: int64 [N + 1], where each document starts among them.
    places: where they stand, in reading order; pieces: int64 [T], the place of each token, None for a bag, whose inputs
    are its words. blank: the token that stands for a word that is taken away.
    """

    inputs: Inputs
    names: pl.Series
    words: np.ndarray
    offsets: np.ndarray
    places: Places
    pieces: np.ndarray | None = None
    blank: int = 0

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def sizes(self) -> np.ndarray:
        """The number of different words of each document: int64 [N]."""
        return np.diff(self.offsets)

    @property
    def owners(self) -> np.ndarray:
        """The document of each word: int64 [E]."""
        return owners(self.offsets)

    @property
    def entries(self) -> np.ndarray:
        """The word that each token belongs to: int64 [T]."""
        return self.places.entry[self.pieces]

    def without(self, gone: np.ndarray) -> Inputs:
        """Return the documents without these words (bool [E]), in all their places.

        A bag is weighed as if they had never stood there; in a window a blank stands in their place, as it does when
        words are dropped in training.
        """
        if self.pieces is None:
            return _weighed(self.inputs, ~gone)
        return replace(self.inputs, words=np.where(gone[self.entries], np.int32(self.blank), self.inputs.words))

    def shared(self, values: np.ndarray) -> np.ndarray:
        """Return numbers of words [E] as numbers of their places [K], to each the same part."""
        entry = self.places.entry
        return values[entry] / np.bincount(entry, minlength=len(values))[entry]

    def take(self, documents: np.ndarray) -> Self:
        """Return some documents (int64 [M], ascending)."""
        wanted = np.isin(np.arange(len(self)), documents)
        kept = wanted[self.owners]
        here = kept[self.places.entry]
        entry = (np.cumsum(kept) - 1)[self.places.entry[here]]
        pieces = None if self.pieces is None else (np.cumsum(here) - 1)[self.pieces[here[self.pieces]]]
        return replace(
            self,
            inputs=self.inputs.take(documents),
            words=self.words[kept],
            offsets=starts(self.sizes[documents]),
            places=Places(*(column[here] for column in self.places[:3]), entry),
            pieces=pieces,
        )


def _weighed(bags: Bags, kept: np.ndarray) -> Bags:
    """Return bags with only these words (bool [E])."""
    offsets = np.concatenate([[0], np.cumsum(kept)])[bags.offsets]
    owner = owners(bags.offsets)[kept]
    length = np.sqrt(np.bincount(owner, bags.weights[kept].astype(np.float64) ** 2, minlength=len(bags)))
    return Bags(bags.words[kept], (bags.weights[kept] / length[owner]).astype(np.float32), offsets)


def read(classifier: Classifier, documents: pl.DataFrame) -> Reading:
    """Return documents as a classifier reads them; documents: pages (list of str) and text, its pages joined."""
    inputs, pages = classifier.read(documents["text"]), documents["pages"].to_list()
    if isinstance(classifier.vocabulary, Encoder):
        return _of_tokenizer(classifier.vocabulary.tokenizer, inputs, pages)
    cut = iter(spans_of([page for document in pages for page in document], classifier.vocabulary.bigrams))
    places = [_known(islice(cut, len(document)), classifier.vocabulary) for document in pages]
    if isinstance(inputs, Bags):
        return _of_bags(inputs, places, classifier.vocabulary)
    return _of_tokens(inputs, places)


def read_answers(classifier: Classifier, inputs: Inputs) -> np.ndarray:
    """Return the probability of each label, float32 [N, C], of documents that are read."""
    logits = classifier.family.score(classifier.network, inputs, classifier.device)
    return probabilities(logits.numpy(), classifier.multi)


def _known(pages: Iterable[list[tuple[int, int, str]]], vocabulary: Vocabulary) -> list[_Place]:
    """Return every place of every known word, and pair of words, in reading order; pages: the spans of each.

    A pair that runs over the end of a page stands where its first word does.
    """
    index, places, last = vocabulary.index, list[_Place](), None
    for number, found in enumerate(pages):
        if not vocabulary.bigrams:
            places += [(number, start, end, word) for start, end, word in found if word in index]
            continue
        single = [place for place in found if " " not in place[2]]
        if last and single and (pair := f"{last[3]} {single[0][2]}") in index:
            places.append((*last[:3], pair))
        places += [(number, start, end, word) for start, end, word in found if word in index]
        last = (number, *single[-1]) if single else last
    return places


def _of_bags(bags: Bags, places: Sequence[list[_Place]], vocabulary: Vocabulary) -> Reading:
    rows = np.array([vocabulary.index[place[3]] for document in places for place in document], np.int64)
    documents = np.repeat(np.arange(len(places)), [len(document) for document in places])
    most = len(vocabulary)
    keys = owners(bags.offsets) * most + bags.words
    order = np.argsort(keys)
    entry = order[np.searchsorted(keys, documents * most + rows, sorter=order)] if len(rows) else rows
    names = pl.Series(vocabulary.words, dtype=pl.String)
    return Reading(bags, names, bags.words.astype(np.int64), bags.offsets, _table(places, entry))


def _of_tokens(
    tokens: Tokens, places: Sequence[list[_Place]], pieces: np.ndarray | None = None, blank: int = 0
) -> Reading:
    """Return the reading of documents whose words come one after the other; pieces: as in Reading, else one a word."""
    spelt = pl.Series([place[3] for document in places for place in document], dtype=pl.String)
    names = spelt.unique().sort()
    sizes = [len(document) for document in places]
    rows = names.search_sorted(spelt).to_numpy().astype(np.int64)
    keys, entry = np.unique(np.repeat(np.arange(len(places)), sizes) * (len(names) + 1) + rows, return_inverse=True)
    documents, words = np.divmod(keys, len(names) + 1)
    offsets = starts(np.bincount(documents, minlength=len(places)))
    pieces = np.arange(len(spelt)) if pieces is None else pieces
    return Reading(tokens, names, words, offsets, _table(places, entry), pieces, blank)


def _table(places: Sequence[list[_Place]], entry: np.ndarray) -> Places:
    columns = np.array([place[:3] for document in places for place in document], np.int64).reshape(-1, 3).T
    return Places(*columns, entry.astype(np.int64))


def _of_tokenizer(tokenizer: Any, tokens: Tokens, pages: Sequence[Sequence[str]]) -> Reading:
    """Return the reading of an encoder's tokens: those that its tokenizer cut from one word are that word."""
    texts = ["\n".join(document) for document in pages]
    encodings = tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False)
    places, pieces = list[list[_Place]](), list[int]()
    for document, text, encoding in zip(pages, texts, encodings, strict=True):
        found = list(_joined(text, encoding))
        before = sum(map(len, places))
        pieces += [before + number for number, (_, _, many) in enumerate(found) for _ in range(many)]
        places.append(list(_paged(document, text, found)))
    marks = (tokenizer.mask_token_id, tokenizer.unk_token_id, tokenizer.pad_token_id, 0)
    blank = next(number for number in marks if number is not None)
    return _of_tokens(tokens, places, np.array(pieces, np.int64), blank)


def _joined(text: str, encoding: Any) -> Iterator[tuple[int, int, int]]:
    """Yield start, end and number of tokens of each word of an encoded text."""
    for _, group in groupby(enumerate(encoding.word_ids), key=lambda item: (item[1], item[0] * (item[1] is None))):
        own = [number for number, _ in group]
        start, end = encoding.offsets[own[0]][0], encoding.offsets[own[-1]][1]
        start += len(text[start:end]) - len(text[start:end].lstrip())
        yield start, max(start, end), len(own)


def _paged(pages: Sequence[str], text: str, found: Iterable[tuple[int, int, int]]) -> Iterator[_Place]:
    """Yield words of a document's text as they stand on its pages."""
    begins = starts(np.array([len(page) + 1 for page in pages], np.int64))
    for start, end, _ in found:
        page = int(np.searchsorted(begins[1:-1], start, side="right"))
        first = int(begins[page])
        yield page, start - first, min(end - first, len(pages[page])), text[start:end].rstrip().lower()
