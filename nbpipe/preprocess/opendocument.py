"""The text of OpenDocument files: ODT, ODP and ODS.

Unusual: text stands between the elements of a paragraph, with white space that means nothing, and notes stand in the
midst of a sentence. So a whole paragraph is read at a time, and its notes follow it. What a file says to be repeated
(spaces, cells, rows) is read once: a few bytes may claim a million.
"""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element
from zipfile import ZipFile

from nbpipe.preprocess.options import Options
from nbpipe.preprocess.package import elements, local, read_package
from nbpipe.preprocess.parsed import Parsed, judged

_CONTENT, _STYLES, _MANIFEST = "content.xml", "styles.xml", "META-INF/manifest.xml"
_LOCK = "encryption-data"  # the manifest has one for each encrypted part
_PAGES = {"odt": "body", "odp": "page", "ods": "table"}  # the element that is a page
_HEADERS = ("header", "header-first", "header-left")
_FOOTERS = ("footer", "footer-first", "footer-left")
_TEXT = ":text:1.0}"  # the end of the namespace of elements that hold text; others hold dates, authors, descriptions
_UNREAD = frozenset(("tracked-changes", "note-citation", "ruby-text"))
_ASIDE = frozenset(("note-body", "annotation"))
_PARAGRAPHS = ("p", "h")
_ROW = "table-row"
_BREAKS = {"s": " ", "tab": "\t", "line-break": "\n", "p": "\n", "h": "\n"}


def read_opendocument(path: Path, options: Options) -> Parsed:
    """Read an ODT as one page, an ODP as a page a slide, an ODS as a page a sheet with tabs between a row's cells.

    Deleted text is left out. A slide's notes follow it, a comment its paragraph.
    """
    kind = path.suffix.lower().removeprefix(".")
    return read_package(path, options, kind, partial(_read, kind=kind))


def _read(archive: ZipFile, kind: str) -> Parsed:
    names = archive.namelist()
    if _MANIFEST in names and any(name == _LOCK for _, name, _ in elements(archive, _MANIFEST)):
        return Parsed("encrypted", "it opens only with a password; none is tried on OpenDocument files", kind)
    if _CONTENT not in names:
        return Parsed("unreadable", f"it holds no {_CONTENT} (not an OpenDocument file?)")
    lines = (*_PARAGRAPHS, _ROW) if kind == "ods" else _PARAGRAPHS
    pages = _sections(archive, _CONTENT, [_PAGES[kind]], lines)
    if kind == "odt" and _STYLES in names:
        above, below = (_sections(archive, _STYLES, places, lines) for places in (_HEADERS, _FOOTERS))
        texts = filter(None, [*above, *pages, *below])
        pages = ["\n".join(dict.fromkeys(texts))]  # first-page and other headers repeat
    return judged(pages, kind)


def _sections(archive: ZipFile, part: str, places: Sequence[str], lines: Sequence[str]) -> list[str]:
    """Return the text in each element of a part that is named in `places`; each element of `lines` begins a line."""
    sections: list[list[str]] = []
    inside = within = unread = 0
    for event, name, element in elements(archive, part, starts=True):
        step = 1 if event == "start" else -1
        if name in _UNREAD:
            unread += step
        elif name in places and not unread:
            inside += step
            if step > 0:
                sections.append([])
        elif name in lines and not unread:
            within += step
            if not within:  # the outermost has ended
                if inside:
                    sections[-1].append(_text(element))
                element.clear()
    return ["\n".join(filter(None, section)) for section in sections]


def _text(element: Element) -> str:
    """Return the text of a paragraph or row, then of the notes in it."""
    aside: list[str] = []
    if local(element.tag) == _ROW:
        cells = [" ".join("".join(_pieces(cell, aside)).split()) for cell in element]
        text = "\t".join(filter(None, cells))
    else:
        text = "".join(_pieces(element, aside))
    stripped = (line.strip() for line in "\n".join([text, *aside]).split("\n"))
    return "\n".join(filter(None, stripped))


def _pieces(element: Element, aside: list[str]) -> Iterator[str]:
    name, holds = local(element.tag), element.tag.endswith(_TEXT + local(element.tag))
    if name in _UNREAD:
        return
    yield _BREAKS.get(name, "")
    if holds:
        yield _folded(element.text)
    for child in element:
        if local(child.tag) in _ASIDE:
            aside.append("".join(_pieces(child, aside)))
        else:
            yield from _pieces(child, aside)
        if holds:
            yield _folded(child.tail)
    if name in _PARAGRAPHS:
        yield "\n"


def _folded(text: str | None) -> str:
    return re.sub(r"[ \t\r\n]+", " ", text or "")
