"""The text of a PDF, page by page: pdfium reads it, pypdf where pdfium cannot open the file.

Unusual: pdfium is called through its C functions with buffers of our own, because the text of a page and the boxes
of all its characters then cost about half. Boxes are read for about the first page only, unless `spacing` finds that
the document needs them. A hyphen at a line end stays a hyphen and a line end, as printed. `traced` finds the words of
a page again in what `read_pages` and `cuts` give, which is also what the text is made of.
"""

import ctypes
import re
from array import array
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise, repeat
from pathlib import Path
from typing import NamedTuple

import pypdfium2
from pypdfium2 import raw

from nbpipe.preprocess.options import Options
from nbpipe.preprocess.parsed import Parsed, cause, first_pages, judged, noted
from nbpipe.preprocess.passwords import locked, redacted, tried
from nbpipe.preprocess.scans import with_scans, with_unseen
from nbpipe.preprocess.spacing import Glyphs, Spacing

LINE_HYPHEN = "\ufffe"  # pdfium's mark for a hyphen at a line end; it drops the line end itself
_NAMED = 10  # failed pages that a reason names


class Page(NamedTuple):
    """What pdfium gives of a page: its text, and where needed its characters with their boxes."""

    units: bytes  # UTF-16, little endian
    places: Sequence[int] = ()  # of each character in units; below 0 where pdfium leaves it out
    glyphs: Glyphs | None = None  # read only if spaces may be missing


def read_pdf(path: Path, options: Options) -> Parsed:
    """Read a PDF with the first parser that can; one that opens with an empty password is read like any other."""
    try:
        return _unlocked(path, options)
    except MemoryError:
        raise
    except pypdfium2.PdfiumError as error:
        parsed = _with_pypdf(path, options, f"pdfium: {_refusal(error)}")
        if error.err_code == raw.FPDF_ERR_SECURITY and parsed.status == "unreadable":
            return replace(parsed, status="encrypted")
        return parsed
    except Exception as error:
        return _with_pypdf(path, options, f"pdfium: {cause(error, path)}")


def _unlocked(path: Path, options: Options) -> Parsed:
    """Read a PDF with pdfium and the first password that opens it."""
    found = open_pdf(path, options)
    if found is None:
        return Parsed("encrypted", locked(options.passwords), "pdfium")
    with found.document as document:
        return noted(_with_pdfium(document, options), found.note)


class Opened(NamedTuple):
    """A PDF that pdfium has opened, the password that did it, and what to note of that."""

    document: pypdfium2.PdfDocument
    password: str
    note: str


def open_pdf(path: Path, options: Options) -> Opened | None:
    """Open a PDF with the first password that does; return None where none does, raise PdfiumError if it is broken."""
    for password, note in tried(options.passwords):
        # A PDF of no pages sets no error, so that of the last document would stand; this sets "format error".
        raw.FPDF_LoadMemDocument64(b"-", 1, None)
        try:
            return Opened(pypdfium2.PdfDocument(path.absolute(), password=password), password, note)
        except pypdfium2.PdfiumError as error:
            if error.err_code != raw.FPDF_ERR_PASSWORD:
                raise
    return None


def _with_pdfium(document: pypdfium2.PdfDocument, options: Options) -> Parsed:
    spacing = Spacing()
    failed: list[int] = []
    count = min(len(document), options.max_pages)
    pages = list(_texts(document, count, spacing, failed))
    if len(failed) == len(pages):
        raise pypdfium2.PdfiumError(_failures(failed, len(pages)))
    parser = "pdfium+gaps" if spacing.glued else "pdfium"
    notes = [_failures(failed, len(pages)), first_pages(count, len(document)) if count < len(document) else ""]
    parsed = judged(pages, parser, "", "; ".join(filter(None, notes)))
    return with_scans(parsed, document, failed, options)


def _texts(document: pypdfium2.PdfDocument, count: int, spacing: Spacing, failed: list[int]) -> Iterator[str]:
    """Yield the text of each page."""
    return (_text(page, spacing) for _, page in read_pages(document, count, spacing, failed))


def read_pages(
    document: pypdfium2.PdfDocument,
    count: int,
    spacing: Spacing,
    failed: list[int],
    wanted: Container[int] | None = None,
) -> Iterator[tuple[int, Page]]:
    """Yield the number and content of each page; the first wait until it is settled whether the document is glued.

    wanted: the pages that matter, with all boxes. Others are left out, save those that say how the text is spaced; of a
    glued document that is each, as `cuts` learns from page to page and must see them in order.
    """
    waiting: list[tuple[int, Page]] = []
    for number in range(count):
        chosen = wanted is None or number in wanted
        if spacing.settled and not (chosen or spacing.glued):
            continue
        boxed = spacing.glued or not spacing.settled or wanted is not None
        try:
            page = _load(document, number, boxed)
        except pypdfium2.PdfiumError:
            failed.append(number + 1)
            page = Page(b"")
        if page.glyphs and not spacing.settled:
            spacing.learn(page.glyphs)
        waiting.append((number, page))
        if spacing.settled:
            yield from waiting
            waiting.clear()
    spacing.settle()
    yield from waiting


def _text(page: Page, spacing: Spacing) -> str:
    units = b" \0".join(page.units[2 * start : 2 * end] for start, end in pairwise(cuts(page, spacing)))
    return units.decode("utf-16-le", "replace").replace(LINE_HYPHEN, "-\n")


def cuts(page: Page, spacing: Spacing) -> list[int]:
    """Return between which units of a page's text spaces are missing; its start first, its end last."""
    inner: Iterable[int] = ()
    if spacing.glued and page.glyphs:
        inner = (page.places[index] for index in spacing.missing(page.glyphs))
    return [0, *(place for place in inner if place > 0), len(page.units) // 2]


def _load(document: pypdfium2.PdfDocument, number: int, boxed: bool) -> Page:
    page = document[number]
    try:
        text = page.get_textpage()
        try:
            count = text.count_chars()
            if not count:
                return Page(b"")
            units = _units(text, count)
            if not boxed:
                return Page(units)
            return Page(units, _places(text, units, count), _glyphs(text, units, count))
        finally:
            text.close()
    finally:
        page.close()


def _units(text: pypdfium2.PdfTextPage, count: int) -> bytes:
    """Return the text of a page in UTF-16.

    pdfium leaves out characters without a meaning; asked to start or end at one, it would read past the end.
    """
    place = raw.FPDFText_GetTextIndexFromCharIndex
    first = next((index for index in range(count) if place(text, index) >= 0), count)
    last = next((index for index in range(count - 1, first - 1, -1) if place(text, index) >= 0), first - 1)
    if last < first:
        return b""
    buffer = (ctypes.c_ushort * (place(text, last) - place(text, first) + 2))()
    written = raw.FPDFText_GetText(text, first, last - first + 1, buffer)
    return bytes(buffer)[: 2 * (written - 1)]


def _places(text: pypdfium2.PdfTextPage, units: bytes, count: int) -> Sequence[int]:
    """Return where in the text each character stands; they differ only where pdfium left characters out."""
    if len(units) == 2 * count:
        return range(count)
    places = [raw.FPDFText_GetTextIndexFromCharIndex(text, index) for index in range(count)]
    first = min((place for place in places if place >= 0), default=0)
    return [place - first for place in places]


def _glyphs(text: pypdfium2.PdfTextPage, units: bytes, count: int) -> Glyphs:
    """Return a page's characters with their boxes."""
    if len(units) == 2 * count:
        codes: Sequence[int] = array("H", units)
    else:
        codes = [raw.FPDFText_GetUnicode(text, index) for index in range(count)]
    boxes = array("f", bytes(16 * count))
    start = boxes.buffer_info()[0]
    handle = ctypes.cast(text.raw, ctypes.c_void_p).value
    deque(map(_box(), repeat(handle), range(count), range(start, start + 16 * count, 16)), maxlen=0)
    return Glyphs.of(codes, boxes)


@cache
def _box() -> Callable[[int, int, int], None]:
    """Return pdfium's function for the loose box of a character; taking bare addresses it is twice as fast."""
    address = ctypes.cast(raw.FPDFText_GetLooseCharBox, ctypes.c_void_p).value
    return ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(address)


def _with_pypdf(path: Path, options: Options, refusal: str) -> Parsed:
    import pypdf  # slow to load, seldom needed

    try:
        with path.open("rb") as file:
            reader = pypdf.PdfReader(file)
            opened = _unlock(reader, options)
            if opened is None:
                return Parsed("encrypted", locked(options.passwords), "pypdf")
            failed: list[int] = []
            count = min(len(reader.pages), options.max_pages)
            pages = [_extract(reader, number, failed) for number in range(count)]
            cut = first_pages(count, len(reader.pages)) if count < len(reader.pages) else ""
    except MemoryError:
        raise
    except Exception as error:  # pypdf raises ten kinds of exception on broken files
        return Parsed("unreadable", f"{refusal}; pypdf: {cause(error, path)}")
    if len(failed) == len(pages):
        return Parsed("unreadable", f"{refusal}; pypdf: {_failures(failed, len(pages))}")
    notes = [opened, _failures(failed, len(pages)), cut]
    return with_unseen(judged(pages, "pypdf", "", "; ".join(filter(None, notes))), failed)


def _unlock(reader: "pypdf.PdfReader", options: Options) -> str | None:  # noqa: F821
    """Return what to note of the password that opens a PDF, None where none does."""
    if not reader.is_encrypted:
        return ""
    return next((note for password, note in tried(options.passwords) if reader.decrypt(password)), None)


def _extract(reader: "pypdf.PdfReader", number: int, failed: list[int]) -> str:  # noqa: F821
    try:
        return reader.pages[number].extract_text()
    except MemoryError:
        raise
    except Exception:
        failed.append(number + 1)
        return ""


def _refusal(error: pypdfium2.PdfiumError) -> str:
    """Return what pdfium itself said, out of the sentence that its Python wrapper makes of it."""
    said = re.search(r"\(PDFium: (.+?)\.?\)", str(error))
    return redacted(said[1] if said else str(error))


def _failures(failed: Sequence[int], count: int) -> str:
    """Say which pages could not be read, "" where all could."""
    if not count:
        return "it has no pages"
    if not failed:
        return ""
    if len(failed) == count:
        return f"none of its {count} pages can be read"
    names = ", ".join(map(str, failed[:_NAMED])) + (", …" if len(failed) > _NAMED else "")
    return f"{len(failed)} of {count} pages could not be read: {names}"
