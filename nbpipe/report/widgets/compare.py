"""Moves the threshold below which documents are left to a person, and shows what that gains and costs; for many runs.

Unusual: the slider moves the share of documents that the model answers, and the confidence needed follows from it.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbpipe.report import show
from nbpipe.report.widgets.answers import COLUMNS, SHARES, Answers, answers_of
from nbpipe.report.widgets.played import Played
from nbpipe.shown import Table
from nbpipe.train.evaluate import Evaluation

if TYPE_CHECKING:
    from nbpipe.report.widgets.controls import Panel


def compare(run: str | Path | Evaluation, *others: str | Path | Evaluation) -> "Compare":
    """Return the answers of one run or several, given as folders or as `evaluate` gave them, to move the threshold of.

    Raises RequestError where a folder is missing, WorkError where it holds no finished model, or a damaged one.
    """
    given = [answers_of(one) for one in (run, *others)]
    twice, runs = Counter(one.name for one in given), dict[str, Answers]()
    for place, one in enumerate(given, start=1):
        runs[f"{one.name} ({place})" if twice[one.name] > 1 else one.name] = one
    return Compare(runs).ready()


@dataclass(frozen=True, eq=False, repr=False)
class Compare(Played):
    """The answers of some runs, by name."""

    runs: dict[str, Answers]

    def level(self, percent: int, name: str) -> Table:
        """All runs where the same share of documents is answered, and the run `name` at its own threshold."""
        rows = [(one, len(run.table), *run.row(run.at(percent))) for one, run in self.runs.items()]
        run = self.runs[name]
        rows.append((f"{name}, its own threshold", len(run.table), *run.row(run.coverage)))
        return Table(["run", "test documents", *COLUMNS], rows, f"Where {percent}% of the test documents are answered")

    def shown(self) -> list[Any]:
        """The curve, a few thresholds and the sentence of each run, at its own threshold."""
        parts: list[Any] = []
        for run in self.runs.values():
            picture = show.coverage(*run.coverage.points, run.coverage.target)
            parts += [picture, run.summary([*SHARES]), run.coverage.sentence]
        name, first = next(iter(self.runs.items()))
        return [*parts, self.level(first.start, name)] if len(self.runs) > 1 else parts

    def panel(self) -> "Panel":
        """Return the controls: run, share of documents answered, which documents are listed."""
        from nbpipe.report.widgets.comparing import Comparing

        return Comparing(self)
