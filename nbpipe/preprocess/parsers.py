"""A document becomes the text of its pages: finds out what kind of file it is and hands it to that kind's parser.

Unusual: nothing but MemoryError ever leaves `parse`; whatever else a parser raises becomes a row that says so. The
parsing libraries are loaded when first needed, so that a worker starts fast.
"""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from nbpipe.preprocess.decoding import decode
from nbpipe.preprocess.options import Options
from nbpipe.preprocess.parsed import Parsed, cause, judged

__all__ = ["ACCEPTED", "Parsed", "parse", "parser_version"]

ACCEPTED = (
    *(".pdf", ".txt", ".text", ".md", ".markdown", ".html", ".htm", ".xhtml", ".eml", ".rtf"),
    *(".docx", ".pptx", ".xlsx", ".odt", ".odp", ".ods"),
)

_RULES = "text-3"  # raise the number whenever the same document would give another text
_LIBRARIES = ("pypdfium2", "pypdf", "selectolax", "charset-normalizer", "striprtf")
_HEAD = 1024  # a PDF's header stands within these first bytes
_PDF = b"%PDF-"


def parser_version() -> str:
    """Return what the text of a document depends on: our own rules and each parsing library's version."""
    return " ".join([_RULES, *(f"{name}-{version(name)}" for name in _LIBRARIES)])


def parse(path: Path, options: Options = Options()) -> Parsed:  # noqa: B008 - frozen
    """Return the text of each page of a document, or why there is none; raises nothing but MemoryError."""
    try:
        with _quiet():
            return _parse(path, options)
    except MemoryError:
        raise
    except OSError as error:
        return Parsed("unreadable", f"the file cannot be read: {error.strerror or type(error).__name__}")
    except Exception as error:
        return Parsed("unreadable", cause(error, path))


def _parse(path: Path, options: Options) -> Parsed:
    suffix = path.suffix.lower()
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head and suffix in ACCEPTED:
        return Parsed("empty", "the file has 0 bytes")
    # A text may speak of "%PDF-" further on; a PDF that bears the name of a text begins with it.
    if head.lstrip().startswith(_PDF) if suffix in ACCEPTED else _PDF in head:
        suffix = ".pdf"
    if suffix not in ACCEPTED:
        named = f"files of type {suffix}" if suffix else "files without a suffix"
        return Parsed("unsupported", f"{named} are not read; accepted are {', '.join(ACCEPTED)}")
    return _reader(suffix)(path, options)


def _reader(suffix: str) -> Callable[[Path, Options], Parsed]:
    """Return the function that reads one kind of file; loads the libraries it needs."""
    if suffix == ".pdf":
        from nbpipe.preprocess.pdf import read_pdf as read
    elif suffix in (".docx", ".pptx", ".xlsx"):
        from nbpipe.preprocess import office

        read = {".docx": office.read_docx, ".pptx": office.read_pptx, ".xlsx": office.read_xlsx}[suffix]
    elif suffix in (".odt", ".odp", ".ods"):
        from nbpipe.preprocess.opendocument import read_opendocument as read
    elif suffix in (".html", ".htm", ".xhtml"):
        from nbpipe.preprocess.markup import read_html as read
    elif suffix == ".eml":
        from nbpipe.preprocess.mail import read_mail as read
    elif suffix == ".rtf":
        from nbpipe.preprocess.richtext import read_rtf as read
    elif suffix in (".md", ".markdown"):
        read = _read_markdown
    else:
        read = _read_text
    return read


def _read_text(path: Path, options: Options) -> Parsed:
    """Read plain text; a form feed starts a new page."""
    pages = decode(path.read_bytes()).split("\f")
    if len(pages) > 1 and not pages[-1].strip():
        pages.pop()
    return judged(pages, "text")


def _read_markdown(path: Path, options: Options) -> Parsed:
    """Read Markdown as it is written: its marks are no words, and its words are its text."""
    return judged([decode(path.read_bytes())], "markdown")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the parsers' warnings and log lines out of the notebook."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
