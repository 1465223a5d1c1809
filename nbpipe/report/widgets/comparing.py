"""The controls of `compare`: which run, and how many documents it shall answer.

Unusual: the slider answers each key as it comes, so all that is shown must be made in a few milliseconds.
"""

from nbpipe.report.widgets.compare import Compare
from nbpipe.report.widgets.controls import Panel, area, beside, buttons, choice, column, html_of, slider, tall
from nbpipe.report.widgets.curve import Curve


class Comparing(Panel):
    """run and percent choose, listed what is listed; curve, sentence, labels and documents show."""

    def __init__(self, compare: Compare) -> None:
        super().__init__()
        self._compare = compare
        self.run = choice("run", compare.runs)
        first = compare.runs[self.run.value]
        self.percent = slider("answer %", first.start)
        self.listed = buttons("list", ["left to a person", "answered wrongly"])
        self.sentence, self.curve, self.levels, self.labels, self.documents = (area(), area(), area(), tall(), tall())
        self.on(self._show, self.run, self.percent, self.listed)
        rows = [self.run, self.percent] if len(compare.runs) > 1 else [self.percent]
        moved = column(*map(beside, rows), self.sentence, self.curve)
        self.lay(beside(moved, column(self.labels)), self.levels, self.listed, self.documents)
        self._show()

    def _show(self) -> None:
        """Show what the threshold does."""
        name, percent = self.run.value, self.percent.value
        run = self._compare.runs[name]
        self.sentence.value = html_of(run.sentence(percent))
        self.curve.value = html_of(Curve(self._compare.runs, percent))
        self.levels.value = html_of(self._compare.level(percent, name))
        self.labels.value = html_of(run.by_label(percent))
        left = self.listed.value == "left to a person"
        self.documents.value = html_of(run.left(percent) if left else run.wrong(percent))
