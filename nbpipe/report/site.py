"""The report: an index and one page per executed notebook, in one folder that can be mailed and opened offline.

Unusual: no page holds a script or asks for anything from anywhere, and its content security policy forbids both, so
that a document's text could do nothing even if it got past `clean`.
"""

import secrets
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nbpipe import __version__
from nbpipe.report.clean import fill
from nbpipe.report.evidence import Evidence, gather
from nbpipe.report.spending import spendings
from nbpipe.run import TEMPORARY, Run, write

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
_GUESSERS = {
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


def build(run: Run) -> Path:
    """Write RUN/report/ anew and return its index.html.

    Raises RequestError where the folder is no run, WorkError where there is no executed notebook to show.
    """
    evidence = gather(run)
    pages, name = [piece for piece in evidence.pieces if piece.page], run.folder.name
    with _replacing(run.report) as draft:
        for before, piece, after in zip([None, *pages], pages, [*pages[1:], None], strict=False):
            html = fill("page.html", name=name, piece=piece, before=before, after=after)
            write(draft / piece.link, html.encode())
        facts = {"evidence": evidence, "cards": _cards(evidence), "stamp": _stamp(evidence)}
        facts["spendings"] = spendings(evidence)
        tables = {"meanings": _MEANINGS, "guessers": _GUESSERS}
        today = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        html = fill("index.html", name=name, today=today, version=__version__, **facts, **tables)
        write(draft / "index.html", html.encode())
    return run.report / "index.html"


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """Yield a new folder beside `folder`, and on success put it in its place."""
    draft, old = (folder.with_name(f"{TEMPORARY}{secrets.token_hex(4)}-{folder.name}") for _ in range(2))
    draft.mkdir()
    try:
        yield draft
        if folder.exists():
            folder.replace(old)
        draft.replace(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _cards(evidence: Evidence) -> list[Card]:
    """Return a card per stage; the shards of preprocess share one."""
    cards = [_shards_card(evidence)]
    for piece in (evidence.train, evidence.explain):
        links = [(piece.link, "Read the notebook")] if piece.link else []
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
