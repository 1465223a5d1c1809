"""The text of a PDF, page by page: pdfium reads it, pypdf where pdfium cannot open the file.

Unusual: pdfium is called through its C functions with buffers of our own, because the text of a page and the boxes
of all its characters then cost about half. Boxes are read for about the first page only, unless `spacing` finds that
the document needs them. A hyphen at a line end stays a hyphen and a line end, as printed.
"""

import ctypes
import re
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
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

_LINE_HYPHEN = "\ufffe"  # pdfium's mark for a hyphen at a line end; it drops the line end itself
_NAMED = 10  # failed pages that a reason names


class _Page(NamedTuple):
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
    for password, note in tried(options.passwords):
        # A PDF of no pages sets no error, so that of the last document would stand; this sets "format error".
        raw.FPDF_LoadMemDocument64(b"-", 1, None)
        try:
            with pypdfium2.PdfDocument(path.absolute(), password=password) as document:
                return noted(_with_pdfium(document, options), note)
        except pypdfium2.PdfiumError as error:
            if error.err_code != raw.FPDF_ERR_PASSWORD:
                raise
    return Parsed("encrypted", locked(options.passwords), "pdfium")


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
    """Yield the text of each page; the first wait until it is settled whether the document is glued."""
    waiting: list[_Page] = []
    for number in range(count):
        try:
            page = _load(document, number, boxed=spacing.glued or not spacing.settled)
        except pypdfium2.PdfiumError:
            failed.append(number + 1)
            page = _Page(b"")
        if page.glyphs and not spacing.settled:
            spacing.learn(page.glyphs)
        waiting.append(page)
        if spacing.settled:
            yield from (_text(page, spacing) for page in waiting)
            waiting.clear()
    spacing.settle()
    yield from (_text(page, spacing) for page in waiting)


def _text(page: _Page, spacing: Spacing) -> str:
    units = page.units
    if spacing.glued and page.glyphs:
        places = (page.places[index] for index in spacing.missing(page.glyphs))
        cuts = [0, *(2 * place for place in places if place > 0), len(units)]
        units = b" \0".join(units[start:end] for start, end in pairwise(cuts))
    return units.decode("utf-16-le", "replace").replace(_LINE_HYPHEN, "-\n")


def _load(document: pypdfium2.PdfDocument, number: int, boxed: bool) -> _Page:
    page = document[number]
    try:
        text = page.get_textpage()
        try:
            count = text.count_chars()
            if not count:
                return _Page(b"")
            units = _units(text, count)
            if not boxed:
                return _Page(units)
            return _Page(units, _places(text, units, count), _glyphs(text, units, count))
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
