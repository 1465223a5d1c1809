"""PDFs made by hand for tests: by drawing on a canvas, or byte by byte where a canvas would not be odd enough."""

from collections.abc import Callable
from pathlib import Path

from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas

LINES = [
    "a skilled manager of people and projects is able to work under pressure",
    "the quality of a service depends on the care of all who take part in it",
    "responsible for planning training and support of staff in three offices",
]


def drawn(path: Path, *pages: Callable[[Canvas], object], **options: object) -> Path:
    """Make a PDF with a page for each function, which gets the canvas."""
    canvas = Canvas(str(path), invariant=True, **options)
    for page in pages:
        page(canvas)
        canvas.showPage()
    canvas.save()
    return path


def tight(canvas: Canvas) -> None:
    """Place each glyph by itself, without space characters and with little room between words, as some tools do."""
    canvas.setFont("Times-Roman", 10)
    for row, line in enumerate(LINES * 10):
        x = 50.0
        for char in line:
            if char != " ":
                canvas.drawString(x, 780 - 14 * row, char)
                x += stringWidth(char, "Times-Roman", 10) - 0.3
            else:
                x += 1.5


def write(path: Path, content: bytes, maps: bytes = b"", kids: bytes = b"3 0 R", root: bytes = b"1 0 R") -> Path:
    """Write a PDF by hand: one page of Helvetica whose codes mean what `maps` (bfchar lines) says."""
    cmap = b"begincmap 1 begincodespacerange <00> <ff> endcodespacerange %d beginbfchar %b endbfchar endcmap" % (
        maps.count(b"\n"),
        maps,
    )
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[%b]/Count %d>>" % (kids, kids.count(b"R")),
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%b\nendstream" % (len(content), content),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica%b>>" % (b"/ToUnicode 6 0 R" if maps else b""),
        b"<</Length %d>>stream\n%b\nendstream" % (len(cmap), cmap),
    ]
    data, offsets = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    tail = b"xref\n0 7\n0000000000 65535 f \n%btrailer <</Size 7/Root %b>>\nstartxref\n%d\n%%%%EOF\n"
    path.write_bytes(data + tail % (table, root, len(data)))
    return path
