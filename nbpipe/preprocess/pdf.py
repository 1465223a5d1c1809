"""The text of a PDF, page by page: pdfium reads it, pypdf where pdfium cannot open the file.

Unusual: pdfium is called through its C functions with buffers of our own, because the text of a page and the boxes
of all its characters then cost about half. Boxes are read for about the first page only, unless `spacing` finds that
the document needs them. A hyphen at a line end stays a hyphen and a line end, as printed.
"""

import ctypes
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import pairwise, repeat
from pathlib import Path
from typing import NamedTuple

import pypdfium2
from pypdfium2 import raw

from nbpipe.preprocess.parsed import Parsed, cause, judged
from nbpipe.preprocess.spacing import Glyphs, Spacing

_LOCKED = "it opens only with a password"
_LINE_HYPHEN = "\ufffe"  # pdfium's mark for a hyphen at a line end; it drops the line end itself
_NAMED = 10  # failed pages that a reason names


class _Page(NamedTuple):
    units: bytes  # UTF-16, little endian
    places: Sequence[int]  # of each character in units; below 0 where pdfium leaves it out
    glyphs: Glyphs | None  # where their boxes were wanted


_BLANK = _Page(b"", (), None)


def read_pdf(path: Path) -> Parsed:
    """Read a PDF with the first parser that can; one that opens with an empty password is read like any other."""
    try:
        with pypdfium2.PdfDocument(path.absolute()) as document:
            return _with_pdfium(document)
    except MemoryError:
        raise
    except pypdfium2.PdfiumError as error:
        if error.err_code == raw.FPDF_ERR_PASSWORD:
            return Parsed("encrypted", _LOCKED, "pdfium")
        return _with_pypdf(path, cause(error, path))
    except Exception as error:
        return _with_pypdf(path, cause(error, path))


def _with_pdfium(document: pypdfium2.PdfDocument) -> Parsed:
    spacing = Spacing()
    failed: list[int] = []
    pages = list(_texts(document, spacing, failed))
    if len(failed) == len(pages):
        raise pypdfium2.PdfiumError(_failures(failed, len(pages)))
    parser = "pdfium+gaps" if spacing.glued else "pdfium"
    return judged(pages, parser, _scan(len(pages)), _failures(failed, len(pages)))


def _texts(document: pypdfium2.PdfDocument, spacing: Spacing, failed: list[int]) -> Iterator[str]:
    """Yield the text of each page; the first wait until it is settled whether the document is glued."""
    waiting: list[_Page] = []
    for number in range(len(document)):
        try:
            page = _load(document, number, boxed=spacing.glued or not spacing.settled)
        except pypdfium2.PdfiumError:
            failed.append(number + 1)
            page = _BLANK
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
                return _BLANK
            units, places = _units(text, count)
            return _Page(units, places, _glyphs(text, units, places) if boxed else None)
        finally:
            text.close()
    finally:
        page.close()


def _units(text: pypdfium2.PdfTextPage, count: int) -> tuple[bytes, Sequence[int]]:
    """Return the text of a page, and where in it each of the page's characters stands.

    pdfium leaves out characters without a meaning, and asked to start or end at one it would read past the end.
    """
    place = raw.FPDFText_GetTextIndexFromCharIndex
    if place(text, 0) == 0 and place(text, count - 1) == count - 1:
        places: Sequence[int] = range(count)
    else:
        places = [place(text, index) for index in range(count)]
    kept = [index for index, at in enumerate(places) if at >= 0] if isinstance(places, list) else places
    if not kept:
        return b"", places
    first, last = kept[0], kept[-1]
    buffer = (ctypes.c_ushort * (places[last] - places[first] + 2))()
    written = raw.FPDFText_GetText(text, first, last - first + 1, buffer)
    return bytes(buffer)[: 2 * (written - 1)], [at - places[first] for at in places] if first else places


def _glyphs(text: pypdfium2.PdfTextPage, units: bytes, places: Sequence[int]) -> Glyphs:
    count = len(places)
    if isinstance(places, range):
        codes: Sequence[int] = array("H", units)
    else:
        codes = [raw.FPDFText_GetUnicode(text, index) for index in range(count)]
    boxes = array("f", bytes(16 * count))
    start = boxes.buffer_info()[0]
    handle = ctypes.cast(text.raw, ctypes.c_void_p).value
    deque(map(_box(), repeat(handle), range(count), range(start, start + 16 * count, 16)), maxlen=0)
    return Glyphs.of(codes, boxes)


@cache
def _box() -> Callable[[int, int, int], int]:
    """Return pdfium's function for the loose box of a character, taking bare addresses, which is twice as fast."""
    address = ctypes.cast(raw.FPDFText_GetLooseCharBox, ctypes.c_void_p).value
    return ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(address)


def _with_pypdf(path: Path, refusal: str) -> Parsed:
    import pypdf  # slow to load, seldom needed

    try:
        with path.open("rb") as file:
            reader = pypdf.PdfReader(file)
            if reader.is_encrypted and not reader.decrypt(""):
                return Parsed("encrypted", _LOCKED, "pypdf")
            failed: list[int] = []
            pages = [_extract(reader, number, failed) for number in range(len(reader.pages))]
    except MemoryError:
        raise
    except Exception as error:  # pypdf raises ten kinds of exception on broken files
        return Parsed("unreadable", f"pdfium: {refusal}; pypdf: {cause(error, path)}")
    if len(failed) == len(pages):
        return Parsed("unreadable", f"pdfium: {refusal}; pypdf: {_failures(failed, len(pages))}")
    return judged(pages, "pypdf", _scan(len(pages)), _failures(failed, len(pages)))


def _extract(reader: "pypdf.PdfReader", number: int, failed: list[int]) -> str:  # noqa: F821
    try:
        return reader.pages[number].extract_text()
    except MemoryError:
        raise
    except Exception:
        failed.append(number + 1)
        return ""


def _scan(count: int) -> str:
    return f"{count} page{'s' * (count != 1)} without a text layer (a scan?)"


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
