"""Every PDF is made here; what is odd in it stands in the name of its test."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pypdf
import pypdfium2
import pytest
from handmade import LINES, drawn, tight, write
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas

from nbpipe.preprocess import pdf
from nbpipe.preprocess.parsers import parse

SENTENCE = "plain words on a page"


@pytest.fixture
def draw(tmp_path: Path) -> Callable[..., Path]:
    """Make a PDF with a page for each function, which gets the canvas."""
    return partial(drawn, tmp_path / "made.pdf")


def plain(canvas: Canvas) -> None:
    canvas.drawString(50, 700, SENTENCE)


def blank(canvas: Canvas) -> None:
    canvas.rect(50, 50, 10, 10)


def raw_text(path: Path) -> str:
    with pypdfium2.PdfDocument(path) as document:
        return document[0].get_textpage().get_text_range()


def test_words_that_pdfium_glues_are_parted(draw: Callable[..., Path]) -> None:
    path = draw(tight)
    assert "managerofpeople" in raw_text(path)
    parsed = parse(path)
    assert parsed.parser == "pdfium+gaps"
    assert parsed.pages[0].splitlines() == LINES * 10


def test_pages_before_and_after_the_verdict_are_all_parted(draw: Callable[..., Path]) -> None:
    parsed = parse(draw(lambda canvas: canvas.drawString(50, 700, "Cover"), tight, tight, tight))
    assert [page.splitlines() for page in parsed.pages] == [["Cover"], *[LINES * 10] * 3]


def test_spaces_find_their_place_where_pdfium_leaves_characters_out(tmp_path: Path) -> None:
    """Code 0 has no meaning: pdfium counts it as a character but leaves it out of the text."""
    shown = []
    for row in range(30):
        x = 50.0
        for char in "in the end":
            if char != " ":
                code = b"%02x00" % ord(char) if char == "i" else b"%02x" % ord(char)
                shown.append(b"1 0 0 1 %.2f %d Tm <%b> Tj" % (x, 780 - 14 * row, code))
                x += stringWidth(char, "Helvetica", 10) - 0.3
            else:
                x += 1.5
    path = write(tmp_path / "made.pdf", b"BT /F 10 Tf %b ET" % b" ".join(shown), b"<00> <0000>\n")
    assert "inthe" in raw_text(path)
    assert parse(path).pages[0].splitlines() == ["in the end"] * 30


def test_ordinary_text_is_taken_as_it_is(draw: Callable[..., Path]) -> None:
    parsed = parse(draw(plain))
    assert (parsed.status, parsed.reason, parsed.parser) == ("ok", "", "pdfium")
    assert parsed.pages == [SENTENCE]


def test_blank_pages_are_kept_in_their_place(draw: Callable[..., Path]) -> None:
    assert parse(draw(plain, blank, plain)).pages == [SENTENCE, "", SENTENCE]


def test_pages_without_text_are_empty_and_counted(draw: Callable[..., Path]) -> None:
    parsed = parse(draw(blank, blank))
    assert (parsed.status, parsed.pages) == ("empty", ["", ""])
    assert parsed.reason == "2 pages without a text layer (a scan?)"


def test_an_empty_password_opens(draw: Callable[..., Path]) -> None:
    parsed = parse(draw(plain, encrypt=StandardEncryption("", ownerPassword="owner")))
    assert (parsed.status, parsed.pages) == ("ok", [SENTENCE])


def test_a_password_is_said(draw: Callable[..., Path]) -> None:
    parsed = parse(draw(plain, encrypt=StandardEncryption("secret", ownerPassword="owner")))
    assert (parsed.status, parsed.parser, list(parsed.pages)) == ("encrypted", "pdfium", [])
    assert "password" in parsed.reason


def test_an_unknown_encryption_is_encrypted(tmp_path: Path) -> None:
    path = write(tmp_path / "made.pdf", b"", root=b"1 0 R/Encrypt<</Filter/Foreign/V 4>>/ID[<00><00>]")
    assert parse(path).status == "encrypted"


def test_a_truncated_file_is_unreadable_by_both_parsers(draw: Callable[..., Path]) -> None:
    path = draw(plain)
    path.write_bytes(path.read_bytes()[:60])
    parsed = parse(path)
    assert parsed.status == "unreadable"
    assert "pdfium: " in parsed.reason
    assert "pypdf: " in parsed.reason
    assert str(path.parent) not in parsed.reason


def test_pypdf_reads_what_pdfium_cannot_open(tmp_path: Path) -> None:
    """The trailer names the page tree as the root; pypdf looks for the catalogue itself."""
    parsed = parse(write(tmp_path / "made.pdf", b"BT /F 12 Tf 50 700 Td (recovered words) Tj ET", root=b"2 0 R"))
    assert (parsed.status, parsed.parser) == ("ok", "pypdf")
    assert "recovered words" in parsed.pages[0]


def test_pages_without_text_that_pypdf_reads_all_count_as_scans(tmp_path: Path) -> None:
    parsed = parse(write(tmp_path / "made.pdf", b"", root=b"2 0 R"))
    assert (parsed.status, parsed.parser, parsed.scanned) == ("empty", "pypdf", [1])
    assert parsed.reason == "1 page without a text layer (scanned or blank: they cannot be drawn)"


def test_a_page_whose_characters_have_no_meaning_counts_as_a_scan(tmp_path: Path) -> None:
    parsed = parse(write(tmp_path / "made.pdf", b"BT /F 12 Tf 50 700 Td (aa) Tj ET", b"<61> <D800>\n"))
    assert (parsed.status, parsed.pages, parsed.scanned) == ("empty", ["\ufffd\ufffd"], [1])


@pytest.mark.parametrize("error", [AssertionError, RecursionError, NotImplementedError("a filter"), KeyError("/Root")])
def test_whatever_pypdf_raises_is_a_reason(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: object) -> None:
        raise error

    monkeypatch.setattr(pypdf, "PdfReader", refuse)
    (tmp_path / "made.pdf").write_bytes(b"%PDF-1.4 nothing more")
    parsed = parse(tmp_path / "made.pdf")
    assert parsed.status == "unreadable"
    assert (error if isinstance(error, type) else type(error)).__name__ in parsed.reason


def test_a_page_that_fails_alone_is_named(tmp_path: Path) -> None:
    content = b"BT /F 12 Tf 50 700 Td (still here) Tj ET"
    parsed = parse(write(tmp_path / "made.pdf", content, kids=b"3 0 R 9 0 R"))
    assert (parsed.status, parsed.pages, parsed.scanned) == ("ok", ["still here", ""], ())
    assert parsed.reason == "1 of 2 pages could not be read: 2"


def test_text_set_upwards_keeps_its_words(draw: Callable[..., Path]) -> None:
    def upwards(canvas: Canvas) -> None:
        canvas.rotate(90)
        canvas.drawString(50, -300, SENTENCE)

    assert parse(draw(upwards)).pages[0].split() == SENTENCE.split()


def test_hebrew_is_read_in_reading_order(tmp_path: Path) -> None:
    """The page shows the last letter first, as such pages do."""
    maps = b"<61> <05E9>\n<62> <05DC>\n<63> <05D5>\n<64> <05DD>\n"
    parsed = parse(write(tmp_path / "made.pdf", b"BT /F 12 Tf 50 700 Td (dcba) Tj ET", maps))
    assert parsed.pages == ["שלום"]


def test_a_lone_surrogate_leaves_valid_text(tmp_path: Path) -> None:
    maps = b"<61> <D835DC00>\n<62> <D800>\n"
    parsed = parse(write(tmp_path / "made.pdf", b"BT /F 12 Tf 50 700 Td (xaybz) Tj ET", maps))
    assert parsed.pages == ["x\U0001d400y\ufffdz"]


def test_a_hyphen_at_a_line_end_stays_with_its_line(draw: Callable[..., Path]) -> None:
    def broken(canvas: Canvas) -> None:
        canvas.drawString(50, 700, "a commu-")
        canvas.drawString(50, 686, "nication line")

    assert parse(draw(broken)).pages == ["a commu-\nnication line"]


def test_memory_errors_are_left_to_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def texts(*given: object) -> Iterator[str]:
        raise MemoryError

    monkeypatch.setattr(pdf, "_texts", texts)
    with pytest.raises(MemoryError):
        parse(write(tmp_path / "made.pdf", b""))


def test_the_same_file_gives_the_same_words_in_any_folder(draw: Callable[..., Path], tmp_path: Path) -> None:
    path = draw(tight, plain)
    elsewhere = tmp_path / "other" / "made.pdf"
    elsewhere.parent.mkdir()
    for data in (path.read_bytes(), path.read_bytes()[:200], b"%PDF-1.4"):
        path.write_bytes(data)
        elsewhere.write_bytes(data)
        assert parse(path) == parse(elsewhere)
