"""A document's strongest words on its own pages: pictures of the pages, and a copy of the PDF with highlights.

Unusual: what cannot be shown is said in a sentence, and nothing is shown in its place. Many documents are looked at in
one go, since the processes that open strangers' files are worth starting once.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from nbpipe.explain.drawn import AGAINST, FOR, Box, draw
from nbpipe.explain.reasons import Mark, Reasons, Strong, ending
from nbpipe.preprocess.notes import Copy, Note, Noted, annotate
from nbpipe.preprocess.options import Options
from nbpipe.preprocess.parsed import Parsed
from nbpipe.preprocess.places import Found, Span, Wanted, find
from nbpipe.preprocess.traced import Rect
from nbpipe.run import write
from nbpipe.shown import Picture, Sentence, Shown, Table, visible

PAGES = 2  # of a document that are drawn, unless asked otherwise

_NUMBERED = 10
_NAMED = 40  # characters of a document's name in that of a file
_KEEPS_PLACES = ("pdfium", "pdfium+gaps")  # parsers, with or without OCR


@dataclass(frozen=True, eq=False, repr=False)
class OnPage(Shown):
    """What was found of one document's strongest words on its pages."""

    reasons: Reasons
    options: Options
    found: Parsed

    @property
    def boxes(self) -> Mapping[Span, Sequence[Rect]]:
        """The boxes of each place (page, start, end), one a line, in points of the page before it is turned."""
        return self.found.boxes if isinstance(self.found, Found) else {}

    @cached_property
    def pictures(self) -> list[Picture]:
        """The pages on which the strongest reasons stand, the strongest first."""
        return [self._picture(number) for number in self.drawn]

    @property
    def drawn(self) -> list[int]:
        """The numbers (0-based) of the pages in `pictures`."""
        return list(self.found.drawings) if isinstance(self.found, Found) else []

    @property
    def said(self) -> list[Sentence]:
        """Why there is no picture, or no box in it; nothing where all is there."""
        return [_sentence(self.reasons, why) for why in self._obstacles()]

    def save(self, folder: Path) -> "Saved":
        """Write the pictures and a copy of the PDF with highlights to a folder; the document itself is only read."""
        return save([self], folder)

    def shown(self) -> list[Table | Sentence]:
        """The strongest words and their pages, and what cannot be shown."""
        rows = [
            (word.rank, word.word, f"{word.attribution:+.3f}", len(word.marks), _numbers({m.page for m in word.marks}))
            for word in self.reasons.strongest[:_NUMBERED]
        ]
        caption = f"{self.reasons.path}: what speaks for {self.reasons.label} (+) and against it (-)"
        return [Table(["rank", "word", "adds", "places", "pages"], rows, caption), *self.said]

    def _obstacles(self) -> Iterator[str]:
        if not isinstance(self.found, Found):
            yield f"no page can be shown: {self.found.reason}"
            return
        for number, why in sorted(self.found.refused.items()):
            yield f"page {number + 1} has no boxes: {why}"
        places = [mark.page for word in self.reasons.strongest for mark in word.marks]
        if unread := [page for page in places if page + 1 in self.reasons.ocr_pages]:
            yield f"no boxes on pages that OCR has read, which keeps no places of words: {_numbers(unread)}"
        if bare := sum(not rects for rects in self.boxes.values()):
            yield f"{bare:,} of {len(self.boxes):,} places of strong words have no box, as nothing is drawn there"

    def _picture(self, number: int) -> Picture:
        assert isinstance(self.found, Found)
        drawing, boxes, listed = self.found.drawings[number], [], []
        for word in self.reasons.strongest:
            marks = [mark for mark in word.marks if mark.page == number]
            ranks = [word.rank if word.rank <= _NUMBERED else 0, *[0] * len(marks)]  # one number a word and page
            shown = [drawing.boxes.get(mark[:3], ()) for mark in marks]
            boxes += map(Box, shown, [self._share(word, mark) for mark in marks], ranks)
            if marks and word.rank <= _NUMBERED:
                listed.append(f"{word.rank} {word.word} {word.attribution:+.3f}")
        text = (
            f"Page {number + 1} of {self.reasons.path}. Words in solid blue frames speak for {self.reasons.label}, in "
            f"dashed orange ones against it. {'; '.join(listed)}."
        )
        return draw(drawing.png, boxes, self.reasons.label, visible(text))

    def _share(self, word: Strong, mark: Mark) -> float:
        """Return how strong a word is, as a share of the strongest one, with the sign of this place."""
        strongest = abs(self.reasons.strongest[0].attribution) or 1.0
        return math.copysign(word.attribution / strongest, mark.attribution)

    @property
    def notes(self) -> list[Note]:
        """The highlights of the annotated copy, one for each place that has a box."""
        return [note for word in self.reasons.strongest for note in self._notes(word)]

    def _notes(self, word: Strong) -> Iterator[Note]:
        whole = f"{word.word}: {word.attribution:+.3f} for {self.reasons.label}"
        for mark in word.marks:
            if boxes := self.boxes.get(mark[:3]):
                here = f" in {len(word.marks):,} places, {mark.attribution:+.3f} here" if len(word.marks) > 1 else ""
                red, green, blue = (part / 255 for part in (FOR if mark.attribution > 0 else AGAINST))
                look = (red, green, blue), abs(self._share(word, mark)), mark.attribution <= 0
                yield Note(mark.page, boxes, visible(whole + here), *look)


def on_page(reasons: Reasons, options: Options, pages: int = PAGES) -> OnPage:
    """Find one document's strongest words on its pages, and draw at most so many pages."""
    return on_pages([reasons], options, pages)[0]


def on_pages(reasons: Sequence[Reasons], options: Options, pages: int = PAGES, workers: int = 1) -> list[OnPage]:
    """Find documents' strongest words on their pages, and draw at most so many pages of each.

    options: how the documents were read. A document may come several times, for several classes.
    """
    whys = [_obstacle(one) for one in reasons]
    found = iter(
        find([_wanted(one, pages) for one, why in zip(reasons, whys, strict=True) if not why], options, workers)
    )
    return [
        OnPage(one, options, Parsed("unsupported", why) if why else next(found))
        for one, why in zip(reasons, whys, strict=True)
    ]


def _obstacle(one: Reasons) -> str:
    """Say why a document's words cannot be found on its pages, "" where they may be."""
    if one.parser == "pypdf":
        return "pdfium could not open it, and pypdf, which read its text, keeps no places of words"
    if one.parser.removesuffix("+ocr") not in _KEEPS_PLACES:
        return "it is no PDF"
    if not one.strongest:
        return "the model knows none of its words"
    if not _marks(one):
        return "its text was read by OCR, which keeps no places of words"
    return "" if one.file else "the file is not on this machine"


def _marks(one: Reasons) -> list[Mark]:
    """Return the places of the strongest words, save those on pages that OCR has read."""
    return [mark for word in one.strongest for mark in word.marks if mark.page + 1 not in one.ocr_pages]


def _wanted(one: Reasons, pages: int) -> Wanted:
    weights = Counter[int]()
    marks = _marks(one)
    for mark in marks:
        weights[mark.page] += abs(mark.attribution)
    drawn = [number for number, _ in weights.most_common(pages)]
    spans = [(mark.page, mark.start, mark.end) for mark in marks]
    return Wanted(one.file, one.sha256, {number: one.pages[number] for number in weights}, spans, drawn)


@dataclass(frozen=True, eq=False, repr=False)
class Pages(Shown):
    """Several documents on their pages, and how many of these and of their places were found."""

    documents: Sequence[OnPage]

    def save(self, folder: Path, workers: int = 1) -> "Saved":
        """Write all pictures and highlighted copies to a folder."""
        return save(self.documents, folder, workers)

    def shown(self) -> list[Table | Sentence]:
        """Each document with its pages, boxed places, and what cannot be shown."""
        rows = [
            (
                one.reasons.path,
                _numbers(one.drawn) or "none",
                sum(map(bool, one.boxes.values())),
                "; ".join(said.text.removeprefix(f"{visible(one.reasons.path)}: ").rstrip(".") for said in one.said),
            )
            for one in self.documents
        ]
        return [Table(["document", "pages drawn", "places boxed", "not shown"], rows)]


@dataclass(frozen=True, repr=False)
class Saved(Shown):
    """The files that were written, and why some were not."""

    files: list[Path]
    said: list[Sentence]

    def shown(self) -> list[Table | Sentence]:
        """The names of the files, without the folders of this machine."""
        rows = [(file.name, file.stat().st_size / 1e3) for file in self.files]
        return [Table(["file", "kB"], rows, f"{len(rows):,} files saved"), *self.said]


def save(documents: Sequence[OnPage], folder: Path, workers: int = 1) -> Saved:
    """Write the pictures of documents, and a copy of each PDF with highlights, under names that are safe anywhere.

    The documents themselves are only read. All are of one run, and so were read in one way.
    """
    files, said = list[Path](), list[Sentence]()
    for one in documents:
        for number, picture in zip(one.drawn, one.pictures, strict=True):
            files.append(folder / f"{_name(one.reasons)}-page-{number + 1}.png")
            write(files[-1], picture.png)
    boxed = [one for one in documents if one.notes]
    noted = [Noted(one.reasons.file, one.reasons.sha256, one.notes) for one in boxed]
    for index, copy in annotate(noted, boxed[0].options, workers) if boxed else ():
        reasons = boxed[index].reasons
        if isinstance(copy, Copy):
            files.append(folder / f"{_name(reasons)}.pdf")
            write(files[-1], copy.data)
        else:
            said.append(_sentence(reasons, f"it is not saved with highlights: {copy.reason}"))
    return Saved(files, said)


def _name(reasons: Reasons) -> str:
    """Return a name of plain characters, of its own for each document and class."""
    plain = re.sub(r"[^a-z0-9]+", "-", Path(reasons.path).stem.lower())[:_NAMED].strip("-") or "document"
    return f"{plain}-{ending(reasons.path, reasons.label)}"


def _sentence(reasons: Reasons, text: str) -> Sentence:
    return Sentence(visible(f"{reasons.path}: {text}."))


def _numbers(pages: Iterable[int]) -> str:
    """Return page numbers as people count them."""
    return ", ".join(str(number + 1) for number in sorted(set(pages)))
