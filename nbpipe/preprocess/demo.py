"""The demo corpus: the reference documentation that is on every machine, as documents with a label.

Unusual: nothing is downloaded and nothing imported. Docstrings are read with `ast` out of the source files of
installed packages, so none of their code runs, and the six packages come with the smallest install. Some are
neighbours in subject, and titles are qualified names without their module, `Class.method`: so a package's name stands
only where its authors wrote it, and a classifier has something to learn from and something to get wrong. The same
installed versions give the same bytes. A few files are as odd as in a real folder; `_odd` says what becomes of each.
"""

import ast
import hashlib
import html
import io
import json
import re
import secrets
import shutil
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pypdfium2
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.utils import ImageReader, simpleSplit
from reportlab.pdfgen.canvas import Canvas

from nbpipe.addresses import TEMPORARY
from nbpipe.audit import as_json
from nbpipe.errors import RequestError, WorkError

LABELS = {"IPython": 60, "PIL": 50, "asyncio": 40, "click": 40, "prompt_toolkit": 60, "tornado": 60}  # at most
MANIFEST = ".demo.json"

_SHORT, _LONG, _FEW = 80, 1200, 10  # words of a document, words of a class that is split, documents of a label
_SKIPPED = {"test", "tests", "testing", "_vendor"}

_A4, _MARGIN = (595, 842), 64  # in points
_STYLES = {  # font, size, space above, in points
    "title": ("Helvetica-Bold", 17, 0),
    "heading": ("Helvetica-Bold", 11, 9),
    "text": ("Times-Roman", 10.5, 5),
    "code": ("Courier", 8.5, 4),
}
_COLUMNS = 90  # characters of code that fit on a line
_ITEM = re.compile(r"([-*•]|\d+\.|:\w[^:`]*:)\s")
_SESSION = re.compile(r"(>>>|\.\.\. |\$ )")
_HEADING = "### "
_UNDERLINED = re.compile(r"^ *(\S.*)\n *[-=~^]{3,}$", re.MULTILINE)
_ANNOUNCED = re.compile(r"\s*(\.\. (code|sourcecode|testcode).*|(?!\.\. ).*::)")
_MARKUP = [  # reStructuredText to plain text
    (re.compile(r"(?::[\w:]+:)?`+[~.!]*([^`<]+?)(?:\s*<[^>`]*>)?`+_*"), r"\1"),
    (re.compile(r"^\.\. ([\w-]+)::"), r"\1:"),
    (re.compile(r"::$"), ":"),
]

Page = list[tuple[str, str]]  # a title with its docstring, then names with theirs
Block = tuple[str, int, str]  # style, indent in characters, text


def make(folder: Path) -> int:
    """Make the demo corpus unless it is there; return its number of files.

    Of two processes that make it at once one wins, and both return. Raises RequestError where the folder holds
    something else or an incomplete corpus, WorkError where a package has no readable documentation.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        return _count(folder)
    files = dict(_files())
    draft = folder.with_name(f"{TEMPORARY}{secrets.token_hex(4)}-{folder.name}")
    try:
        _write(draft, files)
        draft.rename(folder)
    except OSError:
        if not (folder / MANIFEST).is_file():  # else another process was faster
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return _count(folder)


def _count(folder: Path) -> int:
    """Return the number of files of a complete corpus; their sizes show what a power failure cut short."""
    where = f"documents = {folder.name!r}"
    if not (folder / MANIFEST).is_file():
        raise RequestError(f"{where}: exists and is not the demo corpus; move it away, or name another folder")
    sizes = json.loads((folder / MANIFEST).read_bytes())
    found = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.glob("*/*")}
    lost = [name for name, size in sizes.items() if found.get(name) != size]
    if lost:
        raise RequestError(
            f"{where}: {len(lost)} of {len(sizes)} demo files are missing or changed, such as {lost[0]!r}; "
            "remove the folder and it is made again"
        )
    return len(sizes)


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / MANIFEST).write_bytes(as_json({name: len(data) for name, data in files.items()}))


def _files() -> Iterator[tuple[str, bytes]]:
    """Yield every file of the corpus as (name, bytes)."""
    others = [(".txt", _plain), (".md", _plain), (".html", _html)] * 2
    spare = {}
    for (label, most), (suffix, other) in zip(LABELS.items(), others, strict=True):
        (first, opening), *pages, (_, spare[label]) = _choose(label, most)
        yield f"{label}/{first}{suffix}", other(opening)
        for name, page in pages:
            yield f"{label}/{name}.pdf", _pdf(page)
    yield from _odd(spare).items()


def _odd(spare: dict[str, Page]) -> dict[str, bytes]:
    """Return the odd files, made from one spare page of each label."""
    copy, cut = _pdf(spare["click"]), _pdf(spare["prompt_toolkit"])
    return {
        "IPython/empty_password.pdf": _pdf(spare["IPython"], password=""),  # ok: it opens for everyone
        "IPython/page.pdf": copy,  # ok, and its label is wrong
        "PIL/not_a_pdf.pdf": _photo(_pdf(spare["PIL"])),  # unreadable
        "asyncio/scan.pdf": _scan(_photo(_pdf(spare["asyncio"]))),  # empty
        "asyncio/zero_bytes.pdf": b"",  # unreadable
        "click/archive.zip": b"PK\5\6" + bytes(18),  # unsupported
        "click/page (1).pdf": copy,  # ok
        "click/page.pdf": copy,  # ok
        "prompt_toolkit/truncated.pdf": cut[: len(cut) // 2],  # unreadable
        "tornado/password.pdf": _pdf(spare["tornado"], password="secret"),  # encrypted
    }


def _choose(label: str, most: int) -> list[tuple[str, Page]]:
    """Return at most `most` pages of a package with their names, no two alike, chosen by the names' digests.

    The digest mixes the modules, and a new version of the package changes few of the choices.
    """
    different = {_text(page): (name, page) for name, page in _pages(label)}
    named = {name.casefold(): (name, page) for name, page in different.values()}  # as file systems may ignore case
    if len(named) < _FEW:
        raise WorkError(f"demo corpus: {len(named)} pages of documentation in the package {label!r}; install it again")
    return sorted(named.values(), key=lambda item: hashlib.sha256(item[0].encode()).digest())[:most]


def _pages(label: str) -> Iterator[tuple[str, Page]]:
    """Yield the pages of a package with their full names: a module, a class, or a function of a long one."""
    spec = find_spec(label)
    for root in (spec and spec.submodule_search_locations) or []:
        for path in sorted(Path(root).rglob("*.py")):
            parts = [label, *path.relative_to(root).with_suffix("").parts]
            if not _SKIPPED.intersection(parts):
                yield from _module(".".join(part for part in parts if part != "__init__"), path)


def _module(module: str, path: Path) -> Iterator[tuple[str, Page]]:
    with warnings.catch_warnings(action="ignore"):  # other people's escape sequences
        tree = ast.parse(path.read_bytes())
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
    whole = [(module, _page(module.rpartition(".")[2], "", tree))]
    whole += [(f"{module}.{node.name}", _page(node.name, f"{node.name}.", node)) for node in classes]
    for name, page in whole:
        pages = [(name, page)] if _words(page) <= _LONG else [(f"{module}.{entry[0]}", [entry]) for entry in page]
        yield from (item for item in pages if _words(item[1]) >= _SHORT)


def _page(title: str, prefix: str, owner: ast.Module | ast.ClassDef) -> Page:
    """Return the docstrings of a module or class and of its public functions."""
    functions = [node for node in owner.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    public = [(prefix + node.name, ast.get_docstring(node)) for node in functions if not node.name.startswith("_")]
    return [(title, ast.get_docstring(owner) or ""), *((name, text) for name, text in public if text)]


def _text(page: Page) -> str:
    return "\n\n".join(text for _, text in page)


def _words(page: Page) -> int:
    return len(re.findall("[A-Za-z]{2,}", _text(page)))


def _blocks(page: Page) -> Iterator[Block]:
    """Yield a page's blocks in reading order."""
    for number, (name, text) in enumerate(page):
        yield "heading" if number else "title", 0, name
        yield from _docstring(text)


def _docstring(text: str) -> Iterator[Block]:
    """Yield the blocks of a docstring: code where it is fenced, announced by `::` or a session; elsewhere prose."""
    fenced, literal = False, None  # literal: the indent of the line that announced code
    headed = _UNDERLINED.sub(rf"\n\n{_HEADING}\1\n\n", text.expandtabs())
    for paragraph in re.split(r"\n(?:[ \t]*\n)+", headed):
        lines = paragraph.splitlines()
        announced = literal is not None and _indent(paragraph) > literal
        if fenced or announced or paragraph.lstrip().startswith(("```", ">>>")):
            code = textwrap.dedent("\n".join(line for line in lines if "```" not in line))
            yield "code", _indent(paragraph), code
        elif lines:
            yield from _prose(lines)
            literal = _indent(lines[-1]) if _ANNOUNCED.fullmatch(lines[-1]) else None
        fenced ^= paragraph.count("```") % 2 == 1


def _prose(lines: list[str]) -> Iterator[Block]:
    """Join lines to blocks; a list item, a session or another indent begins a new one."""
    groups: list[tuple[int, bool, list[str]]] = []  # indent, whether its other lines hang, lines
    for line in lines:
        indent, words = _indent(line), line.strip()
        begins = bool(_ITEM.match(words) or _SESSION.match(words))
        start, hangs, group = groups[-1] if groups else (-1, False, [])
        if not begins and (indent > start if hangs else indent == start):
            group.append(words)
        else:
            groups.append((indent, begins, [words]))
    for indent, _, group in groups:
        yield _block(indent, " ".join(group))


def _block(indent: int, text: str) -> Block:
    if text.startswith(_HEADING):
        return "heading", 0, text.removeprefix(_HEADING)
    if _SESSION.match(text):
        return "code", indent, text
    for pattern, plain in _MARKUP:
        text = pattern.sub(plain, text)
    return "text", indent, text


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip(" "))


def _plain(page: Page) -> bytes:
    """Return a page as Markdown, which is as readable as plain text."""
    return "".join(f"{'##' if n else '#'} {name}\n\n{text}\n\n" for n, (name, text) in enumerate(page)).encode()


def _html(page: Page) -> bytes:
    """Return a page as HTML."""
    tags = {"title": "h1", "heading": "h2", "text": "p", "code": "pre"}
    body = [f"<{tags[style]}>{html.escape(text)}</{tags[style]}>\n" for style, _, text in _blocks(page)]
    return "".join(['<!DOCTYPE html>\n<meta charset="utf-8">\n<title>Reference</title>\n', *body]).encode()


def _pdf(page: Page, password: str | None = None) -> bytes:
    """Return a page as a PDF of one or more sheets, encrypted if a password is given."""
    lock = None if password is None else StandardEncryption(password, ownerPassword="owner", strength=128)
    canvas = Canvas(buffer := io.BytesIO(), _A4, pageCompression=1, invariant=1, encrypt=lock)
    top = y = _A4[1] - _MARGIN
    for style, left, above, line in _lines(page):
        font, size, _ = _STYLES[style]
        y -= above
        if y < _MARGIN + (4 * size if style == "heading" else 0):  # a heading stays with what follows
            _turn(canvas)
            y = top
        canvas.setFont(font, size)
        canvas.drawString(left, y, line)
        y -= 1.3 * size
    _turn(canvas)
    canvas.save()
    return buffer.getvalue()


def _lines(page: Page) -> Iterator[tuple[str, float, float, str]]:
    """Yield a page's lines as (style, left edge, space above, text) in the characters that a PDF's own fonts have."""
    for style, indent, text in _blocks(page):
        font, size, above = _STYLES[style]
        left = _MARGIN + 3 * min(indent, 24)
        shown = re.sub(r"[\x00-\x08\x0b-\x1f]", "", text).encode("cp1252", "replace").decode("cp1252")
        if style == "code":
            lines = [line[at : at + _COLUMNS] for line in shown.splitlines() for at in range(0, len(line), _COLUMNS)]
        else:
            lines = simpleSplit(shown, font, size, _A4[0] - _MARGIN - left)
        yield from ((style, left, 0 if number else above, line) for number, line in enumerate(lines))


def _turn(canvas: Canvas) -> None:
    """Number this sheet and go to the next."""
    canvas.setFont("Times-Roman", 9)
    canvas.drawCentredString(_A4[0] / 2, _MARGIN / 2, str(canvas.getPageNumber()))
    canvas.showPage()


def _photo(pdf: bytes) -> bytes:
    """Return the first sheet of a PDF as a PNG picture."""
    with closing(pypdfium2.PdfDocument(pdf)) as document:
        document[0].render(scale=1.5, grayscale=True).to_pil().save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


def _scan(photo: bytes) -> bytes:
    """Return a PDF whose one sheet is a picture."""
    canvas = Canvas(buffer := io.BytesIO(), _A4, pageCompression=1, invariant=1)
    canvas.drawImage(ImageReader(io.BytesIO(photo)), 0, 0, *_A4)
    canvas.save()
    return buffer.getvalue()
