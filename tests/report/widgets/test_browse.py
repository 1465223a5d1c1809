"""Documents can be browsed by whoever moves the controls, and the still says the same to everybody else."""

import io
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image
from reportlab.pdfgen.canvas import Canvas

from nbpipe.audit import digest
from nbpipe.errors import WorkError
from nbpipe.preprocess.parsed import Parsed
from nbpipe.preprocess.passwords import PASSWORDS
from nbpipe.records import LEDGER
from nbpipe.report.widgets.browse import Browse, browse, page_picture
from nbpipe.report.widgets.texts import Source, Texts
from nbpipe.shown import Picture, Sentence

pytest.importorskip("ipywidgets")
Write = Callable[..., Path]
LOCKED = Parsed("encrypted", "opens with a password", "pypdf")


@pytest.fixture
def three(write_texts: Write) -> Browse:
    """A run of a document of two pages, one of one page, and one that is locked."""
    return browse(write_texts({"a.txt": ["first page", "second page"], "b.txt": ["of b"], "c.pdf": LOCKED}))


def test_the_first_document_is_open_at_its_first_page(three: Browse) -> None:
    panel = three.panel()
    assert [label for label, _ in panel.finder.list.options] == ["a.txt", "b.txt", "c.pdf (encrypted)"]
    assert "first page" in panel.text.value
    assert "a.txt" in panel.facts.value


def test_a_status_leaves_its_documents_and_shows_the_reason(three: Browse) -> None:
    panel = three.panel()
    panel.status.value = "encrypted"
    assert [label for label, _ in panel.finder.list.options] == ["c.pdf (encrypted)"]
    assert "No text: opens with a password." in panel.text.value
    assert "pypdf" in panel.facts.value
    assert "documents 1 to 1 of 1" in panel.finder.count.value


def test_pages_are_turned_and_begin_anew_with_another_document(three: Browse) -> None:
    panel = three.panel()
    panel.page.value = 2
    assert "second page" in panel.text.value
    panel.finder.list.index = 1
    assert (panel.page.value, panel.page.max) == (1, 1)
    assert "of b" in panel.text.value


def test_a_search_without_a_match_shows_no_document(three: Browse) -> None:
    panel = three.panel()
    panel.finder.search.value = "nothing like this"
    assert panel.finder.list.options == ()
    assert (panel.facts.value, panel.text.value) == ("", "")
    panel.finder.search.value = "b.t"
    assert "of b" in panel.text.value


def test_of_very_many_documents_fifty_are_listed_at_a_time(write_texts: Write) -> None:
    columns = ([value] * 100_000 for value in ("ok", "", "text", 0.1, 1, 1, [], [], []))
    ledger = pa.table([[f"{number:06d}.txt" for number in range(100_000)], *columns], schema=LEDGER)
    folder = write_texts({"000000.txt": ["text"]}) / "shards" / "00000-of-00001"
    panel = Browse(Texts((Source(ledger, (folder,)),))).panel()
    assert len(panel.finder.list.options) == 50
    assert panel.finder.start.max == 100_000
    panel.finder.search.value = "00000"
    assert "documents 1 to 10 of 10" in panel.finder.count.value


def test_the_list_goes_on_from_the_row_that_is_asked_for(write_texts: Write) -> None:
    panel = browse(write_texts({f"{number:03d}.txt": [f"of {number}"] for number in range(120)})).panel()
    panel.finder.start.value = 101
    assert [label for label, _ in panel.finder.list.options][:2] == ["100.txt", "101.txt"]
    assert "of 100" in panel.text.value
    panel.finder.search.value = "005"
    assert panel.finder.start.value == 1
    assert "of 5" in panel.text.value


def test_an_error_is_shown_and_raised_and_the_next_move_works(three: Browse, tmp_path: Path) -> None:
    panel = three.panel()
    part = tmp_path / "run" / "shards" / "00000-of-00001" / "part-00000.parquet"
    whole = part.read_bytes()
    part.write_bytes(b"damaged")
    with pytest.raises(WorkError, match="cannot be read"):
        panel.finder.list.index = 1
    assert 'role="alert"' in panel.problem.value
    assert "part-00000.parquet: cannot be read" in panel.problem.value
    assert panel.text.value == ""
    part.write_bytes(whole)
    panel.finder.list.index = 2
    assert panel.problem.value == ""
    assert "No text" in panel.text.value


def test_strangers_cannot_put_markup_into_any_area(write_texts: Write, attack: str) -> None:
    name = attack.replace("/", "|")
    shown = browse(write_texts({name: [attack], f"{name}2": Parsed("unreadable", attack, attack)}))
    panel = shown.panel()
    values = [shown._repr_html_()]
    for index in (0, 1):
        panel.finder.list.index = index
        values += [panel.facts.value, panel.text.value, panel.picture.value, panel.finder.count.value]
    assert not [value for value in values if "<script" in value or "<img" in value or "\u202e" in value]
    assert "\u202e" not in panel.finder.list.options[0][0]
    assert "&lt;script&gt;" in values[2]


def test_the_still_tells_statuses_failures_and_the_beginning_of_a_document(three: Browse) -> None:
    still = three._repr_html_()
    assert "opens with a password" in still
    assert "first page" in still
    assert "66.7%" in repr(three)


def test_the_still_stays_small(write_texts: Write) -> None:
    failed = {f"{number:03d}.pdf": Parsed("unreadable", "no PDF " * 20) for number in range(300)}
    still = browse(write_texts(failed | {"x.txt": ["word " * 10_000]}))
    assert "300 gave no text; the first 10 of them" in repr(still)
    assert len(still._repr_html_()) < 8_000


@pytest.mark.parametrize("documents", [{}, {"a.txt": ["only"]}, {"a.pdf": LOCKED}, {"a.txt": [""]}])
def test_runs_of_one_document_or_none_are_shown(write_texts: Write, documents: dict) -> None:
    shown = browse(write_texts(documents))
    assert f"{len(documents)} documents" in repr(shown)
    assert len(shown.panel().finder.list.options) == len(documents)


def test_unfinished_shards_are_named_in_the_still(write_texts: Write) -> None:
    run = write_texts({f"{number}.txt": ["text"] for number in range(4)}, 2)
    (run / "shards" / "00001-of-00002" / "receipt.json").unlink()
    assert "Not finished, and not shown: 1 shards (00001-of-00002)." in repr(browse(run))


def test_a_file_that_is_not_on_this_machine_is_said_to_be_so(three: Browse) -> None:
    assert "not on this machine" in three.panel().picture.value
    assert "not on this machine" not in repr(page_picture(Path(__file__), "", 0))


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., tuple[Path, str]]:
    """Make a PDF of one page; return its place and its SHA-256."""

    def make(**facts: str) -> tuple[Path, str]:
        canvas = Canvas(str(tmp_path / "made.pdf"), **facts)
        canvas.drawString(50, 700, "words")
        canvas.save()
        return tmp_path / "made.pdf", digest(tmp_path / "made.pdf")

    return make


def test_a_page_is_drawn(made: Callable) -> None:
    with Image.open(io.BytesIO(page_picture(*made(), 0).png)) as picture:
        assert picture.getextrema()[0] < 100
    assert "Page 2 cannot be drawn" in repr(page_picture(*made(), 1))


def test_no_page_of_a_file_that_has_changed_is_set_beside_its_text(made: Callable) -> None:
    path, _ = made()
    assert "has changed since it was read" in repr(page_picture(path, "0" * 64, 0))


def test_a_locked_page_is_drawn_with_a_password_of_the_list(
    made: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = made(encrypt="secret")
    assert isinstance(page_picture(*locked, 0), Sentence)
    (tmp_path / "passwords.txt").write_text("secret")
    monkeypatch.setenv(PASSWORDS, str(tmp_path / "passwords.txt"))
    assert isinstance(page_picture(*locked, 0), Picture)
