"""Several runs side by side: the report of each, and one page that compares them, in one folder that can be mailed.

Unusual: scores are only said to be comparable where the test documents are the same by their bytes and labels; a
folder of that name proves nothing. Two such runs are then told apart document by document, not by their averages.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np

from nbpipe.addresses import address_of
from nbpipe.config import relative
from nbpipe.copies import bring
from nbpipe.cost import dollars, duration
from nbpipe.errors import RequestError
from nbpipe.report.clean import fill
from nbpipe.report.evidence import Evidence, Piece, Score, gather
from nbpipe.report.settings import differences
from nbpipe.report.site import Around, write_site
from nbpipe.report.spending import spendings
from nbpipe.report.tested import Tested, tested
from nbpipe.run import Run, replacing_folder, write
from nbpipe.storage import names
from nbpipe.train.scores import Scores, against

NAME = "comparison"
_OURS = b'<meta name="generator" content="nbpipe report">'
_WORST = ("stopped", "unproven", "open", "no", "done", "yes")


@dataclass(frozen=True)
class Entry:
    """One run of a comparison. name: as people see it; place: its folder; group: a letter for its test documents."""

    name: str
    place: str
    evidence: Evidence
    test: Tested | None
    group: str = ""

    @property
    def answers(self) -> list[Piece]:
        """A piece of each stage; of the shards the one with the worst answer."""
        worst = min(self.evidence.shards, key=lambda piece: _WORST.index(piece.answer))
        return [worst, self.evidence.train, self.evidence.explain]

    @property
    def worst(self) -> str:
        """The worst answer of all stages, in a word."""
        return min((piece.answer for piece in self.answers), key=_WORST.index)

    @property
    def score(self) -> Score | None:
        """The model's own score; None where none can be trusted."""
        return next((score for score in self.evidence.scores if score.ours), None)

    @property
    def seed(self) -> str:
        """The seed of the training."""
        return str(self.evidence.train.stamp.get("seed", ""))

    @property
    def usable(self) -> str:
        """How many documents became text; nothing where that is not known of all."""
        known = all(piece.sound for piece in self.evidence.shards)
        return f"{self.evidence.counts.get('ok', 0):,}" if known else "unknown"

    def measure(self, name: str) -> str:
        """Return a measure of the model with its interval."""
        found = self.evidence.interval(self.evidence.family, name)
        return f"{self.evidence.metrics['test'][name]:.3f}" + (f" ({found[0]:.3f} to {found[1]:.3f})" if found else "")

    def baseline(self, name: str) -> str:
        """Return the accuracy of a baseline, nothing where it was not measured."""
        found = self.evidence.metrics["baselines"].get(name)
        return f"{found['accuracy']:.3f}" if found else ""

    @cached_property
    def _spent(self) -> tuple[list[float], list[float]]:
        rows = spendings(self.evidence)
        seconds, spent = ([getattr(row, name) for row in rows] for name in ("seconds", "spent"))
        return [value for value in seconds if value is not None], [value for value in spent if value is not None]

    @property
    def work(self) -> str:
        """The time that all stages took, of which the receipts tell."""
        return _sum(self._spent[0], duration)

    @property
    def cost(self) -> str:
        """What all stages cost, of which the receipts tell."""
        return _sum(self._spent[1], dollars)

    @property
    def lasted(self) -> str:
        """How long it was from the first stage's start to the last one's end."""
        stamps = [piece.stamp for piece in self.evidence.pieces if piece.stamp]
        try:
            starts, ends = (
                [datetime.fromisoformat(stamp[name]) for stamp in stamps] for name in ("started", "finished")
            )
            return duration((max(ends) - min(starts)).total_seconds())
        except (KeyError, TypeError, ValueError):
            return "unknown"


def _sum(values: Sequence[float], shown: Callable[[float], str]) -> str:
    """Return a sum over the three stages in words, and whether all of them told their part."""
    text = shown(sum(values)) if values else "unknown"
    return text if len(values) in (0, 3) else f"{text}, not all known"


def compare(runs: Sequence[Run], out: Path | None = None) -> Path:
    """Write the report of each run and a page that compares them to a folder, and return its index.html.

    out: the folder, by default "comparison" beside the first run; an earlier comparison there is replaced. Raises
    RequestError where a run is named twice or `out` holds anything else, or lies in a run.
    """
    out = out or runs[0].folder.parent / NAME
    _refuse(runs, out)
    entries = list(_entries(runs))
    with replacing_folder(out) as draft:
        for entry in entries:
            (draft / entry.place).mkdir()
            write_site(entry.evidence, draft / entry.place, Around(entry.name, home="../index.html"))
        facts = {"entries": entries, "comparable": list(_comparable(entries)), "around": Around("")}
        html = fill("gallery.html", settings=differences([entry.evidence for entry in entries]), **facts)
        write(draft / "index.html", html.encode())
    return out / "index.html"


def _refuse(runs: Sequence[Run], out: Path) -> None:
    folders = [run.folder for run in runs]
    for folder in folders:
        if folders.count(folder) > 1:
            raise RequestError(f"run = {relative(folder)!r}: is named twice; accepted are different runs")
        if out == folder or folder in out.parents or out in folder.parents:
            raise RequestError(f"--out {relative(out)}: lies in a run or around it; accepted is a folder elsewhere")
    index = out / "index.html"
    there = names(out) if address_of(out) else out.exists()
    if there and not (bring(index) and _OURS in index.read_bytes()[:4000]):
        raise RequestError(f"--out {relative(out)}: is there and is no report of ours; accepted is a new folder's name")


def _entries(runs: Sequence[Run]) -> Iterator[Entry]:
    """Yield the runs with names and folders of their own, and a letter for each set of test documents."""
    taken: dict[str, int] = {}
    places: set[str] = set()
    groups: dict[frozenset[tuple[str, str]], str] = {}
    for number, run in enumerate(runs, start=1):
        evidence, name = gather(run), run.folder.name
        taken[name] = taken.get(name, 0) + 1
        named = name if taken[name] == 1 else f"{name} ({taken[name]})"
        place = re.sub(r"[^A-Za-z0-9]+", "-", name)[:40].strip("-").lower() or "run"
        place = place if place not in places else f"{place}-{number}"
        places.add(place)
        test = tested(evidence)
        letter = groups.setdefault(test.documents, _letter(len(groups))) if test and test.right else ""
        yield Entry(named, place, evidence, test, letter)


def _letter(number: int) -> str:
    """Return A, B, ..., Z, AA, AB, ..."""
    return (_letter(number // 26 - 1) if number >= 26 else "") + chr(ord("A") + number % 26)


def _comparable(entries: Sequence[Entry]) -> Iterator[str]:
    """Say which runs' scores compare, how those differ document by document, and why the others do not."""
    groups = {entry.group: [other for other in entries if other.group == entry.group] for entry in entries}
    for group, members in groups.items():
        names = _names(members)
        if not group:
            yield f"{names}: what the test documents were cannot be proven, so the scores cannot be compared."
        elif len(members) > 1:
            count = len(members[0].test.right)
            yield (
                f"Yes, {names}: tested on the same {count:,} documents with the same labels (test {group}). "
                f"{' '.join(_paired(members))}"
            )
        else:
            yield f"{names}: tested on documents of its own (test {group}){_overlap(members[0], entries)}."


def _names(members: Sequence[Entry]) -> str:
    return ", ".join(entry.name for entry in members)


def _paired(members: Sequence[Entry]) -> Iterator[str]:
    """Say of each run how it stands against the most accurate one, on the documents that only one gets right."""
    keys = sorted(members[0].test.right)
    right = [np.array([entry.test.right[key] for key in keys])[:, None] for entry in members]
    best = max(range(len(members)), key=lambda place: right[place].mean())
    for place, entry in enumerate(members):
        if place != best:
            one, other = (Scores("", found, np.ones_like(found)) for found in (right[place], right[best]))
            yield f"{entry.name} ({one.accuracy:.3f}): {against(one, other, members[best].name)}"


def _overlap(entry: Entry, entries: Sequence[Entry]) -> str:
    """Say how many of a run's test documents others were tested on too."""
    own, shared = entry.test.documents, list[str]()
    for other in entries:
        theirs = other.test.documents if other is not entry and other.test else frozenset()
        both = len({digest for digest, _ in own} & {digest for digest, _ in theirs})
        unlike = both - len(own & theirs)
        labels = f", {unlike:,} of them with another label" if unlike else ""
        shared += [f"{both:,} of its {len(own):,} are in the test of {other.name}{labels}"] * bool(both)
    return f"; {', '.join(shared)}" if shared else ""
