"""A PDF of two pages, read as the preprocess stage reads it, and made-up explanations of it."""

import hashlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pypdf
import pytest
from PIL import Image
from reportlab.pdfgen.canvas import Canvas

from nbpipe.explain.onpage import on_page, on_pages, save
from nbpipe.explain.reasons import Mark, Reasons
from nbpipe.preprocess.options import Options
from nbpipe.preprocess.parsers import parse
from nbpipe.shown import visible

OPTIONS = Options(timeout=20, memory=500_000_000)
PAGES = ["the oven is warm and the mast is tall", "an oven", "a mast and butter and flour"]
WEIGHTS = {"oven": 0.4, "mast": -0.2, "butter": 0.05}


@pytest.fixture
def reasons(tmp_path: Path) -> Reasons:
    """What is known of the document."""
    file = tmp_path / "documents" / "made.pdf"
    file.parent.mkdir()
    canvas = Canvas(str(file), invariant=True)
    for page in PAGES:
        canvas.drawString(50, 700, page)
        canvas.showPage()
    canvas.save()
    parsed = parse(file)
    marks = [
        Mark(number, page.index(word), page.index(word) + len(word), word, weight)
        for number, page in enumerate(parsed.pages)
        for word, weight in WEIGHTS.items()
        if word in page
    ]
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return Reasons("cooking/made.pdf", "cooking", marks, file, digest, parsed.pages, parsed.parser, parsed.ocr)


def said(reasons: Reasons) -> str:
    """Return why nothing can be shown, having seen that nothing is."""
    found = on_page(reasons, OPTIONS)
    assert (found.pictures, found.boxes, found.notes) == ([], {}, [])
    (sentence,) = found.said
    return sentence.text.removeprefix("cooking/made.pdf: no page can be shown: ")


def test_the_strongest_pages_are_drawn_and_all_places_are_boxed(reasons: Reasons) -> None:
    found = on_page(reasons, OPTIONS, pages=2)
    assert found.drawn == [0, 1]
    assert sorted(found.boxes) == sorted(mark[:3] for mark in reasons.marks)
    assert all(len(boxes) == 1 for boxes in found.boxes.values())
    assert found.said == []


def test_a_picture_says_its_words_ranks_and_weights(reasons: Reasons) -> None:
    first, second = on_page(reasons, OPTIONS, pages=2).pictures
    assert repr(first).startswith("Page 1 of cooking/made.pdf.")
    assert "1 oven +0.800; 2 mast -0.400." in repr(first)
    assert "mast" not in repr(second)
    with Image.open(BytesIO(first.png)) as picture:
        assert picture.width > first.width


def test_the_table_says_where_the_words_stand(reasons: Reasons) -> None:
    shown = repr(on_page(reasons, OPTIONS))
    assert "cooking/made.pdf: what speaks for cooking (+) and against it (-)" in shown
    assert [line.split() for line in shown.splitlines()[2:4]] == [
        ["1", "oven", "+0.800", "2", "1,", "2"],
        ["2", "mast", "-0.400", "2", "1,", "3"],
    ]


def test_pictures_and_an_annotated_copy_are_saved(reasons: Reasons, tmp_path: Path) -> None:
    before = reasons.file.read_bytes()
    saved = on_page(reasons, OPTIONS, pages=1).save(tmp_path / "pages")
    files = saved.files
    assert [path.suffix for path in files] == [".png", ".pdf"]
    assert sorted(files) == sorted((tmp_path / "pages").iterdir())
    assert saved.said == []
    assert files[0].name in repr(saved)
    assert str(tmp_path) not in repr(saved)
    assert reasons.file.read_bytes() == before
    notes = [note["/Contents"] for note in pypdf.PdfReader(files[1]).pages[0]["/Annots"]]
    assert notes == [
        "oven: +0.800 for cooking in 2 places, +0.400 here",
        "mast: -0.400 for cooking in 2 places, -0.200 here",
    ]


@pytest.mark.parametrize(
    "path", ["../../etc/passwd.pdf", "CON.pdf", "中间件.pdf", "a" * 300 + ".pdf", ".hidden", "a b?*.pdf"]
)
def test_saved_files_have_safe_names_of_their_own(path: str, reasons: Reasons, tmp_path: Path) -> None:
    both = [replace(reasons, path=path), replace(reasons, path=f"other/{path}"), replace(reasons, path=path, label="b")]
    files = save(on_pages(both, OPTIONS, pages=1), tmp_path / "pages").files
    assert len({file.name.lower() for file in files}) == 6
    for file in files:
        assert file.parent == tmp_path / "pages"
        assert set(file.stem) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
        assert len(file.name) < 80
        assert file.exists()


def test_a_document_may_come_for_two_classes(reasons: Reasons) -> None:
    other = replace(
        reasons, label="sailing", marks=[mark._replace(attribution=-mark.attribution) for mark in reasons.marks]
    )
    one, two = on_pages([reasons, other], OPTIONS)
    assert one.boxes == two.boxes
    assert [note.dashed for note in one.notes] == [not note.dashed for note in two.notes]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"parser": "pypdf"}, "pdfium could not open it, and pypdf, which read its text, keeps no places of words."),
        ({"parser": "docx"}, "it is no PDF."),
        ({"parser": "pdfium+ocr", "ocr_pages": [1, 2, 3]}, "its text was read by OCR, which keeps no places of words."),
        ({"marks": []}, "the model knows none of its words."),
        ({"file": None}, "the file is not on this machine."),
        ({"file": Path("nowhere.pdf")}, "the file is not on this machine."),
        ({"sha256": "0" * 64}, "the file has changed since it was read."),
    ],
)
def test_why_no_page_can_be_shown_is_said(change: dict[str, object], reason: str, reasons: Reasons) -> None:
    assert said(replace(reasons, **change)) == reason


def test_pages_that_ocr_has_read_are_said_and_the_others_shown(reasons: Reasons) -> None:
    found = on_page(replace(reasons, parser="pdfium+ocr", ocr_pages=[1]), OPTIONS)
    assert found.drawn == [1, 2]
    assert [str(sentence) for sentence in found.said] == [
        "cooking/made.pdf: no boxes on pages that OCR has read, which keeps no places of words: 1."
    ]


def test_a_page_that_reads_otherwise_is_said_and_has_no_boxes(reasons: Reasons) -> None:
    found = on_page(replace(reasons, pages=["the oven was warm", *reasons.pages[1:]]), OPTIONS)
    assert found.drawn == [1]
    assert {page for page, _, _ in found.boxes} == {1, 2}
    assert "page 1 has no boxes: it now reads otherwise" in found.said[0].text


def test_a_document_that_changes_before_its_copy_is_saved_is_said(reasons: Reasons, tmp_path: Path) -> None:
    found = on_page(reasons, OPTIONS, pages=1)
    reasons.file.write_bytes(reasons.file.read_bytes() + b"\n")
    saved = found.save(tmp_path / "pages")
    assert [path.suffix for path in saved.files] == [".png"]
    assert "is not saved with highlights: the file has changed since it was read" in repr(saved)


def test_a_word_is_as_bold_as_its_rank_however_many_places_share_it(reasons: Reasons) -> None:
    marks = [mark._replace(attribution=0.06 if mark.word == "oven" else 0.1) for mark in reasons.marks]
    found = on_page(replace(reasons, marks=[mark for mark in marks if mark.page < 2]), OPTIONS)
    assert found.reasons.strongest[0].word == "oven"
    assert {note.strength for note in found.notes if note.comment.startswith("oven")} == {1.0}
    assert all(note.strength < 1 for note in found.notes if note.comment.startswith("mast"))


def test_places_of_a_word_may_differ_in_sign(reasons: Reasons) -> None:
    """Models that read in order judge a word by its surroundings."""
    first, *others = reasons.marks
    found = on_page(replace(reasons, marks=[first._replace(attribution=-0.1), *others]), OPTIONS)
    assert [(note.dashed, note.comment) for note in found.notes if "oven" in note.comment] == [
        (True, "oven: +0.300 for cooking in 2 places, -0.100 here"),
        (False, "oven: +0.300 for cooking in 2 places, +0.400 here"),
    ]


def test_nothing_shown_holds_control_characters_or_paths_of_this_machine(reasons: Reasons, tmp_path: Path) -> None:
    nasty = replace(reasons, path="a\u202e\nb.pdf", label="c\x07<b>")
    found = on_pages([nasty, replace(nasty, sha256="")], OPTIONS)
    shown = [repr(found[0].pictures[0]), found[0].notes[0].comment, *(sentence.text for sentence in found[1].said)]
    for text in shown:
        assert text == visible(text)
        assert str(tmp_path) not in text


def test_many_documents_keep_their_order(reasons: Reasons) -> None:
    several = [replace(reasons, path=f"{number}.pdf", file=None if number % 2 else reasons.file) for number in range(4)]
    found = on_pages(several, OPTIONS, pages=1, workers=2)
    assert [one.reasons.path for one in found] == ["0.pdf", "1.pdf", "2.pdf", "3.pdf"]
    assert [len(one.pictures) for one in found] == [1, 0, 1, 0]
