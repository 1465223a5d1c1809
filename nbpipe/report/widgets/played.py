"""What a person moves in JupyterLab, and what stands in its place where nobody is there to move it.

Unusual: who executes a notebook decides what is kept of it. A front end says with every cell whether somebody could
answer a prompt; papermill, nbval and nbconvert say no, and then no widget is made at all: a still of plain tables and
pictures is shown instead, which any viewer shows, and no widget state gets into the file. All of it is made before
IPython shows it, so that an error is one of the cell and whoever executes the notebook sees it.
"""

from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self

from IPython import get_ipython
from IPython.display import display

from nbpipe.shown import Picture, Sentence, Shown

if TYPE_CHECKING:
    from nbpipe.report.widgets.controls import Panel


class Played(Shown):
    """What shows controls to a person, and to everybody else the still that `shown` gives, pictures among it."""

    def shown(self) -> Sequence[Any]:
        """Return the still, from top to bottom: whatever shows itself as HTML, and pictures."""
        raise NotImplementedError

    def panel(self) -> "Panel":
        """Return new controls with what they show; needs ipywidgets."""
        raise NotImplementedError

    def ready(self) -> Self:
        """In a notebook make now what will be shown, and return itself.

        What is raised while IPython shows something is printed and forgotten; raised here it is the cell's error.
        """
        if get_ipython():
            _ = self._outputs
        return self

    @cached_property
    def _outputs(self) -> Sequence[Any]:
        return [self._both()] if attended() else self.shown()

    def _ipython_display_(self) -> None:
        for output in self._outputs:
            display(output, raw=isinstance(output, dict))

    def _both(self) -> dict[str, Any]:
        """Return the controls, and beside them the still for those who read the notebook later."""
        parts = self.shown()
        drawn = [part._repr_png_()[0] for part in parts if isinstance(part, Picture)][:1]
        still = {"text/html": _joined(parts), "text/plain": "\n\n".join(map(repr, parts))}
        return {**self.panel().bundle(), **still, **({"image/png": drawn[0]} if drawn else {})}

    def _repr_html_(self) -> str:
        return _joined(self.shown())


def _joined(parts: Sequence[Any]) -> str:
    """Return what shows itself as one piece of HTML, of pictures their words: not every viewer shows those in HTML."""
    return "".join((Sentence(part.words) if isinstance(part, Picture) else part)._repr_html_() for part in parts)


def attended() -> bool:
    """Return whether a person may be there to move something, and the widgets for it are installed."""
    kernel = getattr(get_ipython(), "kernel", None)
    asked = kernel.get_parent().get("content", {}) if kernel else {}
    return bool(asked.get("allow_stdin")) and find_spec("ipywidgets") is not None
