"""Reads an executed notebook and makes what a page shows of it.

Unusual: cells are rendered here, not by nbconvert. Its templates write scripts in many places, its HTML exporter parses
the page once more after sanitizing, and papermill's metadata and the paths in parameters would still have to be taken
out. One pass over the cells is shorter, and every string goes through `clean` or is escaped by the template. Headings
are made to follow each other in order, whatever a cell says, since they are how a page is read aloud.
"""

import ast
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import nbformat
from markupsafe import Markup
from nbformat.validator import iter_validate
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from nbpipe.errors import WorkError
from nbpipe.report.clean import clean, markdown, plain
from nbpipe.report.pictures import picture
from nbpipe.report.private import anonymous, owners
from nbpipe.shown import words

_WIDGET = "application/vnd.jupyter.widget-view+json"
_INTERACTIVE = "An interactive element stands here; open the notebook in JupyterLab to use it."
_OUTSIDE = re.compile(r"[/\\~]|\.\.|[A-Za-z]:[/\\]")
_HEADING = re.compile(r"<(/?)h([1-6])(?=[ >])")
_UNTOLD = "A picture without a description."
_REDRAWN = re.compile(r"[^\n]*\r(?!\n)")


@dataclass(frozen=True)
class Output:
    """One output: html, image, text, warning, error or note; an image's content is its data URI."""

    kind: str
    content: str
    alt: str = ""
    width: int | None = None


@dataclass(frozen=True)
class Cell:
    """One cell: prose or code with its HTML, or parameters with their rows of name, value and origin."""

    kind: str
    html: Markup
    count: int | None = None
    lines: int = 0
    rows: tuple[tuple[str, str, str], ...] = ()
    outputs: tuple[Output, ...] = ()


@dataclass(frozen=True)
class Page:
    """What a page shows of an executed notebook: its question, its verdict, where it stopped, and its cells."""

    question: str
    verdict: str
    error: str
    cells: list[Cell]


def read_page(path: Path) -> Page:
    """Return the page of an executed notebook; raise WorkError where the file is missing or no notebook."""
    try:
        book = nbformat.read(path, as_version=4)
        damage = next(iter_validate(book), None)
    except FileNotFoundError:
        raise WorkError(f"audit/{path.name}: is missing; `nbpipe run` makes it") from None
    except (OSError, ValueError, AttributeError, TypeError, nbformat.ValidationError):
        damage = True
    if damage:
        raise WorkError(f"audit/{path.name}: is no notebook that can be read; run its stage again")
    cells = [cell for cell in book.cells if cell.source.strip() and cell.cell_type in ("markdown", "code")]
    _hide(cells, owners(_told(book)))
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    errors = [_error(output) for output in outputs if output.output_type == "error"]
    return Page(_question(cells), _verdict(cells), errors[0] if errors else "", list(_cells(cells)))


def _told(book: Any) -> Iterator[str]:
    """Yield what a machine and not a document told a notebook: its parameters, and where papermill found it."""
    yield from (str(value) for value in book.metadata.get("papermill", {}).values())
    yield from (cell.source for cell in book.cells if {"parameters", "injected-parameters"} & set(_tags(cell)))


def _hide(cells: list[Any], names: set[str]) -> None:
    """Take these users' names out of code and of what machines say; tables and prose are the pipeline's own."""
    for cell in cells if names else ():
        cell.source = anonymous(cell.source, names)
        for output in cell.get("outputs", []):
            for part, key in ((output, "text"), (output, "evalue"), (output.get("data", {}), "text/plain")):
                if key in part:
                    part[key] = anonymous(part[key], names)


def _question(cells: list[Any]) -> str:
    """Return the first heading's words."""
    lines = (line for cell in cells if cell.cell_type == "markdown" for line in cell.source.splitlines())
    return next((line.strip("# ") for line in lines if line.startswith("#")), "")


def _verdict(cells: list[Any]) -> str:
    """Return the sentence that the cell tagged "verdict" gave."""
    outputs = [output for cell in cells if "verdict" in _tags(cell) for output in cell.get("outputs", [])]
    texts = [output.data.get("text/plain", "") for output in outputs if "data" in output]
    return plain(texts[-1]).strip() if texts else ""


def _tags(cell: Any) -> list[str]:
    return cell.metadata.get("tags", [])


def _cells(cells: list[Any]) -> Iterator[Cell]:
    defaults = [cell for cell in cells if "parameters" in _tags(cell)]
    given = [cell for cell in cells if "injected-parameters" in _tags(cell)]
    headings = Headings()
    for cell in cells:
        if cell.cell_type == "markdown":
            yield Cell("prose", headings.ordered(markdown(cell.source)))
        elif cell in (given or defaults)[-1:]:
            yield Cell("parameters", Markup(), rows=tuple(_parameters(defaults, given)))
        else:
            source = plain(cell.source)
            html = Markup(highlight(source, PythonLexer(), HtmlFormatter(nowrap=True)))
            outputs = tuple(shown for output in cell.outputs for shown in _outputs(output, headings))
            yield Cell("code", html, cell.execution_count, len(source.splitlines()), outputs=outputs)


def _parameters(defaults: list[Any], given: list[Any]) -> Iterator[tuple[str, str, str]]:
    """Yield name, value and origin of every parameter: what was given, over the notebook's defaults."""
    usual, chosen = (
        {name: value for cell in cells for name, value in _literals(cell.source)} for cells in (defaults, given)
    )
    for name, value in (usual | chosen).items():
        yield name, _shown(value), "given" if name in chosen else "default"


def _literals(source: str) -> Iterator[tuple[str, Any]]:
    """Yield the names that a cell sets at top level to a literal value."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError):
        return
    for node in body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for name in (target.id for target in targets if isinstance(target, ast.Name)):
            with suppress(ValueError):  # not a literal
                yield name, ast.literal_eval(node.value)


def _shown(value: Any) -> str:
    """Return a parameter's value as people may see it; of a path that leads elsewhere only its last name."""
    if isinstance(value, str) and _OUTSIDE.match(value):
        return f"…/{PureWindowsPath(value).name}"
    return plain(words(value))


class Headings:
    """Puts the headings of a page's pieces in order, below the page's own: none is more than one level deeper."""

    def __init__(self) -> None:
        self._level = 1

    def ordered(self, html: Markup) -> Markup:
        """Return cleaned HTML, which is balanced, with its headings at levels 2 to 6."""
        return Markup(_HEADING.sub(self._moved, html))

    def _moved(self, tag: re.Match[str]) -> str:
        if not tag[1]:
            self._level = min(self._level + 1, int(tag[2]) + 1, 6)
        return f"<{tag[1]}h{self._level}"


def _outputs(output: Any, headings: Headings) -> Iterator[Output]:
    """Yield one output in the richest form that can be shown safely; of a widget the still that stands beside it."""
    if output.output_type == "error":
        yield Output("error", _error(output))
    elif output.output_type == "stream":
        text = _REDRAWN.sub("", plain(output.text))
        yield Output("text" if output.name == "stdout" else "warning", text.strip("\n"))
    else:
        html, images = list(_written(output.data, headings)), list(_drawn(output))
        played = _WIDGET in output.data
        found = html + images if played else (html or images)[:1]
        yield from found or [Output("note", _INTERACTIVE) if played else Output("text", _plain(output))]


def _written(data: Any, headings: Headings) -> Iterator[Output]:
    """Yield an output's HTML, else its Markdown."""
    if "text/html" in data:
        yield Output("html", headings.ordered(clean(data["text/html"])))
    elif "text/markdown" in data:
        yield Output("html", headings.ordered(markdown(data["text/markdown"])))


def _drawn(output: Any) -> Iterator[Output]:
    """Yield the pictures of an output that prove to be such."""
    for kind in sorted(output.data.keys() & {"image/png", "image/jpeg"}):
        uri, width = picture(kind, output.data[kind]), output.metadata.get(kind, {}).get("width")
        if uri:
            text = _plain(output).strip() or _UNTOLD
            yield Output("image", uri, alt=text, width=width if isinstance(width, int) else None)


def _plain(output: Any) -> str:
    return plain(output.data.get("text/plain", ""))


def _error(output: Any) -> str:
    """Return an error's name and message; its traceback, full of the machine's paths, stays in the notebook."""
    return plain(f"{output.ename}: {output.evalue}")
