"""Finds words of PDFs on their pages and draws these pages, in processes that can be killed.

Unusual: the parsers' own sandbox does it, with its limits, so whatever a PDF does costs no more than a reason why its
words have no boxes. A page whose text is not, character by character, the one that was kept gets none either: no box
at all is better than a wrong one.
"""

import ctypes
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pypdfium2
from pypdfium2 import raw

from nbpipe.preprocess.files import Document
from nbpipe.preprocess.options import Options
from nbpipe.preprocess.parsed import Parsed, cause
from nbpipe.preprocess.passwords import locked
from nbpipe.preprocess.pdf import Page, open_pdf, read_pages
from nbpipe.preprocess.sandbox import parse_all
from nbpipe.preprocess.spacing import Spacing
from nbpipe.preprocess.traced import Rect, rectangles, trace

Span = tuple[int, int, int]  # page, start, end: characters of that page's text; pages count from 0

_WIDE = 1000  # pixels across a drawing
_LARGEST = 1_600_000  # pixels of a drawing
_FINE = 16  # parts of a pixel in which pdfium is asked where a point is drawn
_OTHER = "it now reads otherwise than when its text was kept"
_UNREAD = "it cannot be read now"
_GONE = Parsed("unreadable", "the file is not on this machine")
_CHANGED = Parsed("unreadable", "the file has changed since it was read")


@dataclass(frozen=True)
class Wanted:
    """What to find in a PDF: places, the kept texts of their pages, and pages to draw.

    sha256: of the bytes that the texts were read from.
    """

    path: Path
    sha256: str
    texts: Mapping[int, str]
    spans: Sequence[Span]
    drawn: Sequence[int] = ()


class Drawing(NamedTuple):
    """A page in grey as it is shown, a PNG; and the boxes of places in its pixels: left, top, right, bottom."""

    png: bytes
    boxes: Mapping[Span, Sequence[Rect]]


@dataclass(frozen=True)
class Found(Parsed):
    """Where the places are.

    boxes: of each place, one a line, in points of the page before it is turned; an empty list where nothing is drawn.
    refused: why pages have no boxes. drawings: by page.
    """

    boxes: Mapping[Span, Sequence[Rect]] = field(default_factory=dict)
    refused: Mapping[int, str] = field(default_factory=dict)
    drawings: Mapping[int, Drawing] = field(default_factory=dict)


class Task(Protocol):
    """What to do with a file; sha256: what the file is known by."""

    @property
    def path(self) -> Path: ...

    @property
    def sha256(self) -> str: ...


def find(wanted: Sequence[Wanted], options: Options, workers: int = 1) -> list[Found | Parsed]:
    """Find places in PDFs, and return what was found in the same order; a plain Parsed holds why nothing was.

    options: how the documents were read. Raises WorkError where no process can be started.
    """
    found = dict(ask(wanted, _attempt, options, workers))
    return [found[index] for index in range(len(wanted))]


def ask(
    tasks: Sequence[Task], work: Callable[[Mapping[Path, Any], Path, Options], Parsed], options: Options, workers: int
) -> Iterator[tuple[int, Parsed]]:
    """Yield which task it is and what the sandbox made of it, or why it was not tried.

    work: a function of a module that gets tasks by path, the path of one, and the options. Tasks on the same file come
    one after the other.
    """
    waiting = dict(enumerate(tasks))
    while waiting:
        first = {task.path: index for index, task in reversed(waiting.items())}
        sizes = {path: _size(path) for path in first}
        documents = [Document(str(first[path]), size, path) for path, size in sizes.items() if size is not None]
        yield from ((first[path], _GONE) for path, size in sizes.items() if size is None)
        now = {path: waiting.pop(index) for path, index in first.items()}
        for outcome in parse_all(documents, options, workers, partial(work, now)):
            changed = outcome.sha256 and outcome.sha256 != tasks[int(outcome.id)].sha256
            yield int(outcome.id), _CHANGED if changed else outcome.parsed


def _size(path: Path) -> int | None:
    with suppress(OSError):
        return path.stat().st_size if path.is_file() else None
    return None


def _attempt(named: Mapping[Path, Wanted], path: Path, options: Options) -> Parsed:
    """Find what is wanted of one document; runs in the sandbox."""
    try:
        opened = open_pdf(path, options)
        if opened is None:
            return Parsed("encrypted", locked(options.passwords))
        with opened.document as document:
            return _find(document, named[path], options)
    except MemoryError:
        raise
    except Exception as error:
        return Parsed("unreadable", cause(error, path))


def _find(document: pypdfium2.PdfDocument, wanted: Wanted, options: Options) -> Found:
    boxes, refused = {}, dict.fromkeys(wanted.texts, _UNREAD)
    spacing, failed = Spacing(), list[int]()
    count = min(len(document), options.max_pages, max(wanted.texts, default=-1) + 1)
    for number, page in read_pages(document, count, spacing, failed, wanted.texts):
        found = _on_page(page, spacing, wanted, number)
        if found is not None:
            boxes |= found
            del refused[number]
        elif number in wanted.texts and number + 1 not in failed:
            refused[number] = _OTHER
    return Found("ok", boxes=boxes, refused=refused, drawings=dict(_drawn(document, wanted, boxes, refused)))


def _on_page(page: Page, spacing: Spacing, wanted: Wanted, number: int) -> dict[Span, list[Rect]] | None:
    """Return the boxes of a page's places, None where its text is not the kept one."""
    traced = trace(page, spacing)  # also where it is not wanted: `spacing` learns from each page
    if traced.text != wanted.texts.get(number):
        return None
    return {span: rectangles(traced, page.glyphs, *span[1:]) for span in wanted.spans if span[0] == number}


def _drawn(
    document: pypdfium2.PdfDocument, wanted: Wanted, boxes: Mapping[Span, Sequence[Rect]], refused: Mapping[int, str]
) -> Iterator[tuple[int, Drawing]]:
    """Yield the drawings of the wanted pages that are there, save those that lack the boxes they should have."""
    with suppress(pypdfium2.PdfiumError):
        document.init_forms()  # else what is filled into a form is not drawn
    for number in wanted.drawn:
        if number < len(document) and number not in refused:
            here = {span: rects for span, rects in boxes.items() if span[0] == number}
            with closing(document[number]) as page:
                yield number, _draw(page, here)


def _draw(page: pypdfium2.PdfPage, boxes: Mapping[Span, Sequence[Rect]]) -> Drawing:
    width, height = page.get_size()
    scale = min(_WIDE / width, math.sqrt(_LARGEST / (width * height)), _LARGEST / max(width, height))
    buffer = io.BytesIO()
    with closing(page.render(scale=scale, grayscale=True)) as bitmap:
        size = bitmap.width, bitmap.height
        bitmap.to_pil().convert("L").save(buffer, "png", compress_level=1)
    shown = {span: [_shown(page, size, rect) for rect in rects] for span, rects in boxes.items()}
    return Drawing(buffer.getvalue(), shown)


def _shown(page: pypdfium2.PdfPage, size: tuple[int, int], rect: Rect) -> Rect:
    """Return where a box is drawn, in pixels of a drawing of this size."""
    corners = []
    for x, y in (rect[:2], rect[2:]):
        right, down = ctypes.c_int(), ctypes.c_int()
        raw.FPDF_PageToDevice(page, 0, 0, size[0] * _FINE, size[1] * _FINE, 0, x, y, right, down)
        corners.append((right.value / _FINE, down.value / _FINE))
    (left, right), (top, bottom) = (sorted(sides) for sides in zip(*corners, strict=True))
    return left, top, right, bottom
