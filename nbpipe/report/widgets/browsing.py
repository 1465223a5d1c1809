"""The controls of `browse`: which documents, which of them, which page.

Unusual: what is shown of a document is cleared before the next one is read, so that an error never leaves the text of
one document beside the name of another.
"""

from nbpipe.report.widgets.browse import Browse, PageText
from nbpipe.report.widgets.controls import Finder, Panel, area, beside, choice, column, html_of, number, rewind, tall
from nbpipe.shown import Sentence


class Browsing(Panel):
    """status and finder choose a document, page a page of it; facts, picture and text show them."""

    def __init__(self, browse: Browse) -> None:
        super().__init__()
        self._browse, self._pages = browse, list[str]()
        counts = browse.texts.counts
        options = [(f"all ({sum(counts.values()):,})", "")]
        self.status = choice("status", options + [(f"{name} ({count:,})", name) for name, count in counts.items()])
        self.finder = Finder(self, lambda words: browse.texts.find(self.status.value, words), browse.label)
        self.page = number("page")
        self.facts, self.picture, self.text = area(), tall(), tall()
        self.on(self.finder.refresh, self.status)
        self.on(self._open, self.finder.list)
        self.on(self._turn, self.page)
        shown = beside(column(self.picture), column(self.text))
        self.lay(self.finder.below(self.status), self.facts, beside(self.page), shown)
        self.finder.refresh()

    def _open(self) -> None:
        """Show the document that is chosen, from its first page on."""
        self.facts.value = self.picture.value = self.text.value = ""
        chosen, self._pages = self.finder.chosen, []
        if chosen is None:
            return
        self.facts.value = html_of(self._browse.facts(chosen))
        self._pages = self._browse.texts.pages(chosen)
        rewind(self.page, len(self._pages), self._turn)

    def _turn(self) -> None:
        """Show the page that is chosen."""
        chosen, page = self.finder.chosen, self.page.value - 1
        if chosen is None:
            return
        row = self._browse.texts.row(chosen)
        lacking = Sentence(f"No text: {row['reason'] or row['status']}.")
        self.text.value = html_of(PageText(self._pages[page]) if self._pages else lacking)
        self.picture.value = html_of(self._browse.picture(chosen, page))
