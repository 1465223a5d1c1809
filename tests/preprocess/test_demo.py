import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pypdfium2
import pytest

from nbpipe.errors import RequestError, WorkError
from nbpipe.preprocess import demo

WORDS = "An image is read from a file and every pixel of it is kept. " * 8
COPIES = ("IPython/page.pdf", "click/page (1).pdf", "click/page.pdf")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "documents"
    demo.make(folder)
    return folder


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_files", lambda: {"a/one.pdf": b"one", "b/two.pdf": b"two"}.items())


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with ten documented modules that cannot be imported."""
    package = tmp_path / "sample_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    for number in range(10):
        (package / f"part{number}.py").write_text(f'"""Part {number}. {WORDS}"""')
    monkeypatch.syspath_prepend(tmp_path)
    return package


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*"))


def text(path: Path) -> str:
    with pypdfium2.PdfDocument(path) as document:
        return "".join(page.get_textpage().get_text_bounded() for page in document)


def digests(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names(folder)}


def test_about_300_documents_have_six_uneven_labels(corpus: Path) -> None:
    labels = [name.split("/")[0] for name in names(corpus)]
    counts = {label: labels.count(label) for label in labels}
    assert set(counts) == set(demo.LABELS)
    assert min(counts.values()) >= 25
    assert 250 <= len(labels) <= 320


def test_make_returns_the_number_of_files(corpus: Path) -> None:
    assert demo.make(corpus) == len(names(corpus))


@pytest.mark.parametrize("seed", ["1", "2"])
def test_another_process_makes_the_same_bytes(corpus: Path, tmp_path: Path, seed: str) -> None:
    program = "import sys, pathlib; from nbpipe.preprocess import demo; demo.make(pathlib.Path(sys.argv[1]))"
    subprocess.run(
        [sys.executable, "-c", program, tmp_path / "again"], check=True, env={**os.environ, "PYTHONHASHSEED": seed}
    )
    assert digests(tmp_path / "again") == digests(corpus)


def test_no_two_documents_are_alike_but_the_copies(corpus: Path) -> None:
    found = digests(corpus)
    others = [digest for name, digest in found.items() if name not in COPIES]
    assert len({found[name] for name in COPIES}) == 1
    assert len({*others, found[COPIES[0]]}) == len(others) + 1


def test_most_documents_are_pdfs_and_every_other_format_is_there(corpus: Path) -> None:
    suffixes = [Path(name).suffix for name in names(corpus)]
    assert {suffix: suffixes.count(suffix) for suffix in set(suffixes) - {".pdf"}} == {
        ".txt": 2,
        ".md": 2,
        ".html": 2,
        ".zip": 1,
    }


def test_every_good_pdf_has_a_text_worth_reading(corpus: Path) -> None:
    odd = {"not_a_pdf", "password", "scan", "truncated", "zero_bytes"}
    words = [len(text(path).split()) for path in corpus.glob("*/*.pdf") if path.stem not in odd]
    assert min(words) > 40
    assert 100 < sorted(words)[len(words) // 2] < 400


@pytest.mark.parametrize("name", ["PIL/not_a_pdf.pdf", "asyncio/zero_bytes.pdf", "prompt_toolkit/truncated.pdf"])
def test_damaged_files_cannot_be_opened(corpus: Path, name: str) -> None:
    with pytest.raises(pypdfium2.PdfiumError, match="Data format error"):
        pypdfium2.PdfDocument(corpus / name)


def test_a_password_is_asked_for(corpus: Path) -> None:
    with pytest.raises(pypdfium2.PdfiumError, match="Incorrect password"):
        pypdfium2.PdfDocument(corpus / "tornado/password.pdf")


def test_an_empty_password_opens_an_encrypted_file(corpus: Path) -> None:
    path = corpus / "IPython/empty_password.pdf"
    assert b"/Encrypt" in path.read_bytes()
    assert len(text(path).split()) > 40


def test_a_scan_has_a_page_and_no_text(corpus: Path) -> None:
    path = corpus / "asyncio/scan.pdf"
    assert b"/Image" in path.read_bytes()
    assert text(path) == ""


@pytest.mark.usefixtures("small")
def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(value: object) -> bytes:
        raise OSError("disk full")

    monkeypatch.setattr(demo, "as_json", fail)  # comes last, when the documents are written
    with pytest.raises(OSError, match="disk full"):
        demo.make(tmp_path / "documents")
    assert list(tmp_path.iterdir()) == []


def test_the_slower_of_two_makers_accepts_the_other_ones_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "documents"

    def slow() -> dict[str, bytes]:
        monkeypatch.setattr(demo, "_files", lambda: {"a/one.pdf": b"faster"})
        demo.make(folder)
        return {"a/one.pdf": b"slower", "a/two.pdf": b"slower"}

    monkeypatch.setattr(demo, "_files", slow)
    assert demo.make(folder) == 1
    assert (folder / "a/one.pdf").read_bytes() == b"faster"
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.usefixtures("small")
def test_a_complete_corpus_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "documents"
    demo.make(folder)
    before = [(path, path.stat().st_mtime_ns) for path in sorted(folder.rglob("*"))]
    monkeypatch.setattr(demo, "_files", lambda: pytest.fail("made again"))
    assert demo.make(folder) == 2
    assert [(path, path.stat().st_mtime_ns) for path in sorted(folder.rglob("*"))] == before


@pytest.mark.usefixtures("small")
def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    assert demo.make(tmp_path / "documents") == 2


@pytest.mark.usefixtures("small")
def test_a_cut_off_file_is_named(tmp_path: Path) -> None:
    demo.make(tmp_path / "documents")
    (tmp_path / "documents/b/two.pdf").write_bytes(b"")
    with pytest.raises(RequestError, match=r"1 of 2 demo files are missing or changed, such as 'b/two.pdf'"):
        demo.make(tmp_path / "documents")


@pytest.mark.usefixtures("small")
def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RequestError, match="not the demo corpus"):
        demo.make(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_in_the_folders_place_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "documents").write_text("mine")
    with pytest.raises(RequestError, match="not the demo corpus"):
        demo.make(tmp_path / "documents")


def test_packages_are_read_without_running_them(sample: Path) -> None:
    chosen = demo._choose("sample_package", 20)
    assert sorted(name for name, _ in chosen)[0] == "sample_package.part0"
    assert len(chosen) == 10


def test_short_and_private_and_test_pages_are_left_out(sample: Path) -> None:
    (sample / "short.py").write_text('"""Too short."""')
    (sample / "private.py").write_text(f'class _Hidden:\n    """Hidden. {WORDS}"""')
    (sample / "tests").mkdir()
    (sample / "tests" / "test_part.py").write_text(f'"""A test. {WORDS}"""')
    assert len(demo._choose("sample_package", 20)) == 10


def test_the_same_docstring_is_taken_once(sample: Path) -> None:
    (sample / "again.py").write_text((sample / "part0.py").read_text())
    assert len(demo._choose("sample_package", 20)) == 10


def test_a_long_class_gives_one_document_for_each_method(sample: Path) -> None:
    methods = "".join(f'    def m{number}(self):\n        """M{number}. {WORDS * 2}"""\n' for number in range(8))
    (sample / "long.py").write_text(f"class Long:\n{methods}")
    titles = {name: page[0][0] for name, page in demo._choose("sample_package", 20)}
    assert titles["sample_package.long.Long.m7"] == "Long.m7"
    assert len(titles) == 18


def test_a_package_without_documentation_is_named(sample: Path) -> None:
    (sample / "part0.py").unlink()
    with pytest.raises(WorkError, match="9 pages of documentation in the package 'sample_package'"):
        demo._choose("sample_package", 20)


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(WorkError, match="0 pages of documentation in the package 'no_such_package'"):
        demo._choose("no_such_package", 20)


def test_prose_lists_headings_and_code_look_different() -> None:
    prose = "Opens :func:`~a.b`\nnow.\n\n- one\n  more\n- two\n\nReturns\n-------\nx : int"
    code = "Use::\n\n    if x:\n        y\n"
    assert list(demo._blocks([("Name", f"{prose}\n\n{code}")])) == [
        ("title", 0, "Name"),
        ("text", 0, "Opens a.b now."),
        ("text", 0, "- one more"),
        ("text", 0, "- two"),
        ("heading", 0, "Returns"),
        ("text", 0, "x : int"),
        ("text", 0, "Use:"),
        ("code", 4, "if x:\n    y"),
    ]


def test_fenced_code_may_hold_empty_lines_and_ends() -> None:
    text = "Use:\n\n```py\na  = 1\n\nb  = 2\n```\n\nSee\nbelow."
    assert list(demo._blocks([("Name", text)]))[1:] == [
        ("text", 0, "Use:"),
        ("code", 0, "a  = 1"),
        ("code", 0, "b  = 2"),
        ("text", 0, "See below."),
    ]


def test_a_long_page_takes_numbered_sheets_and_odd_characters_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "long.pdf"
    path.write_bytes(demo._pdf([("Long", "\n\n".join(["Größe → 漢字"] * 100))]))
    with pypdfium2.PdfDocument(path) as document:
        sheets = [page.get_textpage().get_text_bounded().splitlines() for page in document]
    assert [sheet[-1] for sheet in sheets] == [str(number + 1) for number in range(len(sheets))]
    assert len(sheets) > 1
    assert sheets[0][1] == "Größe ? ??"
