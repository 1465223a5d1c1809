"""The text of Word, PowerPoint and Excel files in Open XML: DOCX, PPTX and XLSX.

Unusual: zipfile and expat parse, but what breaks a line is decided here. The text extractors tried glued words at line
breaks and table cells, or lost form fields, corrections and text boxes. Slides and sheets come in the order that is
shown, which is not that of their file names, and a hidden one is read like any other.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element
from zipfile import ZipFile

from nbpipe.preprocess.options import MOST_TEXT, Options
from nbpipe.preprocess.package import elements, local, paragraphs, read_package, relations
from nbpipe.preprocess.parsed import Parsed, judged

_PARTS = ("header", "document", "footnotes", "endnotes", "comments", "footer")
_PART = re.compile(rf"word/({'|'.join(_PARTS)})\d*\.xml")
_PRESENTATION, _WORKBOOK = "ppt/presentation.xml", "xl/workbook.xml"
_ID = "relationships}id"  # the end of its name in both editions of the standard
_WITH_SLIDE = ("diagramData", "notesSlide")  # parts whose text follows a slide's own, in this order


def read_docx(path: Path, options: Options) -> Parsed:
    """Read a DOCX: headers, body with tables and text boxes, notes, comments, footers; deleted text is left out."""
    return read_package(path, options, "docx", _word)


def read_pptx(path: Path, options: Options) -> Parsed:
    """Read a PPTX: each slide is a page, with its diagrams, then its notes."""
    return read_package(path, options, "pptx", _slides)


def read_xlsx(path: Path, options: Options) -> Parsed:
    """Read an XLSX: each sheet is a page, each row a line, with tabs between cells; numbers and dates as stored.

    Of a formula, the result that was last saved is read. Cells that hold nothing leave no gap.
    """
    return read_package(path, options, "xlsx", _sheets)


def _word(archive: ZipFile) -> Parsed:
    found = filter(None, map(_PART.fullmatch, archive.namelist()))
    names = {match[0]: match[1] for match in sorted(found, key=lambda match: (_PARTS.index(match[1]), match[0]))}
    if "document" not in names.values():
        return Parsed("unreadable", "it holds no word/document.xml (not a Word document?)")
    texts = [paragraphs(archive, name) for name in names]
    return judged(["\n".join(dict.fromkeys(filter(None, texts)))], "docx")  # first-page and other headers repeat


def _slides(archive: ZipFile) -> Parsed:
    if _PRESENTATION not in archive.namelist():
        return Parsed("unreadable", f"it holds no {_PRESENTATION} (not a PowerPoint presentation?)")
    return judged([_slide(archive, name) for name in _listed(archive, _PRESENTATION, "sldId")], "pptx")


def _slide(archive: ZipFile, name: str) -> str:
    others = sorted(
        (_WITH_SLIDE.index(kind), part) for kind, part in relations(archive, name).values() if kind in _WITH_SLIDE
    )
    texts = [paragraphs(archive, part) for part in [name, *(part for _, part in others)]]
    return "\n".join(filter(None, texts))


def _sheets(archive: ZipFile) -> Parsed:
    if _WORKBOOK not in archive.namelist():
        return Parsed("unreadable", f"it holds no {_WORKBOOK} (not an Excel workbook?)")
    names = [part for kind, part in relations(archive, _WORKBOOK).values() if kind == "sharedStrings"]
    shared = [text for name in names[:1] for text in _strings(archive, name)]
    pages, room = [], MOST_TEXT
    for name in _listed(archive, _WORKBOOK, "sheet"):
        pages.append("\n".join(_within(room, _rows(archive, name, shared))) if room > 0 else "")
        room -= len(pages[-1])
    return judged(pages, "xlsx")


def _listed(archive: ZipFile, part: str, tag: str) -> list[str]:
    """Return the names of the slides or sheets that the main part lists, in its order, each once."""
    found = relations(archive, part)
    items = (element.items() for _, name, element in elements(archive, part) if name == tag)
    ids = [value for item in items for key, value in item if key.endswith(_ID)]
    return [found[key][1] for key in dict.fromkeys(ids) if key in found]


def _strings(archive: ZipFile, part: str) -> Iterator[str]:
    """Yield the strings that the cells of a workbook share."""
    for _, name, element in elements(archive, part):
        if name == "si":
            yield _string(element)
            element.clear()


def _string(element: Element) -> str:
    """Return a string of one or more runs, without the reading aids of East Asian text."""
    if local(element.tag) == "t":
        return element.text or ""
    return "".join(_string(child) for child in element if local(child.tag) in ("t", "r"))


def _rows(archive: ZipFile, part: str, shared: list[str]) -> Iterator[str]:
    for _, name, element in elements(archive, part):
        if name == "row":
            cells = (" ".join(_cell(cell, shared).split()) for cell in element if local(cell.tag) == "c")
            if line := "\t".join(filter(None, cells)):
                yield line
            element.clear()


def _cell(cell: Element, shared: list[str]) -> str:
    """Return what a cell shows: a string of its own, one that is shared, or a number."""
    values = {local(child.tag): child for child in cell}
    if "is" in values:
        return _string(values["is"])
    text = (values["v"].text or "") if "v" in values else ""
    if cell.get("t") != "s":
        return text
    return shared[int(text)] if text.isdecimal() and int(text) < len(shared) else ""


def _within(room: int, lines: Iterator[str]) -> Iterator[str]:
    """Yield lines until they fill the room: a shared string can stand in a million cells."""
    for line in lines:
        yield line
        room -= len(line)
        if room < 0:
            return
