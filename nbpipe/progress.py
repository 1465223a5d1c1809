"""One progress bar that looks right live in Jupyter, in a terminal, in a log and in the saved notebook.

Unusual: in a kernel it redraws one display in place and ends as one plain line, because tqdm's widget is frozen at 0%
in a saved notebook and its text bar leaves a line per refresh.
"""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

from nbpipe.shown import escape

T = TypeVar("T")
_REFRESH = 0.5


def say(sentence: str) -> None:
    """Tell people one thing, on stderr."""
    print(sentence, file=sys.stderr, flush=True)


def progress(items: Iterable[T], total: int, unit: str = "documents") -> Iterator[T]:
    """Yield `items`, showing how many of `total` came, how fast, and how long the rest may take."""
    if "IPython" in sys.modules and _in_kernel():
        yield from _in_notebook(items, total, unit)
    else:
        yield from tqdm(items, total=total, unit=f" {unit}", disable=not sys.stderr.isatty())


def _in_kernel() -> bool:
    from IPython import get_ipython  # here, since it takes as long to load as all the rest, and outside is not needed

    return hasattr(get_ipython(), "kernel")


def _in_notebook(items: Iterable[T], total: int, unit: str) -> Iterator[T]:
    from IPython.display import DisplayHandle

    handle, began, shown, done = DisplayHandle(), time.monotonic(), 0.0, 0
    handle.display(_bar(0, total, unit, 0), raw=True)
    try:
        for done, item in enumerate(items, start=1):
            yield item
            now = time.monotonic()
            if now - shown > _REFRESH:
                shown = now
                handle.update(_bar(done, total, unit, now - began), raw=True)
    finally:
        handle.update(_line(_closing(done, total, unit, time.monotonic() - began)), raw=True)


def _bar(done: int, total: int, unit: str, seconds: float) -> dict[str, str]:
    left = f", about {seconds / done * (total - done):,.0f} s left" if done else ""
    text = f"{done:,} of {total:,} {unit}{left}"
    return {
        "text/html": f'<progress value="{done}" max="{max(total, 1)}"></progress> {text}',
        "text/plain": text,
    }


def _closing(done: int, total: int, unit: str, seconds: float) -> str:
    stopped = f"stopped after {done:,} of " if done < total else ""
    return f"{stopped}{total:,} {unit} in {seconds:,.1f} s ({done / max(seconds, 1e-9):,.0f} a second)"


def _line(text: str) -> dict[str, str]:
    return {"text/html": escape(text), "text/plain": text}
