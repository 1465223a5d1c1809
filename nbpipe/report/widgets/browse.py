"""Looks into what preprocessing made: each document's status, why it failed, and its pages beside their text.

Unusual: nothing is opened here but the run's own tables. A page's picture comes through `page_picture` alone, because
whatever draws a stranger's file must run in a process that can be killed.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbpipe.preprocess.options import Options
from nbpipe.preprocess.places import Found, Wanted, find
from nbpipe.preprocess.stage import Parsing
from nbpipe.report.widgets.played import Played
from nbpipe.report.widgets.texts import Texts, texts_of
from nbpipe.shown import Picture, Sentence, Shown, Table, escape, visible

if TYPE_CHECKING:
    from nbpipe.report.widgets.controls import Panel

_FIRST = 10  # failures in the still
_BEGINS = 600  # characters of a page in the still
_LONGEST = 20_000  # characters of a page in the browser


def browse(run: str | Path | Parsing) -> "Browse":
    """Return the documents of a run folder, or of the shard that `parse_shard` gave, to look into.

    Raises RequestError where the folder is no run, WorkError where a ledger is damaged.
    """
    return Browse(texts_of(run)).ready()


def page_picture(document: Path | None, sha256: str, page: int) -> Picture | Sentence:
    """Return the picture of a PDF's page, counted from 0, or a sentence that says why there is none.

    document: its file; None where the file is not on this machine. sha256: of the bytes that its text was read from.
    """
    if document is None:
        return Sentence("The file is not on this machine; the run keeps its text.")
    if document.suffix.lower() != ".pdf":
        return Sentence("Only pages of PDFs are drawn; open the file to compare.")
    found = find([Wanted(document, sha256, {}, [], [page])], Options.of({}))[0]
    if not isinstance(found, Found) or page not in found.drawings:
        return Sentence(f"Page {page + 1} cannot be drawn: {found.reason.rstrip('.') or 'it cannot be read now'}.")
    return Picture(found.drawings[page].png, f"Page {page + 1} of {visible(document.name)}.")


@dataclass(frozen=True)
class PageText(Shown):
    """The text of one page, in its own lines."""

    text: str

    def _repr_html_(self) -> str:
        lines = "\n".join(map(escape, self.text[:_LONGEST].split("\n")))
        rest = len(self.text) - _LONGEST
        more = f"<p><b>{rest:,} more characters</b></p>" if rest > 0 else ""
        return f'<pre style="white-space:pre-wrap;word-break:normal;overflow-wrap:anywhere">{lines}</pre>{more}'

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True, eq=False, repr=False)
class Browse(Played):
    """Documents with their statuses, reasons and pages."""

    texts: Texts

    @cached_property
    def example(self) -> int | None:
        """The first document that became text."""
        return next(iter(self.texts.find("ok")), None)

    def facts(self, number: int) -> Table:
        """What the ledger says of a document."""
        row = self.texts.row(number)
        again = (f"{one['status']} ({one['reason']})" if one["reason"] else one["status"] for one in row["earlier"])
        facts = {
            "status": row["status"],
            "parser": row["parser"],
            "seconds": row["seconds"],
            "peak MB": row["peak_bytes"] / 1e6,
            "pages": row["pages"],
            "without a text layer": len(row["scanned_pages"]),
            "read by OCR": len(row["ocr_pages"]),
            "earlier": ", then ".join(again),
            "reason": row["reason"],
        }
        known = {name: value for name, value in facts.items() if value or name in ("status", "seconds", "pages")}
        return Table(list(known), [list(known.values())], row["path"])

    def failures(self) -> Table:
        """The first documents that gave no text, with the reason."""
        bad = [status for status in self.texts.counts if status != "ok"]
        numbers = [number for status in bad for number in self.texts.find(status)]
        rows = [self.texts.row(number) for number in numbers[:_FIRST]]
        hidden = f"; the first {_FIRST} of them" if len(numbers) > _FIRST else ""
        names = ["path", "status", "reason"]
        return Table(names, [[row[name] for name in names] for row in rows], f"{len(numbers):,} gave no text{hidden}")

    def shown(self) -> list[Any]:
        """The number of documents of each status, the first failures, and the first page of one document."""
        total = self.texts.ledger.num_rows
        rows = [(status, count, f"{count / total:.1%}") for status, count in self.texts.counts.items()]
        parts = [Table(["status", "documents", "share"], rows, f"{total:,} documents"), *self._lacking()]
        if len(self.texts.counts.keys() - {"ok"}):
            parts.append(self.failures())
        return [*parts, *self._begins()]

    def _lacking(self) -> list[Sentence]:
        names = self.texts.lacking
        listed = f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
        return [Sentence(f"Not finished, and not shown: {len(names):,} shards ({listed}).")] * bool(names)

    def _begins(self) -> list[Table]:
        """Return the beginning of a document's first page that has text."""
        if self.example is None:
            return []
        pages = self.texts.pages(self.example)
        number = next((number for number, text in enumerate(pages) if text.strip()), 0)
        text = " ".join(pages[number].split())
        cut = " …" if len(text) > _BEGINS else ""
        path = self.texts.row(self.example)["path"]
        return [Table(["page", "its text begins"], [(number + 1, text[:_BEGINS] + cut)], path)]

    def label(self, number: int) -> str:
        """A document's path, and its status where that is not ok."""
        path, status = (self.texts.ledger[name][number].as_py() for name in ("path", "status"))
        return path if status == "ok" else f"{path} ({status})"

    def picture(self, number: int, page: int) -> Picture | Sentence:
        """A page of a document as picture, or why there is none; page: counted from 0."""
        return page_picture(self.texts.file(number), self.texts.document(number)["sha256"], page)

    def panel(self) -> "Panel":
        """Return the controls: status, search, list of documents, page."""
        from nbpipe.report.widgets.browsing import Browsing

        return Browsing(self)
