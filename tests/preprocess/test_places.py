"""Words are found where they were drawn: what pdfium reads under a box, and the ink in it, are the witnesses."""

import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import pypdfium2
import pytest
from handmade import LINES, drawn, tight, write
from PIL import Image, ImageOps
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas

from nbpipe.preprocess.options import Options
from nbpipe.preprocess.parsed import Parsed
from nbpipe.preprocess.parsers import parse
from nbpipe.preprocess.places import Found, Span, Wanted, ask, find
from nbpipe.preprocess.traced import Rect

OPTIONS = Options(timeout=20, memory=500_000_000)
SENTENCE = "plain words on a page"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def wanted(path: Path, words: Sequence[str], page: int = 0, options: Options = OPTIONS) -> Wanted:
    """Want the first place of each word on a page, and a drawing of it."""
    text = parse(path, options).pages[page]
    spans = [(page, text.index(word), text.index(word) + len(word)) for word in words]
    return Wanted(path, digest(path), {page: text}, spans, [page])


def find_one(one: Wanted, options: Options = OPTIONS) -> Found:
    (found,) = find([one], options)
    assert isinstance(found, Found), found.reason
    return found


def under(path: Path, found: Found, span: Span) -> list[str]:
    """Return what pdfium reads in the middle of each box of a place."""
    with pypdfium2.PdfDocument(path) as document:
        text = document[span[0]].get_textpage()
        return [text.get_text_bounded(*_middle(box)).strip() for box in found.boxes[span]]


def _middle(box: Rect) -> Rect:
    """Return a box less what touches its neighbours: a little along the line, a third across it."""
    left, bottom, right, top = box
    x, y = (0.4, (top - bottom) / 3) if right - left > top - bottom else ((right - left) / 3, 0.4)
    return left + x, bottom + y, right - x, top - y


def read(path: Path, *words: str, page: int = 0) -> list[list[str]]:
    """Find words, and return what is read under their boxes."""
    one = wanted(path, words, page)
    found = find_one(one)
    return [under(path, found, span) for span in one.spans]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return tmp_path / "made.pdf"


def plain(canvas: Canvas) -> None:
    canvas.drawString(50, 700, SENTENCE)


def test_a_word_is_boxed_where_it_was_drawn(made: Path) -> None:
    one = wanted(drawn(made, plain), ["words"])
    ((left, bottom, right, top),) = find_one(one).boxes[one.spans[0]]
    assert left == pytest.approx(50 + stringWidth("plain ", "Helvetica", 12), abs=0.1)
    assert right == pytest.approx(50 + stringWidth("plain words", "Helvetica", 12), abs=0.1)
    assert (bottom, top) == pytest.approx((697.3, 711.3), abs=0.1)


@pytest.mark.parametrize("turned", [0, 90, 180, 270])
@pytest.mark.parametrize("crop", [None, (100, 150, 450, 480)])
def test_a_turned_and_cropped_page_shows_its_word_in_its_box(turned: int, crop: Rect | None, made: Path) -> None:
    """All the ink of the page is one word."""

    def alone(canvas: Canvas) -> None:
        canvas.setPageRotation(turned)
        canvas.drawString(300, 400, "alone")

    one = wanted(drawn(made, alone, cropBox=crop, pagesize=(550, 500)), ["alone"])
    found = find_one(one)
    ((left, bottom, right, top),) = found.boxes[one.spans[0]]
    assert left < 301 < right
    assert bottom < 401 < top
    drawing = found.drawings[0]
    ((left, top, right, bottom),) = drawing.boxes[one.spans[0]]
    ink = ImageOps.invert(Image.open(io.BytesIO(drawing.png))).getbbox()
    assert left - 1 <= ink[0] < ink[2] <= right + 1
    assert top - 1 <= ink[1] < ink[3] <= bottom + 1
    assert (right - left) * (bottom - top) < 3 * (ink[2] - ink[0]) * (ink[3] - ink[1])


def test_a_word_over_a_line_end_is_boxed_on_both_lines(made: Path) -> None:
    def broken(canvas: Canvas) -> None:
        canvas.drawString(50, 700, "a commu-")
        canvas.drawString(50, 686, "nication line")

    assert read(drawn(made, broken), "commu-\nnication") == [["commu\x02", "nication"]]


def test_words_after_a_ligature_keep_their_place(made: Path) -> None:
    """Code a is drawn as one shape and read as two letters, code b is a soft hyphen that the text leaves out."""
    path = write(made, b"BT /F 12 Tf 50 700 Td (we ande to boy later) Tj ET", b"<61> <FB01>\n<62> <00AD>\n")
    assert parse(path).pages == ["we finde to oy lfiter"]
    assert read(path, "finde", "oy", "lfiter") == [["finde"], ["oy"], ["lfiter"]]


def test_words_after_characters_of_two_units_and_none_keep_their_place(made: Path) -> None:
    """Code a is a letter beyond the first 65,536, code 0 has no meaning, code b is half a letter."""
    maps = b"<61> <D835DC00>\n<00> <0000>\n<62> <D800>\n"
    path = write(made, b"BT /F 12 Tf 50 700 Td <616161002062002020> Tj (one two) Tj ET", maps)
    assert "\U0001d400" in parse(path).pages[0]
    assert read(path, "one", "two") == [["one"], ["two"]]


def test_two_columns_are_kept_apart(made: Path) -> None:
    def columns(canvas: Canvas) -> None:
        for row, line in enumerate(LINES * 5):
            canvas.setFont("Times-Roman", 8)
            canvas.drawString(50, 700 - 10 * row, line)
            canvas.drawString(310, 700 - 10 * row, line.replace("a", "o"))

    assert read(drawn(made, columns), "manager", "monoger") == [["manager"], ["monoger"]]


def test_hebrew_is_boxed_though_it_runs_the_other_way(made: Path) -> None:
    maps = b"<61> <05E9>\n<62> <05DC>\n<63> <05D5>\n<64> <05DD>\n"
    path = write(made, b"BT /F 12 Tf 50 700 Td (ab dcba) Tj ET", maps)
    one = wanted(path, ["שלום"])
    ((left, _, right, _),) = find_one(one).boxes[one.spans[0]]
    assert right - left == pytest.approx(stringWidth("dcba", "Helvetica", 12), abs=0.5)


def test_text_set_upwards_is_boxed_upwards(made: Path) -> None:
    def upwards(canvas: Canvas) -> None:
        canvas.rotate(90)
        canvas.drawString(50, -300, SENTENCE)

    one = wanted(drawn(made, upwards), ["words"])
    ((left, bottom, right, top),) = find_one(one).boxes[one.spans[0]]
    assert top - bottom == pytest.approx(stringWidth("words", "Helvetica", 12), abs=0.5)
    assert right - left < 20


def test_words_that_pdfium_glues_are_boxed_singly(made: Path) -> None:
    path = drawn(made, tight)
    assert parse(path).parser == "pdfium+gaps"
    assert read(path, "manager", "of people") == [["manager"], ["ofpeople"]]


def test_a_later_page_is_read_as_it_was_after_those_before_it(made: Path) -> None:
    """Which gaps are usual in letters of a new size is learnt from the first page that has them."""

    def larger(tracking: float) -> Callable[[Canvas], None]:
        def page(canvas: Canvas) -> None:
            canvas.setFont("Times-Roman", 17)
            for row in range(3):
                x = 50.0
                for char in "spaced out letters of a sentence":
                    if char != " ":
                        canvas.drawString(x, 700 - 30 * row, char)
                    x += stringWidth(char, "Times-Roman", 17) + tracking if char != " " else 2.5

        return page

    path = drawn(made, tight, larger(1.6), larger(-0.3))
    assert parse(path).pages[2].startswith("spaced outletters of")
    assert read(path, "outletters", "sentence", page=2) == [["outletters"], ["sentence"]]


def test_a_page_that_reads_otherwise_is_refused_and_the_others_are_not(made: Path) -> None:
    one = wanted(drawn(made, plain, plain), ["words"], page=1)
    texts = {0: SENTENCE.replace("words", "wards"), **one.texts}
    found = find_one(Wanted(one.path, one.sha256, texts, [(0, 6, 11), *one.spans], [0, 1]))
    assert found.refused == {0: "it now reads otherwise than when its text was kept"}
    assert list(found.boxes) == one.spans
    assert list(found.drawings) == [1]


def test_a_page_that_is_not_there_is_refused(made: Path) -> None:
    found = find_one(Wanted(drawn(made, plain), digest(made), {7: SENTENCE}, [(7, 0, 5)], [7]))
    assert (found.refused, found.boxes, found.drawings) == ({7: "it cannot be read now"}, {}, {})


def test_a_changed_and_a_missing_file_are_said(made: Path) -> None:
    one = wanted(drawn(made, plain), ["words"])
    drawn(made, plain, plain)
    gone = Wanted(made.with_name("gone.pdf"), "", {0: ""}, [])
    found = find([one, gone], OPTIONS)
    assert [parsed.reason for parsed in found] == [
        "the file has changed since it was read",
        "the file is not on this machine",
    ]


def test_a_locked_document_is_found_with_its_password_only(made: Path, tmp_path: Path) -> None:
    drawn(made, plain, encrypt=StandardEncryption("secret", ownerPassword="owner"))
    (tmp_path / "passwords.txt").write_text("wrong\nsecret\n")
    options = Options(passwords=tmp_path / "passwords.txt")
    one = wanted(made, ["words"], options=options)
    assert len(find_one(one, options).boxes[one.spans[0]]) == 1
    (found,) = find([one], OPTIONS)
    assert (found.status, "password" in found.reason) == ("encrypted", True)


def test_one_document_may_be_asked_twice(made: Path) -> None:
    one, two = wanted(drawn(made, plain), ["plain"]), wanted(made, ["page"])
    found = find([one, two], OPTIONS, workers=2)
    assert [list(each.boxes) for each in found] == [one.spans, two.spans]


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("segfault", "SIGSEGV"),
        ("spin", "took longer than 2 s"),
        ("native", "took longer than 2 s"),
        ("raise", "AssertionError"),
    ],
)
def test_a_crash_or_hang_gives_a_reason(
    deed: str, reason: str, made: Path, misbehaving: ModuleType, tmp_path: Path
) -> None:
    tasks = []
    for name in (f"{deed}-1.txt", "fine-1.txt"):
        (tmp_path / name).write_text("text")
        tasks.append(Wanted(tmp_path / name, digest(tmp_path / name), {}, []))
    found = dict(ask(tasks, misbehaving.by_task, Options(timeout=2, memory=300_000_000), 1))
    assert reason in found[0].reason
    assert found[1] == Parsed("ok", "", "made", ["text"])


def test_a_file_that_is_no_pdf_gives_a_reason(made: Path) -> None:
    made.write_bytes(b"%PDF-1.4 nothing more")
    (found,) = find([Wanted(made, digest(made), {0: SENTENCE}, [(0, 0, 5)], [0])], OPTIONS)
    assert found.status == "unreadable"
    assert str(made.parent) not in found.reason


def test_the_drawing_of_a_huge_page_stays_small(made: Path) -> None:
    one = wanted(drawn(made, plain, pagesize=(700, 14000)), ["words"])
    with Image.open(io.BytesIO(find_one(one).drawings[0].png)) as picture:
        assert picture.width * picture.height < 2_000_000
