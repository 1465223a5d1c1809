"""The documents' own pages in a report: only what the receipt lists, proven pictures, names that are safe anywhere."""

import io
from pathlib import Path

import pyarrow as pa
import pytest
from lxml import html as lxml_html
from PIL import Image

from nbpipe.explain.reasons import ending
from nbpipe.records import write_table
from nbpipe.report import marked as module
from nbpipe.report.evidence import gather
from nbpipe.report.marked import marked
from nbpipe.report.site import build
from nbpipe.run import write


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (2, 2)).save(buffer, "PNG")
    return buffer.getvalue()


ACTS = [
    b"/S /JavaScript /JS (x)", b"/S/Launch", b"/Type /ObjStm", b"/SubmitForm>>", b"/XFA 3 0 R", b"/AA<<",
    b"/FS /URL /F", b"/S/GoToR", b"/Subtype/Movie", b"/Type /EmbeddedFile ", b"/OpenAction[",
]  # fmt: skip


@pytest.fixture
def drawn(maker):
    """Make a run whose explain stage wrote these files to explain/pages."""

    def make(files: dict[str, bytes]):
        maker.preprocess({"b/x <b>.pdf": ("ok", "")})
        maker.train()
        for name, data in files.items():
            write(maker.run.explain / "pages" / name, data)
        maker.explain()
        return maker.run

    return make


def test_pictures_and_pdf_of_a_document_stand_together_in_the_order_of_its_pages(drawn) -> None:
    names = ["x-0123abcd-page-10.png", "x-0123abcd-page-2.png", "x-0123abcd.pdf", "other.txt"]
    (one,) = marked(gather(drawn(dict.fromkeys(names, png()))))
    assert [number for number, _ in one.pictures] == [2, 10]
    assert (one.title, one.pdf) == ("x-0123abcd", "pages/x-0123abcd.pdf")


def test_a_document_is_called_by_its_name_and_outcome(drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    own = ending("b/x <b>.pdf", "cat")
    run = drawn({f"x-b-{own}-page-1.png": png()})
    row = {"path": "b/x <b>.pdf", "label": "dog", "predicted": "cat"}
    write_table(run.explain / "explanations.parquet", pa.Table.from_pylist([row], module._ROW))
    known = module._known(gather(run))
    assert known == {own: ("b/x <b>.pdf", "Predicted cat: its label is dog.")}


def test_one_of_several_labels_is_right(drawn) -> None:
    run = drawn({"x-0123abcd-page-1.png": png()})
    row = {"path": "x", "label": "even|cat", "predicted": "cat"}
    write_table(run.explain / "explanations.parquet", pa.Table.from_pylist([row], module._ROW))
    assert module._known(gather(run)) == {ending("x", "cat"): ("x", "Predicted cat: right.")}


def test_the_pages_are_shown_and_the_index_leads_to_them(drawn) -> None:
    index = build(drawn({"x-0123abcd-page-1.png": png(), "x-0123abcd.pdf": b"%PDF-1.4 x"}))
    page = lxml_html.parse(index.with_name("pages.html")).getroot()
    assert [image.get("alt")[:20] for image in page.iter("img")] == ["Page 1 of x-0123abcd"]
    links = lxml_html.parse(index).xpath("//main//li/a/@href")
    assert links == ["pages.html#document-1", "pages/x-0123abcd.pdf"]
    assert page.xpath("//*[@id='document-1']")
    assert (index.parent / links[1]).read_bytes() == b"%PDF-1.4 x"


def test_a_name_becomes_plain_and_stays_its_own(drawn) -> None:
    run = drawn({'"><b> onload=x.pdf': b"%PDF", "'><b> onload=x.pdf": b"%PDF", "a\\..\\up.pdf": b"%PDF"})
    names = {one.pdf for one in marked(gather(run))}
    assert len(names) == 3
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-/.") for name in names)
    build(run)
    assert {f"pages/{path.name}" for path in (run.report / "pages").iterdir()} == names


@pytest.mark.parametrize("acts", ACTS)
def test_a_pdf_that_could_act_is_left_out_and_said_to_be(drawn, acts: bytes) -> None:
    run = drawn({"x-0123abcd.pdf": b"%PDF-1.4 " + acts})
    words = lxml_html.parse(build(run).with_name("pages.html")).getroot().text_content()
    assert "Its PDF with highlights is not in the report" in words
    assert not (run.report / "pages").exists()


def test_what_is_no_picture_is_left_out(drawn) -> None:
    assert marked(gather(drawn({"x-0123abcd-page-1.png": b"<svg onload=x>"}))) == []


def test_nothing_is_shown_of_pages_that_changed_since_or_are_in_no_receipt(drawn) -> None:
    run = drawn({"x-0123abcd.pdf": b"%PDF"})
    write(run.explain / "pages" / "added.pdf", b"%PDF")
    assert marked(gather(run)) == []
    assert not Path(build(run).parent / "pages").exists()


def test_of_very_many_documents_the_first_are_shown_and_the_rest_is_counted(drawn) -> None:
    run = drawn({f"x{number:03d}.pdf": b"%PDF" for number in range(module._SHOWN + 3)})
    words = lxml_html.parse(build(run)).getroot().text_content()
    assert "3 more lie in" in words
    assert len(list((run.report / "pages").iterdir())) == module._SHOWN
