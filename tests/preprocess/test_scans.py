"""Every scan is made here: words are drawn, the page is photographed, and the picture becomes a page."""

import io
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pypdfium2
import pytest
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from nbpipe.preprocess import scans
from nbpipe.preprocess.options import Options
from nbpipe.preprocess.parsers import parse

A4 = (595, 842)
OCR = Options(ocr="auto")
WORDS = ["The quick brown fox jumps", "over the lazy dog"]
SENTENCE = "plain words on a page"
needs_tesseract = pytest.mark.skipif(not shutil.which("tesseract"), reason="Tesseract is not installed")

Draw = Callable[[Canvas], object]


@pytest.fixture
def draw(tmp_path: Path) -> Callable[..., Path]:
    """Make a PDF with a page for each function, which gets the canvas."""

    def drawn(*pages: Draw, size: tuple[float, float] = A4) -> Path:
        (tmp_path / "made.pdf").write_bytes(made(pages, size))
        return tmp_path / "made.pdf"

    return drawn


def made(pages: tuple[Draw, ...], size: tuple[float, float]) -> bytes:
    canvas = Canvas(buffer := io.BytesIO(), size, invariant=True)
    for page in pages:
        page(canvas)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def photo(*pages: Draw) -> io.BytesIO:
    """Return the first page as a PNG picture."""
    with closing(pypdfium2.PdfDocument(made(pages, A4))) as document:
        document[0].render(scale=2, grayscale=True).to_pil().save(buffer := io.BytesIO(), "PNG")
    return buffer


def plain(canvas: Canvas) -> None:
    canvas.drawString(50, 700, SENTENCE)


def words(canvas: Canvas) -> None:
    canvas.setFont("Times-Roman", 20)
    for row, line in enumerate(WORDS):
        canvas.drawString(60, 700 - 30 * row, line)


def scan(canvas: Canvas) -> None:
    canvas.drawImage(ImageReader(photo(words)), 0, 0, *A4)


def nothing(canvas: Canvas) -> None:
    pass


def white(canvas: Canvas) -> None:
    canvas.setFillGray(1)
    canvas.rect(0, 0, 300, 300, stroke=0, fill=1)


def white_scan(canvas: Canvas) -> None:
    canvas.drawImage(ImageReader(photo(nothing)), 0, 0, *A4)


def form(canvas: Canvas) -> None:
    canvas.acroForm.textfield(value=WORDS[0], x=60, y=600, width=400, height=40, fontSize=20, borderWidth=0)


def dot(canvas: Canvas) -> None:
    canvas.rect(300, 300, 1, 1, fill=1)


# What a page without text shows


@pytest.mark.parametrize("page", [scan, form, dot])
def test_a_page_that_shows_something_is_a_scan(draw: Callable[..., Path], page: Draw) -> None:
    parsed = parse(draw(page))
    assert (parsed.status, parsed.scanned, parsed.ocr) == ("empty", [1], [])
    assert parsed.reason == "1 page without a text layer (a scan?)"


@pytest.mark.parametrize("page", [nothing, white, white_scan])
def test_a_page_of_one_colour_is_blank(draw: Callable[..., Path], page: Draw) -> None:
    parsed = parse(draw(page, page))
    assert (parsed.status, parsed.scanned, parsed.reason) == ("empty", [], "2 blank pages")


def test_a_small_page_is_looked_at_closely(draw: Callable[..., Path]) -> None:
    parsed = parse(draw(lambda canvas: canvas.rect(2, 2, 0.1, 0.1, stroke=0, fill=1), size=(5, 5)))
    assert parsed.scanned == [1]


def test_scans_and_blank_pages_are_counted_apart(draw: Callable[..., Path]) -> None:
    parsed = parse(draw(nothing, scan, scan, white))
    assert parsed.scanned == [2, 3]
    assert parsed.reason == "2 pages without a text layer (a scan?); 2 blank pages"


def test_scans_among_text_are_noted_and_blank_pages_are_not(draw: Callable[..., Path]) -> None:
    parsed = parse(draw(plain, scan, nothing))
    assert (parsed.status, parsed.scanned, parsed.pages) == ("ok", [2], [SENTENCE, "", ""])
    assert parsed.reason == "1 of 3 pages without a text layer"


def test_pages_with_text_are_not_drawn(draw: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "_draw", lambda *given: pytest.fail("drawn"))
    assert parse(draw(plain, nothing, plain), OCR).status == "ok"


def test_a_page_that_cannot_be_drawn_counts_as_a_scan(
    draw: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise MemoryError

    monkeypatch.setattr(scans, "_draw", fail)
    assert parse(draw(white)).scanned == [1]


def test_only_the_first_pages_of_a_long_scan_are_looked_at(
    draw: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scans, "_GLANCES", 2)
    path = draw(plain, white, white, white)
    assert parse(path).scanned == [4]
    assert parse(path, OCR).scanned == []


# What Tesseract reads, by a line of shell in its place


def test_what_is_read_on_a_scan_becomes_its_text(draw: Callable[..., Path], fake: Callable[[str], Path]) -> None:
    fake("printf 'ﬁnd\\r\\nwords\\n\\f'")
    parsed = parse(draw(plain, scan, nothing), OCR)
    assert (parsed.status, parsed.parser, parsed.pages) == ("ok", "pdfium+ocr", [SENTENCE, "find\nwords", ""])
    assert (parsed.scanned, parsed.ocr, parsed.reason) == ([2], [2], "1 of 3 pages read by OCR")


def test_a_document_of_scans_becomes_text(draw: Callable[..., Path], fake: Callable[[str], Path]) -> None:
    fake("echo words")
    parsed = parse(draw(scan), OCR)
    assert (parsed.status, parsed.pages, parsed.reason) == ("ok", ["words"], "1 of 1 page read by OCR")


def test_scans_are_not_read_unless_asked(draw: Callable[..., Path], fake: Callable[[str], Path]) -> None:
    fake("echo words")
    assert parse(draw(scan)).status == "empty"


def test_pages_are_drawn_in_print_quality(draw: Callable[..., Path], fake: Callable[[str], Path]) -> None:
    """The lines of the drawing are 413 pixels wide, which is no multiple of four."""
    folder = fake('cat > "${0%/*}/picture"')
    parse(draw(lambda canvas: canvas.rect(9, 9, 9, 9), size=(99, 360)), OCR)
    head, _, grey = (folder / "picture").read_bytes().partition(b"\n")
    assert (head, len(grey)) == (b"P5 413 1500 255", 413 * 1500)


def test_a_huge_page_is_drawn_in_fewer_dots(draw: Callable[..., Path], fake: Callable[[str], Path]) -> None:
    folder = fake('cat > "${0%/*}/picture"')
    parse(draw(lambda canvas: canvas.rect(0, 0, 5000, 5000, fill=1), size=(14_000, 7000)), OCR)
    assert 24_900_000 < (folder / "picture").stat().st_size < 25_100_000


def test_a_scan_without_words_stays_a_scan(draw: Callable[..., Path], fake: Callable[[str], Path]) -> None:
    fake("printf ' \\n\\f'")
    parsed = parse(draw(scan, nothing), OCR)
    assert (parsed.status, parsed.scanned, parsed.ocr) == ("empty", [1], [])
    assert parsed.reason == "1 page without a text layer (a scan?); 1 blank page; OCR found no text on 1 page"


def test_a_page_that_tesseract_fails_on_stays_a_scan(draw: Callable[..., Path], fake: Callable[[str], Path]) -> None:
    """The program fails on every page after the first."""
    fake('cd "${0%/*}"; mkdir begun 2>/dev/null || exit 3; echo words')
    parsed = parse(draw(scan, scan, scan), OCR)
    assert (parsed.status, parsed.pages, parsed.ocr) == ("ok", ["words", "", ""], [1])
    assert parsed.reason == (
        "1 of 3 pages read by OCR; 2 of 3 pages without a text layer; OCR failed on 2 pages: 2, 3 (exit code 3)"
    )


def test_want_of_memory_is_noted(
    draw: Callable[..., Path], fake: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise MemoryError

    fake("echo words")
    monkeypatch.setattr(scans, "_draw", fail)
    parsed = parse(draw(plain, scan), OCR)
    assert (parsed.status, parsed.scanned, parsed.ocr) == ("ok", [2], [])
    assert parsed.reason.endswith("OCR failed on 1 page: 2 (MemoryError)")


@pytest.mark.usefixtures("no_tesseract")
def test_without_tesseract_the_reason_says_how_to_get_it(draw: Callable[..., Path]) -> None:
    parsed = parse(draw(scan), OCR)
    assert (parsed.status, parsed.scanned) == ("empty", [1])
    assert parsed.reason == (
        "1 page without a text layer (a scan?); Tesseract is not installed: "
        "apt-get install tesseract-ocr, or conda install -c conda-forge tesseract"
    )


@pytest.mark.usefixtures("no_tesseract")
def test_without_scans_nobody_misses_tesseract(draw: Callable[..., Path]) -> None:
    assert parse(draw(plain, nothing), OCR).reason == ""
    assert parse(draw(nothing), OCR).reason == "1 blank page"


def test_a_missing_language_is_named_with_its_package(draw: Callable[..., Path], fake: Callable[[str], Path]) -> None:
    fake("echo words")
    parsed = parse(draw(scan), Options(ocr="auto", ocr_languages="eng+deu"))
    assert parsed.status == "empty"
    assert parsed.reason.endswith("Tesseract lacks the language deu: apt-get install tesseract-ocr-deu")


@needs_tesseract
def test_tesseract_finds_the_words(draw: Callable[..., Path]) -> None:
    parsed = parse(draw(scan, plain), OCR)
    assert [page.split() for page in parsed.pages] == [" ".join(WORDS).split(), SENTENCE.split()]
    assert (parsed.status, parsed.scanned, parsed.ocr) == ("ok", [1], [1])


@needs_tesseract
def test_what_is_filled_into_a_form_is_read(draw: Callable[..., Path]) -> None:
    assert parse(draw(form), OCR).pages == [WORDS[0]]
