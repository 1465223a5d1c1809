"""Every document is made here; what is odd in it stands in the name of its test."""

import logging
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from nbpipe.preprocess import package, parsers
from nbpipe.preprocess.options import Options
from nbpipe.preprocess.parsed import cause
from nbpipe.preprocess.parsers import Parsed, parse, parser_version

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500)
W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
MC = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'


@pytest.fixture
def parsed(tmp_path: Path) -> Callable[[str, bytes | str], Parsed]:
    """Write a file and parse it."""

    def write_and_parse(name: str, content: bytes | str) -> Parsed:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return parse(path)

    return write_and_parse


@pytest.fixture
def docx(tmp_path: Path) -> Callable[..., Parsed]:
    """Make a DOCX from the inner XML of its parts and parse it."""

    def make_and_parse(**parts: str) -> Parsed:
        with ZipFile(tmp_path / "made.docx", "w", ZIP_DEFLATED) as archive:
            for name, inner in parts.items():
                archive.writestr(f"word/{name}.xml", f"<w:root {W} {MC}>{inner}</w:root>")
        return parse(tmp_path / "made.docx")

    return make_and_parse


def paragraph(text: str) -> str:
    return f'<w:p><w:r><w:t xml:space="preserve">{text}</w:t></w:r></w:p>'


# What kind of file it is


@pytest.mark.parametrize("name", ["made.xyz", "made", ".hidden"])
def test_other_kinds_are_unsupported(parsed: Callable, name: str) -> None:
    row = parsed(name, "words")
    assert (row.status, list(row.pages)) == ("unsupported", [])
    assert ".docx" in row.reason
    assert Path(name).suffix in row.reason


def test_suffixes_are_read_in_any_case(parsed: Callable) -> None:
    assert parsed("made.TXT", "words").status == "ok"


@pytest.mark.parametrize("name", ["made.txt", "made.bin", "made"])
def test_a_pdf_is_known_by_its_first_bytes(parsed: Callable, name: str) -> None:
    assert "pdfium" in parsed(name, b"%PDF-1.4 nothing more").reason


def test_a_text_that_speaks_of_pdf_is_a_text(parsed: Callable) -> None:
    assert parsed("made.md", "A file begins with %PDF-1.7.").parser == "markdown"


@pytest.mark.parametrize("suffix", parsers.ACCEPTED)
def test_a_file_of_no_bytes_is_empty(parsed: Callable, suffix: str) -> None:
    row = parsed("made" + suffix, b"")
    assert (row.status, row.reason) == ("empty", "the file has 0 bytes")


@pytest.mark.parametrize("name", ["missing.txt", "missing.pdf", "missing"])
def test_a_file_that_cannot_be_opened_is_unreadable(tmp_path: Path, name: str) -> None:
    row = parse(tmp_path / name)
    assert row == Parsed("unreadable", "the file cannot be read: No such file or directory")


def test_what_a_parser_raises_is_a_reason_without_folders_and_addresses(
    parsed: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, options: Options) -> None:
        raise RuntimeError(f"{path}:\n object at 0x7f00deadbeef {140123456789012}")

    monkeypatch.setattr(parsers, "_read_text", fail)
    row = parsed("made.txt", "words")
    assert row == Parsed("unreadable", "RuntimeError: made.txt: object at … …")


def test_a_reason_holds_no_folder_of_a_relative_path_either() -> None:
    assert cause(ValueError("some/made.txt is odd"), Path("some/made.txt")) == "ValueError: made.txt is odd"


def test_memory_errors_are_left_to_the_caller(parsed: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, options: Options) -> None:
        raise MemoryError

    monkeypatch.setattr(parsers, "_read_text", fail)
    with pytest.raises(MemoryError):
        parsed("made.txt", "words")


def test_parsers_are_kept_quiet(
    parsed: Callable, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def chatter(path: Path, options: Options) -> Parsed:
        logging.getLogger("pypdf").warning("odd")
        warnings.warn("odd", stacklevel=1)
        return Parsed("ok")

    monkeypatch.setattr(parsers, "_read_text", chatter)
    assert parsed("made.txt", "words").status == "ok"
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == logging.NOTSET


def test_the_version_names_every_library_that_shapes_text() -> None:
    for name in ("pypdfium2", "pypdf", "selectolax", "charset-normalizer", "striprtf", "text-"):
        assert name in parser_version()


def test_loading_the_parsers_loads_no_heavy_library() -> None:
    heavy = {"torch", "polars", "pyarrow", "numpy", "pypdf", "pypdfium2", "selectolax", "charset_normalizer"}
    heavy |= {"xml", "striprtf", "msoffcrypto"}
    code = f"import sys, nbpipe.preprocess.parsers; sys.exit(', '.join({heavy} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# Plain text and Markdown


@pytest.mark.parametrize(
    "data",
    [
        "naïve café".encode(),
        "\ufeffnaïve café".encode(),
        "naïve café".encode("utf-16"),
        "naïve café".encode("utf-16-le"),
        "naïve café".encode("utf-16-be"),
        "\ufeffnaïve café".encode("utf-32-le"),
        "naïve café".encode("cp1252"),
    ],
    ids=["utf-8", "utf-8 with a mark", "utf-16 with a mark", "utf-16-le", "utf-16-be", "utf-32 with a mark", "cp1252"],
)
def test_encodings_are_found(parsed: Callable, data: bytes) -> None:
    assert parsed("made.txt", data) == Parsed("ok", "", "text", ["naïve café"])


def test_a_broken_byte_leaves_the_rest_utf8(parsed: Callable) -> None:
    text = "Привет, мир. " * 10
    assert parsed("made.txt", text.encode() + b"\xff").pages[0].startswith(text)


def test_a_few_accents_are_taken_as_western(parsed: Callable) -> None:
    assert parsed("made.txt", "Größe".encode("cp1252")).pages == ["Größe"]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "Всем привет, это обычный русский текст о погоде и о жизни в большом городе. "),
        ("cp1252", "Le garçon a été très étonné de voir où la fenêtre était fermée à clé. "),
    ],
)
def test_encodings_are_guessed_from_enough_text(parsed: Callable, encoding: str, text: str) -> None:
    assert parsed("made.txt", (text * 5).encode(encoding)).pages == [text * 5]


def test_a_form_feed_starts_a_page(parsed: Callable) -> None:
    assert parsed("made.txt", "one\ftwo\f\fthree\f").pages == ["one", "two", "", "three"]


def test_white_space_alone_is_empty(parsed: Callable) -> None:
    assert parsed("made.txt", " \n\t\r\n\xa0\f ").status == "empty"


@pytest.mark.parametrize("data", [bytes(1000), bytes(range(256)) * 40, b"PK\3\4" + bytes(200) + b"words"])
def test_binary_data_is_unreadable(parsed: Callable, data: bytes) -> None:
    row = parsed("made.txt", data)
    assert row.status == "unreadable"
    assert "not text" in row.reason


def test_text_is_tidied(parsed: Callable) -> None:
    row = parsed("made.txt", "ﬁnd\r\nsoft\xadly and hyphen\xad\nated\rstray\0code" + " and plain words" * 9)
    assert row.pages[0].startswith("find\nsoftly and hyphen-\nated\nstray\ufffdcode and")


def test_markdown_is_kept_as_written(parsed: Callable) -> None:
    assert parsed("made.md", "# A *title*\n") == Parsed("ok", "", "markdown", ["# A *title*\n"])


# HTML


def test_html_is_read_as_it_is_seen(parsed: Callable) -> None:
    row = parsed(
        "made.html",
        "<title>A title</title><style>p{}</style><script>let x</script><!-- no -->"
        "<p>Half b<b>ol</b>d &amp; <i>whole</i>"
        "<p>one<br>two<ul><li>three<li>four</ul><table><tr><td>a<td>b<tr><td>c</table><div>d<div>e</div>f</div>",
    )
    assert row.parser == "html"
    assert row.pages[0].splitlines() == [
        *("A title", "Half bold & whole", "one", "two", "three", "four", "a\tb", "c", "d", "e", "f"),
    ]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("<meta charset=gb2312><p>中文文本".encode("gb18030"), "中文文本"),
        ('<?xml version="1.0" encoding="iso-8859-1"?><html><p>“naïve”</p></html>'.encode("cp1252"), "“naïve”"),
        ("<meta charset=iso-8859-1><p>naïve".encode(), "naïve"),
        ("<meta charset=no-such-thing><p>naïve café".encode("cp1252"), "naïve café"),
        ("<meta charset=utf-8><p>naïve".encode("utf-16"), "naïve"),
    ],
    ids=["declared", "named as browsers mean it", "declared but utf-8", "declared nonsense", "marked otherwise"],
)
def test_html_encodings(parsed: Callable, data: bytes, text: str) -> None:
    assert parsed("made.html", data).pages == [text]


def test_xhtml_may_close_a_script_at_once(parsed: Callable) -> None:
    assert parsed("made.xhtml", '<html><script src="x"/><body><p>words</p></body></html>').pages == ["words"]


@pytest.mark.parametrize("source", ["<div>" * 2000 + "words", "<p <b>words", "words<![CDATA[", "<<>words</table>"])
def test_broken_html_keeps_its_words(parsed: Callable, source: str) -> None:
    assert "words" in parsed("made.htm", source).pages[0]


def test_html_without_words_is_empty(parsed: Callable) -> None:
    assert parsed("made.html", "<html><script>let x</script><img src=x>").status == "empty"


# DOCX


def test_docx_parts_are_read_in_their_order(docx: Callable) -> None:
    names = ("footer1", "comments", "footnotes", "document", "header1")
    row = docx(**{name: paragraph(name) for name in names}, settings=paragraph("no"))
    assert row == Parsed("ok", "", "docx", ["header1\ndocument\nfootnotes\ncomments\nfooter1"])


def test_docx_headers_that_repeat_are_kept_once(docx: Callable) -> None:
    row = docx(document=paragraph("body"), header1=paragraph("name"), header2=paragraph("name"))
    assert row.pages == ["name\nbody"]


def test_docx_runs_join_and_breaks_part(docx: Callable) -> None:
    run = "<w:r><w:t>{}</w:t></w:r>".format
    row = docx(document=f"<w:p>{run('hal')}{run('ves')}<w:tab/>{run('a')}<w:br/>{run('b')}<w:noBreakHyphen/>c</w:p>")
    assert row.pages == ["halves\ta\nb-"]


def test_docx_tables_fields_and_insertions_are_read(docx: Callable) -> None:
    cells = f"<w:tbl><w:tr><w:tc>{paragraph('a')}</w:tc><w:tc>{paragraph('b')}</w:tc></w:tr></w:tbl>"
    field = f"<w:sdt><w:sdtPr/><w:sdtContent>{paragraph('field')}</w:sdtContent></w:sdt>"
    inserted = "<w:p><w:ins><w:r><w:t>new</w:t></w:r></w:ins><w:del><w:r><w:delText>old</w:delText></w:r></w:del></w:p>"
    assert docx(document=cells + field + inserted).pages == ["a\nb\nfield\nnew"]


def test_docx_text_boxes_are_read_once(docx: Callable) -> None:
    box = f"<mc:AlternateContent><mc:Choice>{paragraph('box')}</mc:Choice><mc:Fallback>{paragraph('box')}</mc:Fallback>"
    row = docx(document=f"<w:p><w:r>{box}</mc:AlternateContent></w:r></w:p>")
    assert row.pages == ["box"]


def test_docx_with_a_password_is_encrypted(parsed: Callable) -> None:
    row = parsed("made.docx", OLE + "EncryptedPackage".encode("utf-16-le"))
    assert row.status == "encrypted"


@pytest.mark.parametrize(
    ("data", "said"),
    [(OLE, "old DOC"), (b"words", "not a zip"), (b"PK\3\4" + bytes(50), "not a zip")],
    ids=["old doc", "text", "truncated"],
)
def test_what_is_no_docx_is_unreadable(parsed: Callable, data: bytes, said: str) -> None:
    row = parsed("made.docx", data)
    assert row.status == "unreadable"
    assert said in row.reason


def test_a_zip_of_something_else_is_unreadable(docx: Callable) -> None:
    row = docx(workbook="<w:x/>")
    assert row.status == "unreadable"
    assert "word/document.xml" in row.reason


def test_a_docx_of_broken_xml_is_unreadable(docx: Callable) -> None:
    assert docx(document="<w:p>").status == "unreadable"


def test_a_docx_that_unpacks_without_end_is_unreadable(docx: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "_LARGEST", 10_000)
    row = docx(document=paragraph("a" * 20_000))
    assert row.status == "unreadable"
    assert "would unpack" in row.reason


def test_a_docx_without_words_is_empty(docx: Callable) -> None:
    assert docx(document=paragraph("")).status == "empty"
