"""The documents that `damage.py` damages: small, made here, and of as many makers and kinds as the parsers tell apart.

Unusual: two of the PDFs are written by hand, as neither library at hand writes compressed objects or a second table of
places, and these are where parsers follow numbers of the file to other places in it. Same bytes need the same releases
of reportlab, pypdf and zlib.
"""

import io
import re
import struct
import zlib
from collections.abc import Callable
from functools import cache
from unittest import mock
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import pypdf
from PIL import Image
from reportlab import rl_config
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

LINES = ["a skilled manager of people and projects", "the quality of a service depends on care", "Größe 12.5 and 7/8"]


@cache
def originals() -> dict[str, bytes]:
    """Return the undamaged documents by name: PDFs of several makers and kinds, DOCX and HTML."""
    pdfmetrics.registerFont(TTFont("Vera", "Vera.ttf"))
    pdfmetrics.registerFont(UnicodeCIDFont("HeiseiMin-W3"))
    with mock.patch.object(rl_config, "useA85", 0):
        plain, fonts = _drawn(_text, compress=0), _drawn(_fonts)
        pdfs = {
            "plain": plain,
            "fonts": fonts,
            "marks": _drawn(_marks, compress=0),
            "glued": _drawn(_glued),
            "scan": _drawn(_scan),
            "many": _drawn(*[_text] * 30),
            "locked": _drawn(_text, lock=StandardEncryption("secret", "owner")),
            "unlocked": _drawn(_fonts, lock=StandardEncryption("", "owner", strength=128)),
        }
    pdfs |= {"ascii": _drawn(_text), "rewritten": _rewritten(fonts), "revised": _revised(plain), "packed": _packed()}
    docs = {"stored": _docx(ZIP_STORED), "deflated": _docx(ZIP_DEFLATED)}
    pages = {"utf8": _html("utf-8"), "latin": _html("iso-8859-1"), "wide": _html("utf-16")}
    groups = ((pdfs, ".pdf"), (docs, ".docx"), (pages, ".html"))
    return {name + suffix: data for group, suffix in groups for name, data in group.items()}


def _drawn(*pages: Callable[[Canvas], object], compress: int = 1, lock: StandardEncryption | None = None) -> bytes:
    canvas = Canvas(buffer := io.BytesIO(), invariant=True, pageCompression=compress, encrypt=lock)
    for page in pages:
        page(canvas)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def _text(canvas: Canvas) -> None:
    for row in range(20):
        canvas.drawString(50, 780 - 14 * row, f"{LINES[row % 3]} {row}")


def _fonts(canvas: Canvas) -> None:
    for row, font in enumerate(["Vera", "HeiseiMin-W3", "Times-Italic", "Courier-Bold", "Symbol", "ZapfDingbats"]):
        canvas.setFont(font, 8 + row)
        canvas.drawString(50, 780 - 30 * row, "中文 text" if font.startswith("Heisei") else LINES[row % 3])


def _marks(canvas: Canvas) -> None:
    """Draw what hangs on other objects: a bookmark, a link, a form field, a drawing used twice."""
    canvas.beginForm("twice")
    canvas.drawString(50, 500, LINES[0])
    canvas.endForm()
    canvas.doForm("twice")
    canvas.bookmarkPage("here")
    canvas.addOutlineEntry("Here", "here")
    canvas.linkURL("https://example.org", (50, 50, 90, 90))
    canvas.acroForm.textfield(name="field", value="typed", x=50, y=600)
    canvas.rotate(90)
    canvas.doForm("twice")


def _glued(canvas: Canvas) -> None:
    """Place each glyph by itself and draw no spaces, as some tools do."""
    canvas.setFont("Times-Roman", 10)
    for row in range(30):
        x = 50.0
        for char in LINES[row % 2]:
            if char != " ":
                canvas.drawString(x, 780 - 14 * row, char)
            x += 1.5 if char == " " else pdfmetrics.stringWidth(char, "Times-Roman", 10) - 0.3


def _scan(canvas: Canvas) -> None:
    picture = Image.frombytes("L", (64, 64), bytes(7 * place % 256 for place in range(64 * 64)))
    canvas.drawImage(ImageReader(picture), 0, 0, 500, 700)


def _rewritten(pdf: bytes) -> bytes:
    """Return a PDF as pypdf writes it."""
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf))
    for page in writer.pages:
        page.compress_content_streams()
    writer.write(buffer := io.BytesIO())
    return buffer.getvalue()


def _revised(pdf: bytes) -> bytes:
    """Return a PDF with a second table of places, which names the first."""
    trailer, start = re.search(rb"trailer\s*<<(.*?)>>\s*startxref\s*(\d+)", pdf, re.DOTALL).groups()
    table = b"xref\n0 1\n0000000000 65535 f \ntrailer\n<<%b/Prev %b>>\nstartxref\n%d\n%%%%EOF\n"
    return pdf + table % (trailer, start, len(pdf))


def _packed() -> bytes:
    """Return a PDF whose objects and table of places lie in compressed streams."""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 5 0 R/Resources<</Font<</F 4 0 R>>>>>>",
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    starts = [sum(map(len, objects[:index])) for index in range(len(objects))]
    index = b" ".join(b"%d %d" % (number, start) for number, start in enumerate(starts, 1))
    text = b"BT /F 12 Tf 50 700 Td (%b) Tj ET" % b") Tj 0 -14 Td (".join(line.encode("latin-1") for line in LINES)
    data = b"%PDF-1.5\n" + _stream(5, b"", text)
    rows = [(0, 0, 65535), *((2, 6, place) for place in range(4)), (1, 9, 0), (1, len(data), 0)]
    data += _stream(6, b"/Type/ObjStm/N 4/First %d" % (len(index) + 1), index + b" " + b"".join(objects))
    table = b"".join(struct.pack(">BIH", *row) for row in [*rows, (1, len(data), 0)])
    head = b"/Type/XRef/Size 8/W[1 4 2]/Root 1 0 R"
    return data + _stream(7, head, table) + b"startxref\n%d\n%%%%EOF\n" % len(data)


def _stream(number: int, head: bytes, content: bytes) -> bytes:
    packed = zlib.compress(content)
    head = b"<<%b/Filter/FlateDecode/Length %d>>" % (head, len(packed))
    return b"%d 0 obj\n%b\nstream\n%b\nendstream\nendobj\n" % (number, head, packed)


def _docx(compression: int) -> bytes:
    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    lines = "".join(f"<w:p><w:r><w:t>{line}</w:t><w:tab/></w:r></w:p>" for line in LINES * 10)
    cells = f"<w:tbl><w:tr><w:tc>{lines}</w:tc></w:tr></w:tbl>"
    inner = {"document": lines + cells, "header1": lines, "footnotes": "<w:p/>", "styles": ""}
    parts = {f"word/{name}.xml": f"<w:root {space}>{text}</w:root>".encode() for name, text in inner.items()}
    return zipped({"[Content_Types].xml": b"<Types/>", **parts}, compression)


def zipped(parts: dict[str, bytes], compression: int) -> bytes:
    """Return a zip archive of named parts that holds no dates and no name of a system."""
    with ZipFile(buffer := io.BytesIO(), "w") as archive:
        for name, data in parts.items():
            entry = ZipInfo(name)  # dated 1980
            entry.compress_type, entry.create_system = compression, 3
            archive.writestr(entry, data)
    return buffer.getvalue()


def _html(encoding: str) -> bytes:
    rows = "".join(f"<tr><td>{line}<td>{index}</tr>" for index, line in enumerate(LINES * 5))
    head = f'<!DOCTYPE html><html><head><meta charset="{encoding}"><title>A title</title><style>p {{}}</style></head>'
    page = (
        f"{head}<body><h1>{LINES[0]}</h1><p>{'<b>bo</b>ld &amp; '.join(LINES)}</p><table>{rows}</table></body></html>"
    )
    return page.encode(encoding)
