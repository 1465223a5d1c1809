"""The explained documents' own pages, words boxed, as the report shows them: pictures in it, copies of PDFs beside it.

Unusual: a picture goes into the page itself, so that it opens wherever the page does. A PDF is copied as it is, under a
name of plain characters, unless something in it could act by itself: no policy of a page holds in the viewer of a PDF.
"""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from nbpipe.errors import WorkError
from nbpipe.explain.reasons import ending
from nbpipe.records import EXPLANATIONS, read_table
from nbpipe.report.evidence import Evidence
from nbpipe.report.pictures import data_uri
from nbpipe.train.labels import BAR

FOLDER = "pages"
_SHOWN = 40  # documents whose pages are shown: what a person may still look through
_NAME = re.compile(r"pages/([^/]+?)(?:-page-(\d{1,6}))?\.(png|pdf)", re.DOTALL)
_ACTS = re.compile(
    rb"/(AA|EmbeddedFiles?|FS\s*/URL|GoToE|GoToR|ImportData|JavaScript|Launch|Movie|ObjStm|OpenAction|Rendition|RichMedia"
    rb"|SubmitForm|XFA)(?![A-Za-z])"
)
_ROW = pa.schema([EXPLANATIONS.field(name) for name in ("path", "label", "predicted")])


@dataclass
class Marked:
    """One document: its name, what was predicted, its pictures as (page number, data URI), and its PDF.

    pdf: the PDF's place in the report, or nothing; lacking: why it is not there.
    """

    title: str
    claim: str = ""
    pictures: list[tuple[int, str]] = field(default_factory=list)
    pdf: str = ""
    source: Path | None = None
    lacking: str = ""


def marked(evidence: Evidence) -> list[Marked]:
    """Return the documents whose pages the explain stage drew, as its receipt lists them, if that can be trusted."""
    if not evidence.explain.sound:
        return []
    folder, known = evidence.explain.receipt.folder, _known(evidence)
    found: dict[str, Marked] = {}
    for name in sorted(evidence.explain.receipt.facts["files"], key=_order):
        if parts := _NAME.fullmatch(name):
            one = found.setdefault(parts[1], Marked(*known.get(parts[1][-8:], (parts[1], ""))))
            _add(one, parts, folder / name)
    return sorted((one for one in found.values() if one.pictures or one.pdf or one.lacking), key=lambda one: one.title)


def shown(found: list[Marked]) -> list[Marked]:
    """Return those of the documents that a report shows."""
    return found[:_SHOWN]


def _order(name: str) -> tuple[int, str]:
    parts = _NAME.fullmatch(name)
    return int(parts[2] or 0) if parts else 0, name


def _add(one: Marked, parts: re.Match[str], path: Path) -> None:
    """Add a file to what is shown of its document."""
    if parts[3] == "png":
        uri = data_uri("image/png", path.read_bytes())
        one.pictures += [(int(parts[2] or 1), uri)] if uri else []
    elif acts := _ACTS.search(path.read_bytes()):
        what = "keeps its objects where nobody can look" if acts[1] == b"ObjStm" else f"could act ({acts[1].decode()})"
        one.lacking = f"Its PDF with highlights is not in the report, since it {what}; it lies in explain/{FOLDER}/."
    else:
        plain = re.sub(r"[^a-z0-9]+", "-", parts[1].lower()).strip("-")[:60]
        own = hashlib.sha256(parts[1].encode(errors="surrogateescape")).hexdigest()[:8]
        one.pdf = f"{FOLDER}/{plain if plain == parts[1] else f'{plain}-{own}'.strip('-')}.pdf"
        one.source = path


def _known(evidence: Evidence) -> dict[str, tuple[str, str]]:
    """Return the name and the outcome of every explained document, by what the names of its files end in."""
    try:
        rows = read_table(evidence.explain.receipt.folder / "explanations.parquet", _ROW).to_pylist()
    except WorkError:
        return {}
    return {ending(row["path"], row["predicted"]): (row["path"], _claim(row)) for row in rows}


def _claim(row: dict[str, str]) -> str:
    outcome = "right" if row["predicted"] in row["label"].split(BAR) else f"its label is {row['label']}"
    return f"Predicted {row['predicted']}: {outcome}."
