"""The text of HTML and DOCX files.

Unusual: a library parses (lexbor for HTML, zipfile and expat for DOCX), but which elements break a line is decided
here. The text extractors tried split words at bold letters, glued them at line breaks and table cells, or lost
form fields, corrections and text boxes.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree
from zipfile import ZipFile

from nbpipe.preprocess.decoding import decode
from nbpipe.preprocess.options import Options
from nbpipe.preprocess.parsed import Parsed, judged

_BLOCKS = (
    "address article aside blockquote body br button caption center dd details dialog dir div dl dt fieldset figcaption"
    " figure footer form frameset h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu nav ol optgroup option p"
    " pre search section select summary table tbody textarea tfoot thead title tr ul"
)
_HIDDEN = ["script", "style", "template", "noscript", "iframe", "object", "math annotation", "svg style"]
_LINE, _CELL = "\x1e", "\x1f"  # stand for what an element breaks until the source's own white space is folded
_EMPTY_ELEMENT = re.compile(r"<(script|style|title|textarea|iframe|noscript|template|a|p|div|span)\b([^<>]*)/>", re.I)

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # an encrypted DOCX and an old DOC are OLE containers
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
_PARTS = ("header", "document", "footnotes", "endnotes", "comments", "footer")
_PART = re.compile(rf"word/({'|'.join(_PARTS)})\d*\.xml")
_LARGEST = 256 << 20  # bytes that one part may unpack to
_UNREAD = frozenset(("Fallback", "del", "moveFrom", "pPr", "rPr", "sectPr"))
_BREAKS = {"p": "\n", "br": "\n", "cr": "\n", "tab": "\t", "ptab": "\t", "noBreakHyphen": "-"}


def read_html(path: Path, options: Options) -> Parsed:
    """Read the visible text of an HTML page, its title first."""
    source = decode(path.read_bytes(), declared=True)
    if source.lstrip().startswith("<?xml") or path.suffix.lower() == ".xhtml":
        source = _EMPTY_ELEMENT.sub(r"<\1\2></\1>", source)  # closed in XML, left open in HTML
    return judged([_visible(source)], "html")


def _visible(source: str) -> str:
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(source)
    tree.strip_tags(_HIDDEN)
    for node in tree.css(",".join(_BLOCKS.split())):
        node.insert_before(_LINE)
        node.insert_after(_LINE)
    for node in tree.css("td,th"):
        node.insert_after(_CELL)
    text = tree.root.text(separator="") if tree.root else ""
    lines = re.sub(r"[ \t\r\n\f]+", " ", text).replace(_CELL, "\t").split(_LINE)
    return "\n".join(line.strip() for line in lines if line.strip())


def read_docx(path: Path, options: Options) -> Parsed:
    """Read a DOCX: headers, body with tables and text boxes, notes, comments, footers; deleted text is left out."""
    with path.open("rb") as file:
        if file.read(len(_OLE)) == _OLE:
            return _ole(path)
    with ZipFile(path) as archive:
        found = filter(None, map(_PART.fullmatch, archive.namelist()))
        names = {match[0]: match[1] for match in sorted(found, key=lambda match: (_PARTS.index(match[1]), match[0]))}
        if "document" not in names.values():
            return Parsed("unreadable", "it holds no word/document.xml (not a Word document?)")
        texts = [_part(archive, name) for name in names]
    return judged(["\n".join(dict.fromkeys(filter(None, texts)))], "docx")  # first-page and other headers repeat


def _ole(path: Path) -> Parsed:
    if _ENCRYPTED_PACKAGE in path.read_bytes():
        return Parsed("encrypted", "it opens only with a password", "docx")
    return Parsed("unreadable", "an OLE container, not a DOCX (an old DOC under a new name?)")


def _part(archive: ZipFile, name: str) -> str:
    size = archive.getinfo(name).file_size
    if size > _LARGEST:
        raise ValueError(f"{name} would unpack to {size:,} bytes, more than {_LARGEST:,}")
    with archive.open(name) as file:
        lines = "".join(_runs(file)).split("\n")
    return "\n".join(line.strip() for line in lines if line.strip())


def _runs(file: object) -> Iterator[str]:
    """Yield the pieces of text of one part, line ends and tabs among them."""
    unread = 0
    for event, element in ElementTree.iterparse(file, events=("start", "end")):
        name = element.tag.rpartition("}")[2]
        if name in _UNREAD:
            unread += 1 if event == "start" else -1
        elif unread:
            continue
        elif name == "t" and event == "end":
            yield element.text or ""
        elif name in _BREAKS and (event == "start" or name == "p"):
            yield _BREAKS[name]
        if event == "end" and name == "p":
            element.clear()
