"""Copies with notes are looked at as any viewer would: pdfium draws them, pypdf reads their comments."""

import hashlib
from collections.abc import Sequence
from contextlib import closing
from io import BytesIO
from pathlib import Path

import pypdf
import pypdfium2
import pytest
from handmade import drawn, write
from PIL import Image, ImageChops, ImageStat
from pypdf.generic import ArrayObject, DictionaryObject, NameObject, TextStringObject
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

from nbpipe.preprocess import notes
from nbpipe.preprocess.notes import Copy, Note, Noted, annotate
from nbpipe.preprocess.options import Options
from nbpipe.preprocess.parsed import Parsed

OPTIONS = Options(timeout=20, memory=500_000_000)
BLUE, ORANGE = (0.0, 0.45, 0.7), (0.83, 0.37, 0.0)
BOX = (80.0, 697.0, 115.0, 712.0)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return tmp_path / "made.pdf"


def plain(canvas: Canvas) -> None:
    canvas.drawString(50, 700, "plain words on a page")


def note(page: int = 0, box: tuple[float, ...] = BOX, colour: tuple[float, ...] = BLUE, strength: float = 1.0) -> Note:
    return Note(page, [box], "words: +0.123 for cooking", colour, strength, colour == ORANGE)


def copied(path: Path, wanted: Sequence[Note], options: Options = OPTIONS) -> Parsed:
    ((_, copy),) = annotate([Noted(path, hashlib.sha256(path.read_bytes()).hexdigest(), wanted)], options)
    return copy


def picture(data: bytes | Path, number: int = 0, password: str | None = None) -> Image.Image:
    with pypdfium2.PdfDocument(data, password=password) as document, closing(document[number]) as page:
        return page.render().to_pil().convert("RGB")


def comments(data: bytes, number: int = 0) -> list[str]:
    return [note["/Contents"] for note in pypdf.PdfReader(BytesIO(data)).pages[number].get("/Annots", [])]


def test_a_highlight_is_seen_where_it_belongs_and_says_its_weight(made: Path) -> None:
    copy = copied(drawn(made, plain, plain), [note(1)])
    assert isinstance(copy, Copy)
    assert picture(copy.data, 0) == picture(made, 0)
    changed = ImageChops.difference(picture(copy.data, 1), picture(made, 1)).getbbox()
    height = picture(made).height
    assert changed == pytest.approx((BOX[0], height - BOX[3], BOX[2], height - BOX[1]), abs=2)
    assert (comments(copy.data, 0), comments(copy.data, 1)) == ([], ["words: +0.123 for cooking"])


def test_what_a_pdf_does_by_itself_is_not_copied(made: Path) -> None:
    writer = pypdf.PdfWriter(clone_from=drawn(made, plain))
    action = DictionaryObject({NameObject("/S"): NameObject("/JavaScript"), NameObject("/JS"): TextStringObject("x")})
    turned = DictionaryObject({NameObject("/O"): action})
    named = DictionaryObject({NameObject(name): action for name in ("/JavaScript", "/EmbeddedFiles")})
    form = DictionaryObject({NameObject("/XFA"): action})
    noted = DictionaryObject({NameObject("/Subtype"): NameObject("/Link"), NameObject("/AA"): turned})
    for holder, name, what in [
        (writer.root_object, "/OpenAction", action),
        (writer.root_object, "/AA", turned),
        (writer.root_object, "/Names", writer._add_object(named)),
        (writer.root_object, "/AcroForm", form),
        (writer.pages[0], "/AA", turned),
        (writer.pages[0], "/Annots", ArrayObject([writer._add_object(noted)])),
        (writer.pages[0]["/Parent"], "/AA", turned),
    ]:
        holder[NameObject(name)] = what
    writer.write(made)
    copy = copied(made, [note()])
    assert isinstance(copy, Copy)
    assert (b"JavaScript" in made.read_bytes(), b"JavaScript" in copy.data) == (True, False)


@pytest.mark.parametrize(("turned", "corner"), [(90, (1, 0)), (180, (1, 1)), (270, (0, 1))])
def test_a_turned_and_cropped_page_is_marked_in_the_same_corner(turned: int, corner: Sequence[int], made: Path) -> None:
    """The mark stands in the upper left quarter of what is seen before the page is turned."""

    def page(canvas: Canvas) -> None:
        canvas.setPageRotation(turned)

    path = drawn(made, page, pagesize=(600, 600), cropBox=(100, 100, 500, 500))
    copy = copied(path, [note(box=(150, 420, 200, 440))])
    seen = picture(copy.data)
    left, top, right, bottom = ImageChops.difference(seen, picture(path)).getbbox()
    assert ((left + right) // seen.width, (top + bottom) // seen.height) == corner


def test_what_speaks_against_is_dashed_and_what_is_weak_is_pale(made: Path) -> None:
    path = drawn(made, plain)
    strong, weak, against = (
        picture(copied(path, [one]).data).convert("L").crop((84, 128, 111, 146))
        for one in (note(), note(strength=0.1), note(colour=ORANGE))
    )
    line = (0, 1, strong.width, 3)
    dark, dashed = (seen.crop(line).getextrema() for seen in (strong, against))
    assert dashed[1] - dashed[0] > 2 * (dark[1] - dark[0])
    assert ImageStat.Stat(weak).mean[0] > ImageStat.Stat(strong).mean[0] + 20


def test_text_under_a_highlight_stays_black(made: Path) -> None:
    copy = copied(drawn(made, plain), [note()])
    inside = (int(BOX[0]) + 3, 132, int(BOX[2]) - 3, 142)
    assert picture(copy.data).convert("L").crop(inside).getextrema()[0] < 60


def test_a_word_over_two_lines_is_one_note(made: Path) -> None:
    two = note()._replace(boxes=[BOX, (50.0, 680.0, 90.0, 695.0)])
    copy = copied(drawn(made, plain), [two])
    (read,) = pypdf.PdfReader(BytesIO(copy.data)).pages[0]["/Annots"]
    assert len(read["/QuadPoints"]) == 16
    assert [float(side) for side in read["/Rect"]] == pytest.approx([49.3, 679.3, 115.7, 712.7])


def test_the_notes_of_others_are_kept_and_the_original_is_only_read(made: Path) -> None:
    first = copied(drawn(made, plain), [note()])
    made.write_bytes(first.data)
    before = made.stat()
    second = copied(made, [note(colour=ORANGE)])
    assert len(comments(second.data)) == 2
    assert (made.read_bytes(), made.stat().st_mtime_ns) == (first.data, before.st_mtime_ns)


def test_the_copy_of_a_locked_document_opens_with_the_same_password(made: Path, tmp_path: Path) -> None:
    drawn(made, plain, encrypt=StandardEncryption("secret", ownerPassword="owner", canCopy=0))
    (tmp_path / "passwords.txt").write_text("secret\n")
    copy = copied(made, [note()], Options(passwords=tmp_path / "passwords.txt"))
    with pytest.raises(pypdfium2.PdfiumError):
        picture(copy.data)
    assert picture(copy.data, password="secret") != picture(made, password="secret")
    reader = pypdf.PdfReader(BytesIO(copy.data), password="secret")
    assert not reader.user_access_permissions & pypdf.constants.UserAccessPermissions.EXTRACT


def test_without_its_password_there_is_no_copy(made: Path) -> None:
    copy = copied(drawn(made, plain, encrypt=StandardEncryption("secret", ownerPassword="owner")), [note()])
    assert (copy.status, "password" in copy.reason) == ("encrypted", True)


def test_a_document_that_anybody_may_open_but_not_change_keeps_that(made: Path) -> None:
    path = drawn(made, plain, encrypt=StandardEncryption("", ownerPassword="owner", canModify=0))
    copy = copied(path, [note()])
    reader = pypdf.PdfReader(BytesIO(copy.data))
    assert reader.is_encrypted
    assert not reader.user_access_permissions & pypdf.constants.UserAccessPermissions.MODIFY
    assert picture(copy.data) != picture(path)


def test_a_page_that_only_one_parser_has_gives_a_reason(made: Path) -> None:
    """pdfium counts a page that is not there; pypdf does not."""
    path = write(made, b"BT /F 12 Tf 50 700 Td (still here) Tj ET", kids=b"9 0 R 3 0 R")
    copy = copied(path, [note(1)])
    assert copy.status == "unreadable"
    assert copy.reason.startswith("no copy can be made of it (")


def test_a_copy_that_reads_otherwise_is_not_given_away(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = drawn(made.with_name("other.pdf"), lambda canvas: canvas.drawString(50, 700, "plain wards on a page"))
    monkeypatch.setattr(notes, "_copy", lambda path, password, wanted: other.read_bytes())
    parsed = notes._attempt({drawn(made, plain): Noted(made, "", [note()])}, made, OPTIONS)
    assert parsed == Parsed("unreadable", "no copy can be made of it (page 1 comes out otherwise)")


@pytest.mark.parametrize("error", [RecursionError, NotImplementedError("a filter"), KeyError("/Root")])
def test_whatever_pypdf_raises_is_a_reason(error: Exception, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> bytes:
        raise error

    monkeypatch.setattr(notes, "_copy", refuse)
    parsed = notes._attempt({drawn(made, plain): Noted(made, "", [note()])}, made, OPTIONS)
    assert parsed.status == "unreadable"
    assert (error if isinstance(error, type) else type(error)).__name__ in parsed.reason


def test_nothing_of_a_comment_is_obeyed(made: Path) -> None:
    """Brackets, line ends and names in a comment could end the string they stand in."""
    nasty = ") >> endobj /JS (app.alert(1))\n\\ \u202e שלום"
    copy = copied(drawn(made, plain), [note()._replace(comment=nasty)])
    assert comments(copy.data) == [nasty]
    assert "/JS" not in pypdf.PdfReader(BytesIO(copy.data)).pages[0]["/Annots"][0]
