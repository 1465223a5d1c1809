"""The controls that widgets are made of, all of them native ones that a keyboard moves; the only use of ipywidgets.

Unusual: ipywidgets loses what a callback raises, in a log that nobody reads. Here every callback is guarded: the error
is written above the controls for the person, and raised again for the kernel and for whoever moves the controls from
code. HTML areas pass on what they are given, so they are only given what shows itself: all of that is escaped. And
JupyterLab takes keys pressed on a list or slider for its own: an arrow leaves the cell, two D delete it. A mark on
what has the focus tells it not to; no widget can set that mark, so an empty element sees to it.
"""

import base64
from collections.abc import Callable, Sequence
from typing import Any

from nbpipe.errors import NbpipeError, RequestError
from nbpipe.shown import Picture, escape, visible

try:
    import ipywidgets as widgets
except ImportError as lacking:
    raise RequestError(f"{lacking.name}: not installed; moving things needs pip install 'nbpipe[lab]'") from None

_KEYS = """<style>@keyframes nbpipe-here { from { opacity: 0 } }</style><i style="animation: nbpipe-here 1ms"
onanimationstart="this.closest('.nbpipe-panel').addEventListener('focusin', ({target}) =>
target.matches('input, button') || target.setAttribute('data-lm-suppress-shortcuts', ''))"></i>"""
ROWS = 50  # documents listed at a time
_FIT = "contain:inline-size;width:100%;overflow:auto;overflow-wrap:break-word;line-height:1.45"  # as wide as its column
_VIEW = "application/vnd.jupyter.widget-view+json"


class Panel:
    """Controls with areas that show what they choose.

    act, given to `on`, is called after every move of a control; what it raises is shown in `problem` and raised again.
    """

    def __init__(self) -> None:
        self.problem = area()
        self._keys = widgets.HTML(_KEYS, layout=widgets.Layout(height="0", margin="0"))
        self.box = widgets.VBox([self._keys, self.problem]).add_class("nbpipe-panel")

    def on(self, act: Callable[[], None], *moved: widgets.Widget) -> None:
        """Call `act` whenever the value of one of these controls has changed."""
        for control in moved:
            control.observe(lambda _: self.guard(act), "value")

    def guard(self, act: Callable[[], None]) -> None:
        """Call `act`; show what it raises, and raise it."""
        try:
            act()
        except Exception as error:
            self.problem.value = f'<p role="alert" class="nbpipe-error"><b>{escape(_sentence(error))}</b></p>'
            raise
        self.problem.value = ""

    def lay(self, *rows: widgets.Widget) -> None:
        """Put these widgets below each other, beneath the place of errors."""
        self.box.children = (self._keys, self.problem, *rows)

    def bundle(self) -> dict[str, Any]:
        """Return the MIME bundle that shows the controls."""
        return {_VIEW: {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}}


def _sentence(error: Exception) -> str:
    """Say what went wrong, without the path that an OSError names."""
    if isinstance(error, NbpipeError):
        return str(error)
    text = error.strerror if isinstance(error, OSError) and error.strerror else error
    return f"{type(error).__name__}: {text}"


class Finder:
    """A list of documents of any length: a search box, a list of at most fifty, and from which row on it begins.

    find: returns the numbers of the documents that match some words, as a sequence that can be sliced; label: names one
    document; act: called when another document is chosen. `chosen` is its number, None where nothing matches.
    """

    def __init__(self, panel: Panel, find: Callable[[str], Any], label: Callable[[int], str], rows: int = 8) -> None:
        self.search = widgets.Text(placeholder="words of a path", **_named("search"))
        self.start = number("from row", step=ROWS)
        self.list = widgets.Select(options=[], rows=rows, **_named("documents", width="98%"))
        self.count = area()
        self._find, self._label, self._found = find, label, []
        panel.on(self.refresh, self.search)
        panel.on(self._list, self.start)

    @property
    def chosen(self) -> int | None:
        """The number of the document that is chosen."""
        return self.list.value

    def below(self, *filters: widgets.Widget) -> widgets.VBox:
        """Return the controls, filters first, in the order of the tabulator key; the list is as wide as it can be."""
        return widgets.VBox([beside(*filters, self.search, self.start), self.list, self.count])

    def refresh(self) -> None:
        """Search again, and list what is found from its first row on."""
        self._found = self._find(self.search.value)
        rewind(self.start, len(self._found), self._list)

    def _list(self) -> None:
        first = self.start.value - 1
        shown = [int(number) for number in self._found[first : first + ROWS]]
        last = first + len(shown)
        span = f"documents {first + 1:,} to {last:,} of {len(self._found):,}" if shown else "no document matches"
        self.count.value = f"<div>{escape(span)}</div>"
        self.list.options = [(visible(self._label(number)), number) for number in shown]
        if shown and self.list.index is None:
            self.list.index = 0


def area(**layout: str) -> widgets.HTML:
    """Return a place for what shows itself."""
    return widgets.HTML(layout=widgets.Layout(width="100%", **layout))


def tall() -> widgets.HTML:
    """Return a place for what may be long: it scrolls, by keys too."""
    return area(max_height="40em", overflow="auto")


def number(name: str, step: int = 1) -> widgets.BoundedIntText:
    """Return a labelled field for a number from 1 on, 1 at most until its `max` is set."""
    return widgets.BoundedIntText(1, min=1, max=1, step=step, **_named(name))


def rewind(field: widgets.BoundedIntText, most: int, show: Callable[[], None]) -> None:
    """Set a field to 1 of `most`, and show what that chooses; `show` is what its moves call."""
    field.max = max(1, most)
    if field.value == 1:
        show()
    else:
        field.value = 1


def choice(name: str, options: Sequence[Any]) -> widgets.Dropdown:
    """Return a labelled drop-down list; options: values, or (label, value)."""
    return widgets.Dropdown(options=list(options), **_named(name))


def slider(name: str, start: int) -> widgets.IntSlider:
    """Return a labelled slider over percent."""
    return widgets.IntSlider(start, min=0, max=100, **_named(name))


def buttons(name: str, options: Sequence[str]) -> widgets.ToggleButtons:
    """Return labelled buttons, of which one is pressed."""
    return widgets.ToggleButtons(options=list(options), description=name)


def _named(name: str, **layout: str) -> dict[str, Any]:
    """Return what gives a control its label, and without another layout a share of its row."""
    return {
        "description": visible(name),
        "style": {"description_width": "6em"},
        "layout": widgets.Layout(**(layout or {"flex": "1 1 16em", "width": "auto"})),
    }


def column(*parts: widgets.Widget, share: int = 1) -> widgets.VBox:
    """Return widgets below each other, as a column that takes so many shares of the width."""
    return widgets.VBox(parts, layout=widgets.Layout(flex=f"{share} 1 18em", min_width="0", width="auto"))


def beside(*parts: widgets.Widget) -> widgets.HBox:
    """Return widgets beside each other, those that find no room below."""
    return widgets.HBox(parts, layout=widgets.Layout(flex_flow="row wrap", align_items="flex-start"))


def html_of(*parts: Any) -> str:
    """Return what shows itself as HTML; of a picture an image, with its words for those who cannot see it."""
    inside = "".join(_image(part) if isinstance(part, Picture) else part._repr_html_() for part in parts)
    return f'<div style="{_FIT}">{inside}</div>'


def _image(picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode()
    style = f"width:{picture.width:d}px;max-width:100%"
    image = f'<img src="data:image/png;base64,{data}" alt="{escape(picture.words)}" style="{style}">'
    name = picture.words.partition(". ")[0].rstrip(".")
    return f"<figure style='margin:0'>{image}<figcaption>{escape(name)}</figcaption></figure>"
