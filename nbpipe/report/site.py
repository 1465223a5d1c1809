"""The report: an index, one page per executed notebook, the model card and the documents' own pages, in one folder.

Unusual: no page holds a script or asks for anything from anywhere, and its content security policy forbids both, so
that a document's text could do nothing even if it got past `clean`. The folder is complete: it can be mailed, put on
any static host, or be a part of a comparison of runs.
"""

import re
import shutil
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nbpipe import __version__
from nbpipe.report.clean import fill, markdown, plain
from nbpipe.report.evidence import Evidence, Piece, gather
from nbpipe.report.marked import Marked, marked, shown
from nbpipe.report.pages import Headings
from nbpipe.report.settings import settings
from nbpipe.report.spending import spendings
from nbpipe.run import Run, replacing_folder, write

_QUESTIONS = {
    "preprocess": "Did the documents become usable text?",
    "train": "Is the model better than guessing, and where is it wrong?",
    "explain": "Why did it say that, and may we believe the reason?",
}
_MEANINGS = {
    "ok": "usable text",
    "empty": "without any text, such as scans",
    "encrypted": "locked with a password",
    "unreadable": "damaged: no parser can read them",
    "timeout": "slower than the time limit",
    "crashed": "ended by their parser or the memory limit",
    "too_large": "larger than what is read",
    "unsupported": "of a kind that is not read",
}
GUESSERS = {
    "majority": "always the commonest label",
    "linear_svc": "LinearSVC on TF-IDF",
    "untrained": "this model before training",
}


@dataclass(frozen=True)
class Card:
    """One stage on the index: its question, its answer in a word and in a sentence, and where to read on."""

    stage: str
    question: str
    answer: str
    verdict: str
    links: list[tuple[str, str]]


@dataclass(frozen=True)
class Step:
    """One page of the report: its file, its title, the template that makes it, and the notebook that it shows."""

    link: str
    title: str
    template: str
    piece: Piece | None = None


@dataclass(frozen=True)
class Around:
    """What all pages of one run's report share. name: of the run; home: where the comparison is that it belongs to."""

    name: str
    home: str = ""
    version: str = __version__

    @property
    def today(self) -> str:
        """The minute of now."""
        return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


def build(run: Run) -> Path:
    """Write RUN/report/ anew and return its index.html.

    Raises RequestError where the folder is no run, WorkError where there is no executed notebook to show.
    """
    evidence = gather(run)
    with replacing_folder(run.report) as draft:
        write_site(evidence, draft, Around(run.folder.name))
    return run.report / "index.html"


def write_site(evidence: Evidence, folder: Path, around: Around) -> None:
    """Write the report of one run to a folder that is there."""
    card, found = _card_page(evidence), marked(evidence)
    documents, steps = shown(found), _steps(evidence, bool(card), bool(found))
    shared = {"around": around, "card": card, "documents": documents, "more": len(found) - len(documents)}
    for before, step, after in zip([None, *steps], steps, [*steps[1:], None], strict=False):
        html = fill(step.template, step=step, piece=step.piece, before=before, after=after, **shared)
        write(folder / step.link, html.encode())
    _copy(documents, folder)
    shared |= {"evidence": evidence, "cards": _cards(evidence, bool(card)), "stamp": _stamp(evidence)}
    shared |= {"spendings": spendings(evidence), "settings": settings, "meanings": _MEANINGS, "guessers": GUESSERS}
    write(folder / "index.html", fill("index.html", **shared).encode())


def _steps(evidence: Evidence, card: bool, documents: bool) -> list[Step]:
    """Return the pages that there are, in the order of the work."""
    pages = {piece.title: Step(piece.link, piece.title, "page.html", piece) for piece in evidence.pieces if piece.page}
    explain = pages.pop("explain", None)
    model = Step("model.html", "the model card", "model.html") if card else None
    drawn = Step("pages.html", "documents' pages", "pages.html") if documents else None
    return [step for step in (*pages.values(), model, explain, drawn) if step]


def _copy(documents: list[Marked], folder: Path) -> None:
    """Copy the PDFs with highlights to where the pages say that they are."""
    for one in documents:
        if one.pdf:
            (folder / one.pdf).parent.mkdir(exist_ok=True)
            shutil.copyfile(one.source, folder / one.pdf)


def _card_page(evidence: Evidence) -> dict[str, str] | None:
    """Return the model card as head, in YAML, and body, as HTML; None where there is none that can be trusted."""
    if not evidence.train.sound or "README.md" not in evidence.train.receipt.facts["files"]:
        return None
    text = (evidence.train.receipt.folder / "README.md").read_text(encoding="utf-8", errors="replace")
    _, head, body = re.fullmatch(r"(---\n(.*?)\n---\n)?(.*)", text, re.DOTALL).groups()
    return {"head": plain(head or ""), "body": Headings().ordered(markdown(body))}


def _cards(evidence: Evidence, card: bool) -> list[Card]:
    """Return a card per stage; the shards of preprocess share one. card: whether there is a model card."""
    cards = [_shards_card(evidence)]
    for piece in (evidence.train, evidence.explain):
        links = [(piece.link, "Read the notebook")] if piece.link else []
        links += [("model.html", "Model card")] * (card and piece.stage == "train")
        cards.append(Card(piece.stage, _QUESTIONS[piece.stage], piece.answer, piece.verdict, links))
    return cards


def _shards_card(evidence: Evidence) -> Card:
    """Return the card of preprocess: the notebook's own verdict, or for several shards how many say what."""
    shards, question = evidence.shards, _QUESTIONS["preprocess"]
    links = [(piece.link, piece.title.split()[1]) for piece in shards if piece.link]
    if len(shards) == 1:
        links = [(link, "Read the notebook") for link, _ in links]
        return Card("preprocess", question, shards[0].answer, shards[0].verdict, links)
    answers = Counter(piece.answer for piece in shards)
    answer = next(word for word in ("stopped", "unproven", "open", "no", "yes") if answers[word])
    says = " and ".join(f"{count:,} of {len(shards):,} shards: {word}" for word, count in answers.most_common())
    total, ok = sum(evidence.counts.values()), evidence.counts.get("ok", 0)
    text = f"{ok:,} of {total:,} documents became text; " if total else ""
    verdict = f"{text}{says}."
    return Card("preprocess", question, answer, verdict, links[:1] and [("#shards", "See the shards")])


def _stamp(evidence: Evidence) -> dict[str, str]:
    """Return what made the last finished stage, as facts and words."""
    stamps = [piece.stamp for piece in evidence.pieces if piece.stamp]
    packages = {name: found for stamp in stamps for name, found in stamp.get("packages", {}).items()}
    facts = {name: value for name, value in (stamps[-1] if stamps else {}).items() if isinstance(value, str)}
    return facts | {"packages": ", ".join(f"{name} {found}" for name, found in sorted(packages.items()))}
