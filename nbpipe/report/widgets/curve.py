"""The curve of accuracy over the share of documents answered, for a slider: a mark that moves with every key.

Unusual: it is written as SVG, in the colours of the page around it. `show.coverage` draws the same as a PNG in half a
second, for a notebook; a slider needs it in a few milliseconds, and a dark JupyterLab needs light lines.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nbpipe.report.widgets.answers import Answers
from nbpipe.shown import escape

_WIDE, _HIGH, _LEFT, _TOP, _RIGHT, _LOW = 570, 250, 52, 14, 545, 208
_COLOURS = ("#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")  # told apart by all kinds of eyes: Okabe and Ito
_DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 4")
_POINTS = 300


@dataclass(frozen=True, eq=False)
class Curve:
    """The curves of some runs, by name, with a mark on each where a share of documents, in percent, is answered."""

    runs: Mapping[str, Answers]
    percent: int

    def _repr_html_(self) -> str:
        least = min(0.9, *(float(run.coverage.points[1].min()) for run in self.runs.values()))
        floor = np.floor(least * 10) / 10
        parts = [_axes(floor), *(self._line(place, name, floor) for place, name in enumerate(self.runs))]
        size = f'viewBox="0 0 {_WIDE} {_HIGH + 18 * len(self.runs)}" width="{_WIDE}" style="max-width:100%"'
        name = f'role="img" aria-label="{escape(repr(self))}"'
        return f'<svg {name} {size} fill="currentColor" font-size="12">{"".join(parts)}</svg>'

    def __repr__(self) -> str:
        said = [f"{name}: {run.sentence(self.percent).text}" for name, run in self.runs.items()]
        return " ".join(["Accuracy over the share of documents answered.", *said])

    def _line(self, place: int, name: str, floor: float) -> str:
        """Draw one run's curve, its mark, and its line of the legend."""
        run, colour = self.runs[name], _COLOURS[place % len(_COLOURS)]
        kept, accuracy, _ = run.coverage.points
        chosen = np.unique(np.linspace(0, len(kept) - 1, _POINTS).astype(int))
        points = " ".join(f"{_x(kept[i]):.1f},{_y(accuracy[i], floor):.1f}" for i in chosen)
        stroke = f'fill="none" stroke="{colour}" stroke-width="2.5" stroke-dasharray="{_DASHES[place % len(_DASHES)]}"'
        found, row = run.at(self.percent), _HIGH + 18 * place
        mark = "" if found.accuracy is None else _diamond(_x(found.share), _y(found.accuracy, floor))
        legend = f'<polyline points="{_LEFT},{row} {_LEFT + 34},{row}" {stroke}/>'
        return f'<polyline points="{points}" {stroke}/>{legend}{_text(_LEFT + 42, row + 4, name, "start")}{mark}'


def _x(share: float) -> float:
    return _LEFT + (_RIGHT - _LEFT) * float(share)


def _y(accuracy: float, floor: float) -> float:
    return _LOW - (_LOW - _TOP) * float((accuracy - floor) / (1 - floor))


def _diamond(x: float, y: float) -> str:
    corners = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in ((0, -7), (7, 0), (0, 7), (-7, 0)))
    return f'<polygon class="mark" points="{corners}" fill="#d55e00" stroke="white"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _axes(floor: float) -> str:
    """Draw level lines with their accuracies, and the shares below."""
    levels = np.linspace(floor, 1, 5)
    lines = "".join(
        f'<line x1="{_LEFT}" x2="{_RIGHT}" y1="{_y(level, floor):.1f}" y2="{_y(level, floor):.1f}" '
        f'stroke="currentColor" stroke-opacity="0.25"/>{_text(_LEFT - 6, _y(level, floor) + 4, f"{level:.1%}", "end")}'
        for level in levels
    )
    shares = "".join(_text(_x(share), _LOW + 18, f"{share:.0%}", "middle") for share in np.linspace(0, 1, 6))
    return lines + shares + _text((_LEFT + _RIGHT) / 2, _LOW + 34, "share of documents answered", "middle")
