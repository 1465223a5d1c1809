"""Copies of PDFs with notes: highlights on words, each with a comment that any viewer shows.

Unusual: the original is only read, and the copy is read again before it is given away, by the parser that read the
original: pages that are marked must hold the same text and all their notes. Each highlight brings its own drawing, so
it looks the same in every viewer, and a dashed frame tells signs apart in print. The copy of a locked PDF is locked,
and what a PDF does by itself when it is opened is left out.
"""

import io
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pypdfium2
from pypdfium2 import raw

from nbpipe.preprocess.options import Options
from nbpipe.preprocess.parsed import Parsed, cause
from nbpipe.preprocess.passwords import locked
from nbpipe.preprocess.pdf import open_pdf
from nbpipe.preprocess.places import ask
from nbpipe.preprocess.traced import Rect

if TYPE_CHECKING:  # slow to load, needed in the sandbox alone
    from pypdf import PdfReader, PdfWriter
    from pypdf.annotations import Highlight
    from pypdf.generic import DictionaryObject, StreamObject

_AUTHOR = "nbpipe"
_LINE = 0.7  # points
_FAINT, _DEEP = 0.15, 0.45  # opacity of the weakest and, on top of it, the strongest note


class Note(NamedTuple):
    """What to highlight on a page (0-based), and how; colour: shares of red, green and blue; strength: 0 to 1."""

    page: int
    boxes: Sequence[Rect]
    comment: str
    colour: tuple[float, float, float]
    strength: float
    dashed: bool = False


class Noted(NamedTuple):
    """A PDF, the SHA-256 that it is known by, and its notes."""

    path: Path
    sha256: str
    notes: Sequence[Note]


@dataclass(frozen=True)
class Copy(Parsed):
    """A copy of a PDF with notes."""

    data: bytes = b""


def annotate(noted: Sequence[Noted], options: Options, workers: int = 1) -> Iterator[tuple[int, Copy | Parsed]]:
    """Yield which PDF it is and its copy with notes, as they come; a plain Parsed holds the reason why there is none.

    options: how the documents were read. Raises WorkError where no process can be started.
    """
    return ask(noted, _attempt, options, workers)


def _attempt(noted: Mapping[Path, Noted], path: Path, options: Options) -> Parsed:
    """Make the copy of one document; runs in the sandbox."""
    notes = noted[path].notes
    try:
        opened = open_pdf(path, options)
        if opened is None:
            return Parsed("encrypted", locked(options.passwords))
        with opened.document as document:
            data = _copy(path, opened.password, notes)
            with pypdfium2.PdfDocument(data, password=opened.password) as copy:
                wrong = _difference(document, copy, notes)
    except MemoryError:
        raise
    except Exception as error:  # pypdf raises ten kinds of exception on broken files
        wrong = cause(error, path)
    return Parsed("unreadable", f"no copy can be made of it ({wrong})") if wrong else Copy("ok", data=data)


def _copy(path: Path, password: str, notes: Sequence[Note]) -> bytes:
    from pypdf import PdfReader, PdfWriter

    with path.open("rb") as file:
        reader = PdfReader(file, password=password if password else None)
        _disarm(reader)
        writer = PdfWriter(clone_from=reader)
        for note in notes:
            writer.add_annotation(note.page, _highlight(writer, note))
        if reader.is_encrypted:
            allowed = reader.user_access_permissions
            writer.encrypt(password, secrets.token_urlsafe(), permissions_flag=allowed, algorithm="AES-256")
        buffer = io.BytesIO()
        writer.write(buffer)
    return buffer.getvalue()


def _disarm(reader: "PdfReader") -> None:
    """Drop what a viewer would do by itself when it opens a copy or shows its pages, and files that are attached."""
    root = reader.root_object
    for holder in (root, *_shown(reader)):
        for name in ("/OpenAction", "/AA", "/XFA"):
            holder.pop(name, None)
    if "/Names" in root:
        for name in ("/JavaScript", "/EmbeddedFiles"):
            root["/Names"].pop(name, None)


def _shown(reader: "PdfReader") -> Iterator["DictionaryObject"]:
    """Yield the form, the pages with the groups that they stand in, and their annotations."""
    if "/AcroForm" in reader.root_object:
        yield reader.root_object["/AcroForm"]
    for page in reader.pages:
        if "/Annots" in page:
            yield from (note.get_object() for note in page["/Annots"])
        reference = page.indirect_reference
        while reference is not None:
            yield (holder := reference.get_object())
            reference = holder.get("/Parent")


def _highlight(writer: "PdfWriter", note: Note) -> "Highlight":
    """Return a highlight annotation with its own drawing."""
    from pypdf.annotations import Highlight
    from pypdf.generic import ArrayObject, DictionaryObject, FloatObject, NameObject, TextStringObject

    lefts, bottoms, rights, tops = zip(*note.boxes, strict=True)
    around = (min(lefts) - _LINE, min(bottoms) - _LINE, max(rights) + _LINE, max(tops) + _LINE)
    corners = (side for x, y, right, top in note.boxes for side in (x, top, right, top, x, y, right, y))
    colour = "".join(f"{round(255 * part):02x}" for part in note.colour)
    quads = ArrayObject(map(FloatObject, corners))
    highlight = Highlight(rect=around, quad_points=quads, highlight_color=colour, printing=True)
    drawing = writer._add_object(_drawing(note, around))
    highlight[NameObject("/AP")] = DictionaryObject({NameObject("/N"): drawing})
    highlight[NameObject("/CA")] = FloatObject(_opacity(note))
    highlight[NameObject("/Contents")] = TextStringObject(note.comment)
    highlight[NameObject("/T")] = TextStringObject(_AUTHOR)
    return highlight


def _drawing(note: Note, around: Rect) -> "StreamObject":
    """Return what a viewer draws for a note: tinted boxes in a frame, under which the text stays black."""
    from pypdf.generic import ArrayObject, DecodedStreamObject, DictionaryObject, FloatObject, NameObject

    red, green, blue = (f"{part:.3f}" for part in note.colour)
    dashes = "[2 1.5]" if note.dashed else "[]"
    boxes = "\n".join(f"{x:.2f} {y:.2f} {right - x:.2f} {top - y:.2f} re B" for x, y, right, top in note.boxes)
    look = f"/G gs {red} {green} {blue} rg {red} {green} {blue} RG {_LINE} w {dashes} 0 d\n{boxes}"
    blend = {"/BM": NameObject("/Multiply"), "/ca": FloatObject(_opacity(note)), "/CA": FloatObject(0.9)}
    state = DictionaryObject({NameObject(name): value for name, value in blend.items()})
    states = DictionaryObject({NameObject("/G"): state})
    stream = DecodedStreamObject()
    stream.set_data(look.encode())
    stream[NameObject("/Type")], stream[NameObject("/Subtype")] = NameObject("/XObject"), NameObject("/Form")
    stream[NameObject("/BBox")] = ArrayObject(map(FloatObject, around))
    stream[NameObject("/Resources")] = DictionaryObject({NameObject("/ExtGState"): states})
    return stream


def _opacity(note: Note) -> float:
    return round(_FAINT + _DEEP * note.strength, 3)


def _difference(one: pypdfium2.PdfDocument, copy: pypdfium2.PdfDocument, notes: Sequence[Note]) -> str:
    """Say what is wrong with a copy, "" where its marked pages hold the original's text and all notes."""
    if len(one) != len(copy):
        return f"it comes out with {len(copy):,} of {len(one):,} pages"
    for number in sorted({note.page for note in notes}):
        texts, counts = zip(*(_content(document, number) for document in (one, copy)), strict=True)
        if texts[0] != texts[1] or counts[1] != counts[0] + sum(note.page == number for note in notes):
            return f"page {number + 1} comes out otherwise"
    return ""


def _content(document: pypdfium2.PdfDocument, number: int) -> tuple[str, int]:
    """Return the text of a page and the number of its notes."""
    with closing(document[number]) as page, closing(page.get_textpage()) as text:
        return text.get_text_range(), raw.FPDFPage_GetAnnotCount(page)
