"""The leak hunt: words that may tell the class without telling the subject, and what remains without them.

Unusual: suspicion is cheap, so each is put to the test. All suspicious words of a kind are taken away, wherever they
stand, and the documents are classified again. A model that leans on file names or page headers falls then; one that
does not, does not. Words are judged where they stand: a name in the middle of a sentence is no header.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from nbpipe.explain.attribute import Attributions
from nbpipe.explain.faithfulness import strongest
from nbpipe.explain.leaks import named, own_names
from nbpipe.explain.reading import Reading, read_answers
from nbpipe.shown import Sentence, Shown, Table
from nbpipe.train.model import Classifier

_SHOWN = 8
_PAGES, _DOCUMENTS, _SHARE = 3, 3, 0.05  # a line is repeated on so many pages, or in so many documents and this share
_NEARLY = 0.9  # of a class' documents
_FALL = 0.05  # of the documents: a fall that is worth a word
_HEAD, _HEADER = 12, re.compile(r"[\w-]{1,24}:")  # first lines of a document, where From: and the like may stand
_NUMBER = re.compile(r"\W*(page|p|pg|seite|página|pagina)?\W*#\W*((of|von|de|di|/)\W*#)?\W*")


class Suspect(NamedTuple):
    """Words of one kind: how many documents have some among their strongest words, which are the most frequent there,
    and how many documents are classified right without any of them."""

    kind: str
    documents: int
    words: tuple[str, ...]
    right: int


@dataclass(frozen=True, eq=False, repr=False)
class Suspects(Shown):
    """What the leak hunt found, kind by kind.

    right: documents classified right as they are, of `explained`; guess: right if all got the most frequent label.
    """

    kinds: Sequence[Suspect]
    right: int
    explained: int
    guess: int = 0

    @property
    def leaning(self) -> list[str]:
        """The kinds without which clearly fewer documents are classified right."""
        if self.right <= self.guess:
            return []
        limit = self.right - max(2, _FALL * self.explained)
        return [suspect.kind for suspect in self.kinds if suspect.right <= limit]

    @property
    def finding(self) -> Sentence:
        """One sentence: does the model lean on words that it should not?"""
        clear = f"as they are, {self.right:,} of {self.explained:,} documents are classified right"
        if self.right <= self.guess:
            return Sentence(f"No leak can be told: {clear}, no more than by always giving the most frequent label.")
        if not self.leaning:
            return Sentence(f"No leak of these kinds shows: {clear}, and about as many without any of them.")
        rest = ", ".join(f"without {suspect.kind} {suspect.right:,}" for suspect in self._falling())
        return Sentence(f"Look closer: {clear}, {rest}.")

    def _falling(self) -> list[Suspect]:
        return [suspect for suspect in self.kinds if suspect.kind in self.leaning]

    def facts(self) -> dict[str, Any]:
        """What was found, as JSON types."""
        return {suspect.kind: {"documents": suspect.documents, "right": suspect.right} for suspect in self.kinds}

    def shown(self) -> list[Table | Sentence]:
        """Each kind of suspicious words, and what remains without them."""
        rows = [
            (suspect.kind, suspect.documents, ", ".join(suspect.words) or "none", suspect.right)
            for suspect in self.kinds
        ]
        columns = ["suspicious words", "documents with some among the strongest", "the most frequent of these"]
        caption = f"Suspicious words; {self.right:,} of {self.explained:,} documents are classified right as they are"
        return [Table([*columns, "right without any"], rows, caption), self.finding]


def hunt(
    classifier: Classifier,
    found: Attributions,
    documents: Sequence[tuple[str, Sequence[str]]],
    truth: np.ndarray,
    top: int,
) -> Suspects:
    """Suspect words of explained documents, and classify these again without them.

    documents: path and pages of each; truth: bool [N, C], their labels; top: how many words are the strongest.
    """
    reading, lines = found.reading, _Lines(pages for _, pages in documents)
    names = set().union(*map(own_names, classifier.labels))
    flags = {
        "names of classes": np.isin(reading.words, _rows(reading, names)),
        "parts of the file's own name": _in_path(reading, [path for path, _ in documents]),
        "page numbers": lines.flags(reading, lambda line: bool(_NUMBER.fullmatch(line))),
        "headers, footers and other repeated lines": lines.flags(reading, lines.repeated),
        "words of nearly all documents of one class and of no other": _exclusive(reading, truth),
        "the strongest word of each document": strongest(found.values, reading.offsets, np.minimum(1, reading.sizes)),
    }
    strong = strongest(found.values, reading.offsets, np.minimum(top, reading.sizes))
    right = [_right(classifier, reading, gone, truth) for gone in (np.zeros(len(strong), bool), *flags.values())]
    kinds = [
        Suspect(kind, *_seen(reading, flag & strong), many)
        for (kind, flag), many in zip(flags.items(), right[1:], strict=True)
    ]
    return Suspects(kinds, right[0], len(reading), int(truth.sum(axis=0).max()))


def _right(classifier: Classifier, reading: Reading, gone: np.ndarray, truth: np.ndarray) -> int:
    """Return how many documents get one of their labels without these words (bool [E])."""
    answers = read_answers(classifier, reading.without(gone)).argmax(axis=1)
    return int(truth[np.arange(len(truth)), answers].sum())


def _seen(reading: Reading, flag: np.ndarray) -> tuple[int, tuple[str, ...]]:
    """Return in how many documents some of these words (bool [E]) stand, and the most frequent of them."""
    common = Counter(reading.names.gather(reading.words[flag]).to_list()).most_common(_SHOWN)
    return len(np.unique(reading.owners[flag])), tuple(word for word, _ in common)


def _rows(reading: Reading, names: set[str]) -> list[int]:
    return [row for row, word in enumerate(reading.names) if named(word, names)]


def _in_path(reading: Reading, paths: Sequence[str]) -> np.ndarray:
    """Return which words of each document spell a part of its file's name: bool [E]."""
    spelt = reading.names.gather(reading.words).to_list()
    names = [own_names(PurePosixPath(path).stem) for path in paths]
    return np.array([named(word, names[owner]) for word, owner in zip(spelt, reading.owners, strict=True)], bool)


def _exclusive(reading: Reading, truth: np.ndarray) -> np.ndarray:
    """Return which words stand in nearly all documents of one class and in no document of another: bool [E]."""
    many = len(reading.names)
    everywhere, flags = np.bincount(reading.words, minlength=many), np.zeros(many, bool)
    for own in truth.T:
        if _DOCUMENTS <= own.sum() < len(own):
            inside = np.bincount(reading.words[own[reading.owners]], minlength=many)
            flags |= (inside == everywhere) & (inside >= _NEARLY * own.sum())
    return flags[reading.words]


class _Lines:
    """The lines of all documents, and which of them are repeated on other pages or in other documents.

    Of a header, such as From:, the name counts.
    """

    def __init__(self, documents: Iterator[Sequence[str]]) -> None:
        self.pages = [[_cut(page, head=not number) for number, page in enumerate(pages)] for pages in documents]
        on_pages = [Counter(line for _, lines in pages for line in set(lines)) for pages in self.pages]
        in_documents = Counter(line for lines in on_pages for line in lines)
        limit = max(_DOCUMENTS, _SHARE * len(self.pages))
        self._repeated = {line for line, many in in_documents.items() if many >= limit}
        self._repeated |= {line for lines in on_pages for line, many in lines.items() if many >= _PAGES}

    def repeated(self, line: str) -> bool:
        """Return whether a line stands on several pages or in several documents."""
        return line in self._repeated

    def flags(self, reading: Reading, judge: Callable[[str], bool]) -> np.ndarray:
        """Return which words stand in lines of this kind only: bool [E]."""
        places, documents = reading.places, reading.owners[reading.places.entry]
        judged = [
            [(begins, np.array([judge(line) for line in lines])) for begins, lines in pages] for pages in self.pages
        ]
        inside = np.zeros(len(places.entry), bool)
        for number, (document, page, start) in enumerate(zip(documents, places.page, places.start, strict=True)):
            begins, verdicts = judged[document][page]
            inside[number] = verdicts[np.searchsorted(begins, start, side="right") - 1]
        return np.bincount(places.entry, ~inside, minlength=len(reading.words)) == 0


def _cut(page: str, head: bool = False) -> tuple[np.ndarray, list[str]]:
    """Return where the lines of a page begin, and the lines, small and with # for numbers; of headers the names."""
    lines = page.splitlines(keepends=True) or [""]
    begins = np.concatenate([[0], np.cumsum([len(line) for line in lines])[:-1]])
    found = [re.sub(r"\d+", "#", line.strip().lower()) for line in lines]
    if head:
        found[:_HEAD] = [name[0] if (name := _HEADER.match(line)) else line for line in found[:_HEAD]]
    return begins, found
