"""Passwords open documents, and are nowhere to be found afterwards."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pyarrow.parquet as pq
import pypdf
import pypdfium2
import pytest
from msoffcrypto.format.ooxml import OOXMLFile
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

from nbpipe.audit import Stamp
from nbpipe.config import Preprocess
from nbpipe.errors import RequestError
from nbpipe.preprocess import passwords
from nbpipe.preprocess.options import Options
from nbpipe.preprocess.parsers import parse
from nbpipe.preprocess.passwords import OPENED, PASSWORDS
from nbpipe.preprocess.stage import estimate, finish, open_shard, parse_shard

SECRET = "hunter2"
WORDS = "plain words on a page"
ODD = f" {SECRET} ß'\"\\"  # changes its look in a repr
TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="xml" ContentType="application/xml"/></Types>'
)

ECHOING = {
    "msoffcrypto/__init__.py": "",
    "msoffcrypto/exceptions.py": "class InvalidKeyError(Exception): pass",
    "msoffcrypto/format/__init__.py": "",
    "msoffcrypto/format/ooxml.py": """
class OOXMLFile:
    def __init__(self, file): pass
    def load_key(self, password, verify_password):
        print(password, flush=True)
        if "hunter" in password:
            raise RuntimeError(f"cannot use {password} {password!r} {password.encode()}")
    def decrypt(self, file):
        from msoffcrypto.exceptions import InvalidKeyError
        raise InvalidKeyError
""",
    "pypdf.py": """
import logging, warnings
class PdfReader:
    is_encrypted = True
    def __init__(self, file): pass
    def decrypt(self, password):
        logging.getLogger("pypdf").error(password)
        warnings.warn(password)
        if password:
            raise ValueError("x" * 180 + password, password)
""",
}


@pytest.fixture
def listed(tmp_path: Path) -> Callable[..., Options]:
    """Write a list of passwords and return options that name it."""

    def write(*lines: str) -> Options:
        (tmp_path / "list").write_bytes("\n".join(lines).encode())
        return Options(passwords=tmp_path / "list")

    return write


def pdf(path: Path, password: str) -> Path:
    canvas = Canvas(str(path), encrypt=StandardEncryption(password, ownerPassword="owner", strength=128))
    canvas.drawString(50, 700, WORDS)
    canvas.save()
    return path


def docx(path: Path, password: str) -> Path:
    with ZipFile(plain := BytesIO(), "w") as archive:
        archive.writestr("[Content_Types].xml", TYPES)
        archive.writestr("word/document.xml", f"<w:p xmlns:w='w'><w:t>{WORDS}</w:t></w:p>")
        archive.writestr("word/media/noise.bin", bytes(5000))  # the library encrypts nothing that is smaller than this
    with path.open("wb") as file:
        OOXMLFile(plain).encrypt(password, file)
    return path


@pytest.mark.parametrize(("make", "name"), [(pdf, "made.pdf"), (docx, "made.docx")])
def test_a_password_of_the_list_opens(tmp_path: Path, listed: Callable, make: Callable, name: str) -> None:
    row = parse(make(tmp_path / name, SECRET), listed("other", SECRET))
    assert (row.status, row.reason, row.pages) == ("ok", OPENED, [WORDS])


@pytest.mark.parametrize(("make", "name"), [(pdf, "made.pdf"), (docx, "made.docx")])
def test_a_list_that_opens_nothing_is_counted(tmp_path: Path, listed: Callable, make: Callable, name: str) -> None:
    row = parse(make(tmp_path / name, SECRET), listed("one", "two"))
    assert (row.status, row.reason) == (
        "encrypted",
        "it opens only with a password; none of the 2 given opens it",
    )


@pytest.mark.parametrize(("make", "name"), [(pdf, "made.pdf"), (docx, "made.docx")])
def test_without_a_list_the_reason_says_how_to_give_one(tmp_path: Path, make: Callable, name: str) -> None:
    row = parse(make(tmp_path / name, SECRET))
    assert (row.status, list(row.pages)) == ("encrypted", [])
    assert "opens only with a password" in row.reason
    assert PASSWORDS in row.reason


def test_a_workbook_that_is_only_protected_opens_for_everyone(tmp_path: Path) -> None:
    row = parse(docx(tmp_path / "made.docx", "VelvetSweatshop"))
    assert (row.status, row.reason, row.pages) == ("ok", "", [WORDS])


def test_the_note_stands_beside_other_notes(tmp_path: Path, listed: Callable) -> None:
    canvas = Canvas(str(tmp_path / "made.pdf"), encrypt=StandardEncryption(SECRET))
    for _ in range(2):
        canvas.drawString(50, 700, WORDS)
        canvas.showPage()
    canvas.save()
    options = Options(max_pages=1, passwords=listed(SECRET).passwords)
    assert parse(tmp_path / "made.pdf", options).reason.startswith(f"{OPENED}; only the first 1 of 2 pages")


def test_pypdf_tries_the_list_too(tmp_path: Path, listed: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise pypdfium2.PdfiumError("odd")

    path = pdf(tmp_path / "made.pdf", SECRET)
    monkeypatch.setattr(pypdfium2, "PdfDocument", refuse)
    row = parse(path, listed("other", SECRET))
    assert (row.status, row.reason, row.parser) == ("ok", OPENED, "pypdf")
    assert WORDS in row.pages[0]
    assert parse(path, listed("other")).status == "encrypted"


def test_a_pdf_without_pages_is_not_called_encrypted_after_one_that_is(tmp_path: Path) -> None:
    """pdfium sets no error for it, so that of the document before would be taken for its own."""
    pypdf.PdfWriter().write(tmp_path / "empty.pdf")
    first = parse(tmp_path / "empty.pdf")
    assert parse(pdf(tmp_path / "made.pdf", SECRET)).status == "encrypted"
    assert parse(tmp_path / "empty.pdf") == first
    assert first.status == "unreadable"


def test_spaces_belong_to_a_password_and_blank_lines_are_none(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes("\ufeff one \r\n\r\n  \n two\nß\x0cß\none\n two".encode())
    tried = list(passwords.tried(tmp_path / "list"))
    assert tried == [("", ""), *((word, OPENED) for word in (" one ", " two", "ß\x0cß", "one"))]


def test_the_list_is_read_again_only_when_it_changed(
    tmp_path: Path, listed: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, reads = passwords._read, []
    monkeypatch.setattr(passwords, "_read", lambda place: reads.append(place) or read(place))
    path = pdf(tmp_path / "made.pdf", SECRET)
    options = listed("other")
    assert [parse(path, options).status for _ in range(3)] == ["encrypted"] * 3
    assert len(reads) == 1
    listed("another", SECRET)
    assert parse(path, options).status == "ok"


@pytest.mark.parametrize("kind", ["missing", "folder", "binary"])
def test_a_list_that_cannot_be_read_stops_the_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    place = tmp_path / SECRET  # somebody may give the password itself
    if kind == "folder":
        place.mkdir()
    elif kind == "binary":
        place.write_bytes(b"\xff" + SECRET.encode())
    monkeypatch.setenv(PASSWORDS, str(place))
    config = Preprocess(documents=tmp_path, run=tmp_path / ".." / "run").model_dump()
    with pytest.raises(RequestError, match=PASSWORDS) as raised:
        Options.of(config)
    assert SECRET not in str(raised.value)


def test_a_list_that_vanishes_is_a_reason(tmp_path: Path, listed: Callable) -> None:
    options = listed(SECRET)
    options.passwords.unlink()
    row = parse(pdf(tmp_path / "made.pdf", SECRET), options)
    assert f"the file that {PASSWORDS} names can no longer be read" in row.reason


@pytest.mark.parametrize("said", [ODD, repr(ODD), ascii(ODD), repr(ODD.encode()), repr((ODD, ODD.encode("latin-1")))])
def test_no_form_of_a_password_is_left_in_what_a_library_says(listed: Callable, said: str) -> None:
    assert len(list(passwords.tried(listed(ODD).passwords))) == 2
    assert SECRET not in passwords.redacted(f"it is {said}, is it not")


def test_an_error_of_pdfium_that_echoes_a_password_is_redacted(
    tmp_path: Path, listed: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def echo(path: Path, password: str) -> None:
        locked = pypdfium2.raw.FPDF_ERR_PASSWORD
        raise pypdfium2.PdfiumError(f"odd: {password}", err_code=None if password else locked)

    (tmp_path / "made.pdf").write_bytes(b"%PDF-1.4 nothing more")
    monkeypatch.setattr(pypdfium2, "PdfDocument", echo)
    assert parse(tmp_path / "made.pdf", listed(SECRET)).reason.startswith("pdfium: odd: …; pypdf: ")


def test_a_whole_shard_leaves_no_password_anywhere(
    tmp_path: Path, listed: Callable, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The libraries that its processes load print, log, warn of and raise what they are given."""
    (tmp_path / "documents").mkdir()
    pdf(tmp_path / "documents" / "opens.pdf", SECRET)
    docx(tmp_path / "documents" / "echoed.docx", "other")
    (tmp_path / "documents" / "echoed.pdf").write_bytes(b"%PDF-1.4 nothing more")
    for name, code in ECHOING.items():
        (tmp_path / "made" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "made" / name).write_text(code)
    monkeypatch.syspath_prepend(tmp_path / "made")
    monkeypatch.setenv(PASSWORDS, str(listed(ODD, SECRET).passwords))
    shown, rows = run_shard(tmp_path)
    assert rows["opens.pdf"] == ("ok", OPENED)
    assert "cannot use …" in rows["echoed.docx"][1]
    assert "pypdf: ValueError" in rows["echoed.pdf"][1]
    assert SECRET not in shown + "".join(capfd.readouterr()) + "".join(map(everything, (tmp_path / "run").rglob("*")))


def run_shard(folder: Path) -> tuple[str, dict[str, tuple[str, str]]]:
    """Return what the notebook would show of a shard, and the status and reason of each document."""
    config = Preprocess(documents=folder / "documents", run=folder / "run", workers=1)
    shard = open_shard(config)
    parsing = parse_shard(shard)
    receipt = finish(parsing, stamp := Stamp.now(config))
    seen = [config, stamp, shard, estimate(shard), parsing, parsing.failures, parsing.slowest, parsing.example, receipt]
    rows = {row["path"]: (row["status"], row["reason"]) for row in parsing.ledger.to_pylist()}
    return "".join(part._repr_html_() + repr(part) for part in [*seen, parsing.verdict]), rows


def everything(path: Path) -> str:
    """Return a file's name and bytes as text, and of a table also what its columns hold."""
    if not path.is_file():
        return path.name
    held = pq.read_table(path) if path.suffix == ".parquet" else None
    columns = f"{held.schema} {held.to_pylist()}" if held else ""
    return path.name + path.read_bytes().decode("latin-1") + columns
