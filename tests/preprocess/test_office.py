"""Every office file is made here; what is odd in it stands in the name of its test. DOCX is tested with the parsers."""

from collections.abc import Callable
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from nbpipe.preprocess import office, package
from nbpipe.preprocess.options import Options
from nbpipe.preprocess.parsers import Parsed, parse

RELATED = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
STRICT = "http://purl.oclc.org/ooxml/officeDocument/relationships"
X = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
A = (
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
)
ODF = " ".join(
    f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for name in ("office", "text", "table", "draw", "presentation", "style", "manifest")
)
DC = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'
BOMB = (
    '<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True))
    + "]>"
)


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Parsed]:
    """Make a package of these parts and parse it."""

    def make_and_parse(name: str, parts: dict[str, str], options: Options = Options()) -> Parsed:  # noqa: B008 - frozen
        with ZipFile(tmp_path / name, "w", ZIP_DEFLATED) as archive:
            for part, content in parts.items():
                archive.writestr(part, content)
        return parse(tmp_path / name, options)

    return make_and_parse


def relations(**targets: str) -> str:
    """Write relations, each as id="kind target"."""
    lines = []
    for key, said in targets.items():
        kind, target = said.split()
        lines.append(f'<Relationship Id="{key}" Type="{RELATED}/{kind}" Target="{target}"/>')
    return f"<Relationships>{''.join(lines)}</Relationships>"


# PPTX


def slide(*texts: str, inner: str = "") -> str:
    lines = "".join(f"<a:p><a:r><a:t>{text}</a:t></a:r></a:p>" for text in texts)
    return f"<p:sld {A}><p:txBody>{lines}{inner}</p:txBody></p:sld>"


def deck(*ids: str, namespace: str = RELATED) -> dict[str, str]:
    listed = "".join(f'<p:sldId id="{256 + n}" r:id="{key}"/>' for n, key in enumerate(ids))
    return {
        "ppt/presentation.xml": f'<p:p {A} xmlns:r="{namespace}"><p:sldIdLst>{listed}</p:sldIdLst></p:p>',
        "ppt/_rels/presentation.xml.rels": relations(r1="slide slides/slide1.xml", r2="slide /ppt/slides/slide2.xml"),
        "ppt/slides/slide1.xml": slide("one"),
        "ppt/slides/slide2.xml": slide("two", "lines"),
    }


@pytest.mark.parametrize("namespace", [RELATED, STRICT])
def test_slides_are_pages_in_the_order_that_is_shown(made: Callable, namespace: str) -> None:
    assert made("made.pptx", deck("r2", "r1", namespace=namespace)) == Parsed("ok", "", "pptx", ["two\nlines", "one"])


def test_diagrams_and_notes_follow_the_slide_without_its_number(made: Callable) -> None:
    number = '<a:p><a:fld type="slidenum"><a:t>7</a:t></a:fld></a:p>'
    parts = deck("r1", "r2") | {
        "ppt/slides/_rels/slide1.xml.rels": relations(
            a="notesSlide ../notesSlides/notesSlide1.xml", b="diagramData ../diagrams/data1.xml", c="image ../x.png"
        ),
        "ppt/notesSlides/notesSlide1.xml": slide("notes", inner=number),
        "ppt/diagrams/data1.xml": slide("diagram"),
    }
    assert made("made.pptx", parts).pages == ["one\ndiagram\nnotes", "two\nlines"]


def test_runs_join_and_breaks_and_table_cells_part(made: Callable) -> None:
    run = "<a:r><a:t>{}</a:t></a:r>".format
    row = f"<a:tr><a:tc><a:p>{run('a')}</a:p></a:tc><a:tc><a:p>{run('b')}</a:p></a:tc></a:tr>"
    parts = deck("r1") | {
        "ppt/slides/slide1.xml": slide(inner=f"<a:p>{run('hal')}{run('ves')}<a:br/>{run('c')}</a:p>{row}")
    }
    assert made("made.pptx", parts).pages == ["halves\nc\na\nb"]


def test_a_slide_that_is_listed_often_or_leads_nowhere_adds_no_page(made: Callable) -> None:
    assert made("made.pptx", deck(*["r1"] * 1000, "r9")).pages == ["one"]


# XLSX


def book(rows: str, strings: str = "", **sheets: str) -> dict[str, str]:
    """Write a workbook of one sheet with these rows, and of others."""
    sheets = {"First": rows, **sheets}
    listed = "".join(f'<sheet name="{name}" r:id="r{n}"/>' for n, name in enumerate(sheets))
    targets = {f"r{n}": f"worksheet worksheets/sheet{n}.xml" for n in range(len(sheets))}
    inner = {f"xl/worksheets/sheet{n}.xml": f"<w {X}>{rows}</w>" for n, rows in enumerate(sheets.values())}
    return inner | {
        "xl/workbook.xml": f'<workbook {X} xmlns:r="{RELATED}"><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": relations(**targets, s="sharedStrings sharedStrings.xml"),
        "xl/sharedStrings.xml": f"<sst {X}>{strings}</sst>",
    }


def test_rows_are_lines_and_cells_are_parted_by_tabs(made: Callable) -> None:
    strings = "<si><t>name</t></si><si><r><t>ri</t></r><r><t>ch</t></r><rPh><t>aid</t></rPh></si>"
    rows = (
        '<row><c t="s"><v>0</v></c><c/><c t="s"><v>1</v></c></row><row><c t="inlineStr"><is><t>in\nline</t></is></c>'
        '<c><v>12.50</v></c><c t="str"><f>A1&amp;B1</f><v>result</v></c><c t="b"><v>1</v></c></row><row><c/></row>'
    )
    row = made("made.xlsx", book(rows, strings))
    assert (row.status, row.reason, row.parser) == ("ok", "", "xlsx")
    assert row.pages == ["name\trich\nin line\t12.50\tresult\t1"]


def test_sheets_are_pages(made: Callable) -> None:
    rows = "<row><c><v>{}</v></c></row>".format
    assert made("made.xlsx", book(rows(1), Empty="", Last=rows(3))).pages == ["1", "", "3"]


def test_a_string_that_is_not_there_is_nothing(made: Callable) -> None:
    rows = "".join(f'<row><c t="s"><v>{number}</v></c></row>' for number in ("0", "1", "-1", "x", ""))
    assert made("made.xlsx", book(rows, "<si><t>only</t></si>")).pages == ["only"]


def test_a_string_in_a_million_cells_fills_no_memory(made: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(office, "MOST_TEXT", 1000)
    rows = '<row><c t="s"><v>0</v></c></row>' * 500
    pages = made("made.xlsx", book(rows, f"<si><t>{'a' * 100}</t></si>", Next=rows)).pages
    assert [len(page) for page in pages] == [11 * 101 - 1, 0]


# OpenDocument


def document(inner: str, kind: str = "text", **parts: str) -> dict[str, str]:
    content = f"<office:document {ODF} {DC}><office:body><office:{kind}>{inner}</office:{kind}></office:body>"
    return {"content.xml": content + "</office:document>"} | {name + ".xml": part for name, part in parts.items()}


def test_odt_paragraphs_are_lines_and_white_space_is_folded(made: Callable) -> None:
    inner = (
        "<text:h>A\n  title</text:h><text:p>hal<text:span>ves</text:span> and<text:s text:c='1000000000'/>more"
        "<text:tab/>tab<text:line-break/>line</text:p><text:list><text:list-item><text:p>item</text:p></text:list-item>"
        "</text:list><table:table><table:table-row><table:table-cell><text:p>a</text:p></table:table-cell>"
        "<table:table-cell><text:p>b</text:p></table:table-cell></table:table-row></table:table>"
    )
    assert made("made.odt", document(inner)) == Parsed(
        "ok", "", "odt", ["A title\nhalves and more\ttab\nline\nitem\na\nb"]
    )


def test_odt_notes_follow_their_paragraph_and_deletions_are_left_out(made: Callable) -> None:
    note = "<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>note</text:p></text:note-body>"
    comment = "<office:annotation><dc:creator>who</dc:creator><text:p>comment</text:p></office:annotation>"
    deleted = "<text:tracked-changes><text:deletion><text:p>gone</text:p></text:deletion></text:tracked-changes>"
    described = "<svg:desc xmlns:svg='s'>unseen</svg:desc>"
    box = f"<draw:frame><draw:text-box><text:p>box</text:p></draw:text-box>{described}</draw:frame>"
    inner = f"{deleted}<text:p>be{note}</text:note>fore{comment} end{box}</text:p><text:p>after</text:p>"
    assert made("made.odt", document(inner)).pages == ["before end\nbox\nnote\ncomment\nafter"]


def test_odt_headers_and_footers_stand_around_the_text_once(made: Callable) -> None:
    margin = "<style:{0}><text:p>{1}</text:p></style:{0}>".format
    margins = margin("footer", "below") + margin("header", "above") + margin("header-first", "above")
    styles = f"<office:styles {ODF}><text:p>unseen</text:p>{margins}</office:styles>"
    assert made("made.odt", document("<text:p>text</text:p>", styles=styles)).pages == ["above\ntext\nbelow"]


def test_odp_slides_are_pages_with_their_notes(made: Callable) -> None:
    box = "<draw:frame><draw:text-box><text:p>{}</text:p></draw:text-box></draw:frame>".format
    notes = f"<presentation:notes>{box('notes')}</presentation:notes>"
    inner = f"<draw:page>{box('one')}{notes}</draw:page><draw:page/><draw:page>{box('two')}</draw:page>"
    row = made("made.odp", document(inner, "presentation"))
    assert (row.parser, row.pages) == ("odp", ["one\nnotes", "", "two"])


def test_ods_sheets_are_pages_and_what_is_repeated_is_read_once(made: Callable) -> None:
    repeated = "table:number-columns-repeated='9999'"
    cell = f"<table:table-cell {repeated}><text:p>{{}}</text:p><text:p>x</text:p></table:table-cell>"
    row = f"<table:table-row table:number-rows-repeated='9999'>{cell.format('a')}<table:table-cell/>{cell.format('b')}"
    inner = f"<table:table>{row}</table:table-row></table:table><table:table>{row}</table:table-row></table:table>"
    row = made("made.ods", document(inner, "spreadsheet"))
    assert (row.parser, row.pages) == ("ods", ["a x\tb x"] * 2)


def test_an_odt_with_a_password_is_encrypted(made: Callable) -> None:
    entry = "<manifest:file-entry><manifest:encryption-data/></manifest:file-entry>"
    parts = {
        "META-INF/manifest.xml": f"<manifest:manifest {ODF}>{entry}</manifest:manifest>",
        "content.xml": "\x00\x01",
    }
    row = made("made.odt", parts)
    assert (row.status, row.parser) == ("encrypted", "odt")
    assert "password" in row.reason


# All of them

KINDS = {
    ".docx": "word/document.xml",
    ".pptx": "ppt/presentation.xml",
    ".xlsx": "xl/workbook.xml",
    ".odt": "content.xml",
    ".odp": "content.xml",
    ".ods": "content.xml",
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_of_something_else_is_unreadable(made: Callable, kind: str) -> None:
    row = made("made" + kind, {"other.xml": "<r/>"})
    assert row.status == "unreadable"
    assert KINDS[kind] in row.reason


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "content", ["<r>", "", "\x00", f"{BOMB}<r><p>&j;</p></r>", "<!DOCTYPE r [<!ENTITY x SYSTEM 'made'>]><r>&x;</r>"]
)
def test_broken_xml_and_entities_that_grow_are_unreadable(made: Callable, kind: str, content: str) -> None:
    assert made("made" + kind, {KINDS[kind]: content}).status == "unreadable"


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_that_unpacks_without_end_is_unreadable(
    made: Callable, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "_LARGEST", 10_000)
    row = made("made" + kind, {KINDS[kind]: f"<r>{'a' * 20_000}</r>"})
    assert row.status == "unreadable"
    assert "would unpack to" in row.reason


@pytest.mark.parametrize("kind", KINDS)
def test_an_encrypted_zip_is_encrypted(made: Callable, tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("made" + kind)
    made(path.name, {KINDS[kind]: "<r/>"})
    data = path.read_bytes()
    path.write_bytes(data.replace(b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0"))
    assert parse(path).status == "encrypted"


@pytest.mark.parametrize("kind", KINDS)
def test_a_zip_directory_that_points_before_the_file_is_no_fault_of_the_disk(
    made: Callable, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / ("made" + kind)
    made(path.name, {KINDS[kind]: "<r/>"})
    data = path.read_bytes()
    start = int.from_bytes(data[-6:-2], "little") + 1  # where the directory is said to start
    path.write_bytes(data[:-6] + start.to_bytes(4, "little") + data[-2:])
    row = parse(path)
    assert row.status == "unreadable"
    assert "zip directory" in row.reason


@pytest.mark.parametrize("kind", [".pptx", ".xlsx", ".odt"])
def test_what_is_no_package_is_unreadable(tmp_path: Path, kind: str) -> None:
    (tmp_path / ("made" + kind)).write_bytes(b"words")
    assert "not a zip" in parse(tmp_path / ("made" + kind)).reason
    (tmp_path / ("made" + kind)).write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500))
    assert "OLE container" in parse(tmp_path / ("made" + kind)).reason
