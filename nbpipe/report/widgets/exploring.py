"""The controls of `explore`: which documents, which of them, the reasons for which class, by which method.

Unusual: words and page are made when they are asked for, one document at a time, and cleared before the next.
"""

from nbpipe.report.widgets.controls import Finder, Panel, area, beside, buttons, choice, column, html_of
from nbpipe.report.widgets.explore import OUTCOMES, Explore


class Exploring(Panel):
    """outcome, label and finder choose a document, explained and method what is asked of it; words and page show it."""

    def __init__(self, explore: Explore) -> None:
        super().__init__()
        self._explore, reasons = explore, explore.reasons
        self.outcome = buttons("answers", OUTCOMES)
        self.label = choice("true label", [("any", ""), *((label, label) for label in explore.true_labels)])
        self.finder = Finder(
            self, lambda words: explore.find(self.outcome.value, self.label.value, words), explore.label
        )
        self.explained = choice("explain", [("the predicted class", ""), *((label, label) for label in reasons.labels)])
        self.method = choice("method", reasons.methods)
        self.words, self.page = area(), area()
        self.on(self.finder.refresh, self.outcome, self.label)
        self.on(self._show, self.finder.list, self.explained, self.method)
        asked = beside(self.explained, self.method)
        self.lay(self.outcome, self.finder.below(self.label), asked, beside(column(self.page), column(self.words)))
        self.finder.refresh()

    def _show(self) -> None:
        """Show the document that is chosen, with its reasons."""
        self.words.value = self.page.value = ""
        chosen = self.finder.chosen
        if chosen is None:
            return
        asked = (self._explore.path(chosen), self.explained.value or None, self.method.value)
        self.words.value = html_of(self._explore.reasons.document(*asked))
        self.page.value = html_of(self._explore.reasons.page(*asked))
