"""Tables, sentences and pictures that show themselves, in a notebook, a report and a terminal.

Unusual: every cell is text to be escaped, always. Documents, file names and labels come from strangers, and a table is
where they meet a browser. Bold is the only mark-up, so that code hosts that strip styles show the same table.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape as _escape
from typing import Any
from urllib.parse import quote

_HIDDEN = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def escape(value: Any) -> str:
    """Return `value` as text that is safe between HTML tags and inside quoted attributes."""
    return _escape(visible(words(value)), quote=True)


def visible(text: str) -> str:
    """Return text on one line in which no control character works: what turns, hides or ends text becomes a mark."""
    return re.sub(r"\s+", " ", _HIDDEN.sub("\ufffd", text))


def words(value: Any) -> str:
    """Return `value` as people write it: thousands apart, floats with three significant decimals."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3f}"
    return str(value)


class Shown:
    """What shows itself as the tables and sentences that `shown` gives: HTML in a notebook, plain text elsewhere."""

    def shown(self) -> "list[Table | Sentence]":
        """Return what to show, from top to bottom."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return "".join(part._repr_html_() for part in self.shown())

    def __repr__(self) -> str:
        return "\n\n".join(map(repr, self.shown()))


@dataclass(frozen=True)
class Table:
    """Columns, rows and a caption, shown as an escaped HTML table or as aligned plain text."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str = ""

    def _repr_html_(self) -> str:
        caption = f"<p><b>{escape(self.caption)}</b></p>" if self.caption else ""
        head = "".join(f"<th>{escape(name)}</th>" for name in self.columns)
        body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in self.rows)
        return f"{caption}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def __repr__(self) -> str:
        grid = [list(self.columns), *([_line(value) for value in row] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
        rows = (zip(row, widths, strict=True) for row in grid)
        lines = ["  ".join(text.ljust(width) for text, width in row).rstrip() for row in rows]
        return "\n".join([self.caption, *lines] if self.caption else lines)


@dataclass(frozen=True)
class Link:
    """Text that leads to a file near the notebook; `place` is its path, relative and POSIX."""

    text: str
    place: str

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        place = quote(self.place.encode(errors="surrogateescape"))
        return f'<a href="./{place}">{escape(self.text)}</a>'  # "./" lets no name be read as a scheme


def _cell(value: Any) -> str:
    if isinstance(value, Link):
        return f'<td style="text-align:left">{value._repr_html_()}</td>'
    right = isinstance(value, int | float) and not isinstance(value, bool)
    style = ' style="text-align:right"' if right else ' style="text-align:left"'
    return f"<td{style}>{escape(value)}</td>"


def _line(value: Any) -> str:
    return visible(words(value)).strip()


@dataclass(frozen=True)
class Sentence:
    """One computed sentence, such as a verdict, shown in bold."""

    text: str

    def _repr_html_(self) -> str:
        return f"<p><b>{escape(self.text)}</b></p>"

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Picture:
    """A drawn picture, and what it shows in words; `width` in pixels of the screen, of which it holds more."""

    png: bytes = field(repr=False)
    words: str
    width: int = 700

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        return self.png, {"width": self.width}

    def __repr__(self) -> str:
        return self.words
