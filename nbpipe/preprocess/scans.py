"""Pages without a text layer: told apart from blank ones, and read off their pictures by Tesseract where asked.

Unusual: whether a page shows anything is seen on a small drawing of it, in which the specks of a scanner have faded; a
page whose drawing is of one colour is blank. Nothing here raises: a page that cannot be drawn or read stays as it was
found, a scan without text, and the reason says so.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from typing import NamedTuple

import pypdfium2
from pypdfium2 import raw

from nbpipe.preprocess import tesseract
from nbpipe.preprocess.options import Options
from nbpipe.preprocess.parsed import Parsed, readable, tidy

_GLANCE = 100_000  # pixels in which to see whether a page shows anything: an A4 page at 32 dpi
_GLANCES = 100  # pages looked at if none will be read: a picture takes up to 0.1 s to unpack
_DPI = 300  # what Tesseract reads best
_LARGEST = 25_000_000  # pixels of a page to read: A3 at 300 dpi is 17 million
_NAMED = 10  # failed pages that a reason names


class _Reading(NamedTuple):
    texts: dict[int, str]  # of the pages on which text was found
    notes: list[str]


def with_scans(parsed: Parsed, document: pypdfium2.PdfDocument, failed: Sequence[int], options: Options) -> Parsed:
    """Return what became of a PDF with its scanned pages found, and read if the options say so.

    failed: the numbers of pages that could not be loaded. Unless they are to be read, pages after the first hundred
    without text count as scans unseen, which bounds what a long scan takes.
    """
    lacking = _lacking(parsed, failed)
    if not lacking:
        return parsed
    with suppress(pypdfium2.PdfiumError):
        document.init_forms()  # else what is filled into a form is not drawn
    looked = lacking if options.ocr == "auto" else lacking[:_GLANCES]
    blank = {number for number in looked if not _shows(document, number)}
    scanned = [number for number in lacking if number not in blank]
    reading = _read(document, scanned, options)
    if texts := reading.texts:
        pages = [texts.get(number, page) for number, page in enumerate(parsed.pages, 1)]
        parsed = replace(parsed, status="ok", parser=f"{parsed.parser}+ocr", pages=pages)
    found = replace(parsed, scanned=scanned, ocr=list(texts))
    return _noted(found, *_counts(found, len(blank)), *reading.notes)


def with_unseen(parsed: Parsed, failed: Sequence[int]) -> Parsed:
    """Return what became of a PDF that cannot be drawn: its pages without text all count as scans."""
    lacking = _lacking(parsed, failed)
    if not lacking:
        return parsed
    said = f"{_pages(len(lacking))} without a text layer (scanned or blank: they cannot be drawn)"
    return _noted(replace(parsed, scanned=lacking), said)


def _lacking(parsed: Parsed, failed: Sequence[int]) -> list[int]:
    """Return the numbers of the pages that were loaded and have no text."""
    unknown = set(failed)
    return [number for number, page in enumerate(parsed.pages, 1) if not readable(page) and number not in unknown]


def _shows(document: pypdfium2.PdfDocument, number: int) -> bool:
    """Tell whether a page shows anything; one that cannot be drawn may."""
    try:
        with closing(document[number - 1]) as page:
            if not (raw.FPDFPage_CountObjects(page) or raw.FPDFPage_GetAnnotCount(page)):
                return False
            grey = _draw(page, _GLANCE)[-1]
    except Exception:
        return True
    return grey.count(grey[:1]) < len(grey)


def _draw(page: pypdfium2.PdfPage, pixels: int, dpi: float = math.inf) -> tuple[int, int, bytes]:
    """Return the width and height of a drawing of a page with all that is filled in, and the grey of each pixel.

    pixels: how many, or fewer where `dpi` is reached.
    """
    width, height = page.get_size()
    scale = min(dpi / 72, math.sqrt(pixels / (width * height)), pixels / max(width, height))
    with closing(page.render(scale=scale, grayscale=True)) as bitmap:
        width, height, stride = bitmap.width, bitmap.height, bitmap.stride
        buffer = memoryview(bitmap.buffer)
        return width, height, b"".join(buffer[row * stride : row * stride + width] for row in range(height))


def _read(document: pypdfium2.PdfDocument, scanned: Sequence[int], options: Options) -> _Reading:
    """Read scanned pages if the options say so."""
    if options.ocr != "auto" or not scanned:
        return _Reading({}, [])
    if obstacle := tesseract.obstacle(options.ocr_languages):
        return _Reading({}, [obstacle])
    texts, failures = {}, {}
    for number in scanned:
        try:
            texts[number] = _text(document, number, options.ocr_languages)
        except Exception as error:  # want of memory too: the other pages are worth keeping
            failures[number] = str(error) if isinstance(error, ChildProcessError) else type(error).__name__
    texts = {number: text for number, text in texts.items() if readable(text)}
    wordless = len(scanned) - len(texts) - len(failures)
    notes = [f"OCR found no text on {_pages(wordless)}"] if wordless else []
    return _Reading(texts, notes + ([_failures(failures)] if failures else []))


def _text(document: pypdfium2.PdfDocument, number: int, languages: str) -> str:
    """Return what Tesseract reads on a page."""
    with closing(document[number - 1]) as page:
        width, height, grey = _draw(page, _LARGEST, _DPI)
    return tidy(tesseract.read(b"P5 %d %d 255\n%b" % (width, height, grey), languages))


def _counts(found: Parsed, blank: int) -> Iterator[str]:
    """Say how many pages were read by OCR, have no text, or are blank, which only matters where there is no text."""
    count, unread = len(found.pages), len(found.scanned) - len(found.ocr)
    if found.ocr:
        yield f"{len(found.ocr)} of {_pages(count)} read by OCR"
    if unread and found.status == "ok":
        yield f"{unread} of {_pages(count)} without a text layer"
    elif unread:
        yield f"{_pages(unread)} without a text layer (a scan?)"
    if blank and found.status != "ok":
        yield _pages(blank, "blank page")


def _failures(failures: dict[int, str]) -> str:
    """Say which pages Tesseract failed on, and how on the first."""
    names = ", ".join(map(str, list(failures)[:_NAMED])) + (", …" if len(failures) > _NAMED else "")
    return f"OCR failed on {_pages(len(failures))}: {names} ({next(iter(failures.values()))})"


def _noted(parsed: Parsed, *notes: str) -> Parsed:
    return replace(parsed, reason="; ".join(filter(None, [*notes, parsed.reason])))


def _pages(count: int, name: str = "page") -> str:
    return f"{count:,} {name}{'s' * (count != 1)}"
