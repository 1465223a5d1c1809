"""Draws a forecast: machines against time, with the interval as a band and the deadline as a line.

Unusual: a machine that only parses has no matplotlib, so the drawing is made with what it has: ReportLab draws it and
pdfium, which reads the documents, makes a picture of it. Both axes are logarithmic, because then ten times the machines
are the same step down everywhere.
"""

import io
import math
from collections.abc import Callable

import pypdfium2
from PIL import Image
from reportlab.graphics import renderPDF
from reportlab.graphics.shapes import Circle, Drawing, Line, Polygon, PolyLine, String
from reportlab.lib.colors import HexColor

from nbpipe.cost import duration
from nbpipe.preprocess.forecast import Forecast
from nbpipe.shown import Picture

# Told apart by all kinds of eyes: Okabe, Ito. The names are those of report/show.py.
_BLUE, _ORANGE, _GREY, _INK, _BAND = map(HexColor, ("#0072b2", "#d55e00", "#8a939e", "#2b333d", "#cfe3f0"))
_WIDTH, _HEIGHT = 700, 320
_LEFT, _RIGHT, _BOTTOM, _TOP = 78, 672, 44, 290
_SHARP = 2  # pixels of the picture for each of the screen
_TICKS = {
    **{tick: duration(tick) for tick in (0.01, 0.1, 1, 10, 600, 36000, 864e3, 864e4, 864e5)},
    **{60: "1 minute", 3600: "1 hour", 86400: "1 day"},
}
_STEPS = 80


def draw(forecast: Forecast) -> Picture:
    """Return the picture of a forecast, in few colours so that a notebook stays small."""
    picture = Drawing(_WIDTH, _HEIGHT)
    counts = forecast.machines if len(forecast.machines) > 1 else [1, 2]
    if forecast.whole.seconds:
        _paint(picture, forecast, counts)
    with pypdfium2.PdfDocument(renderPDF.drawToString(picture)) as document:
        image = document[0].render(scale=_SHARP).to_pil()
    small = io.BytesIO()
    image.convert("RGB").quantize(32, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return Picture(small.getvalue(), _in_words(forecast), _WIDTH)


def _in_words(forecast: Forecast) -> str:
    if not forecast.whole.seconds:
        return "Machines against time: nothing was measured."
    times = "; ".join(f"{count:,}: {duration(forecast.seconds(count))}" for count in forecast.machines)
    return f"Machines against time: {times}. {forecast.answer.text}"


def _paint(picture: Drawing, forecast: Forecast, counts: list[int]) -> None:
    whole, deadline, most = forecast.whole, forecast.terms.deadline, counts[-1]
    ends = [forecast.seconds(1, whole.high), forecast.seconds(most, whole.low), deadline]
    across = _scale(1 / 1.15, most * 1.25, _LEFT, _RIGHT)
    up = _scale(min(ends) / 2.5, max(ends) * 1.7, _BOTTOM, _TOP)
    curve = [most ** (step / _STEPS) for step in range(_STEPS + 1)]

    def along(work: float) -> list[tuple[float, float]]:
        return [(across(m), up(max(work / m / forecast.terms.cores, forecast.slowest))) for m in curve]

    band = [*along(whole.high), *reversed(along(whole.low))]
    picture.add(Polygon([value for point in band for value in point], fillColor=_BAND, strokeColor=None))
    _axes(picture, across, up, counts)
    picture.add(
        Line(_LEFT, up(deadline), _RIGHT, up(deadline), strokeColor=_ORANGE, strokeWidth=2, strokeDashArray=[7, 4])
    )
    line = [value for point in along(whole.seconds) for value in point]
    picture.add(PolyLine(line, strokeColor=_BLUE, strokeWidth=2.5))
    for count in counts:
        _mark(picture, across(count), up(forecast.seconds(count)), chosen=count == forecast.smallest)
    above, below = up(forecast.seconds(1, whole.high)) + 6, up(forecast.seconds(most, whole.low)) - 18
    _say(picture, across(1), above, duration(forecast.seconds(1)), _BLUE)
    _say(picture, across(most), below, duration(forecast.seconds(most)), _BLUE)
    _say(picture, _RIGHT, up(deadline) + 6, f"deadline: {duration(deadline)}", _ORANGE, "end")
    _say(picture, _LEFT, _HEIGHT - 14, forecast.answer.text.partition(";")[0], _INK, "start")


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Return the logarithmic scale that puts low at start and high at end."""
    return lambda value: start + (end - start) * math.log(value / low) / math.log(high / low)


def _axes(picture: Drawing, across: Callable, up: Callable, counts: list[int]) -> None:
    picture.add(Line(_LEFT, _BOTTOM, _RIGHT, _BOTTOM, strokeColor=_GREY))
    for tick, text in _TICKS.items():
        if _BOTTOM < up(tick) < _TOP:
            picture.add(Line(_LEFT, up(tick), _RIGHT, up(tick), strokeColor=_GREY, strokeWidth=0.3))
            _say(picture, _LEFT - 6, up(tick) - 4, text, _INK, "end")
    last = -math.inf
    for count in counts:
        if across(count) - last > 22:
            _say(picture, across(count), _BOTTOM - 15, f"{count:,}", _INK)
            last = across(count)
    _say(picture, (_LEFT + _RIGHT) / 2, _BOTTOM - 34, "machines", _INK)


def _mark(picture: Drawing, x: float, y: float, chosen: bool) -> None:
    """Draw a point; the smallest number of machines in time is an open ring, larger."""
    if chosen:
        picture.add(Circle(x, y, 7, fillColor=HexColor("#ffffff"), strokeColor=_ORANGE, strokeWidth=2.5))
    picture.add(Circle(x, y, 3.5, fillColor=_BLUE, strokeColor=None))


def _say(picture: Drawing, x: float, y: float, text: str, colour: HexColor, anchor: str = "middle") -> None:
    picture.add(String(x, y, text, fontName="Helvetica", fontSize=12, fillColor=colour, textAnchor=anchor))
