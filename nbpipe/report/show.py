"""Pictures for the notebooks: objects that show themselves as a PNG, with a sentence for those who cannot see it.

Unusual: no pyplot, so nothing is global and nothing leaks between cells. Labels and words come from strangers: `$` is
no formula here, and a script without a font on this machine becomes boxes, not a warning. Pictures take plain arrays
and mappings, and are drawn sharp but with few colours, because they are committed inside notebooks.
"""

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from matplotlib import font_manager, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from nbpipe.shown import Picture

_BLUE, _ORANGE, _GREY, _INK = "#0072b2", "#d55e00", "#8a939e", "#2b333d"  # told apart by all kinds of eyes: Okabe, Ito
_WIDTH = 7.0  # inches
_DPI = 100  # of the screen; the picture holds twice as many
_FONTS = [
    *("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Microsoft YaHei", "PingFang SC"),
    *("Hiragino Sans", "WenQuanYi Zen Hei", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari"),
]
_STYLE = {
    "text.parse_math": False,
    "font.size": 9.5,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _GREY,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
}


def confusion(matrix: np.ndarray, labels: Sequence[str]) -> Picture:
    """Draw how often each true label (rows) got each predicted one (columns), shaded by the share of its row.

    matrix: counts [C, C]. Counts above 0 are written into the cells, up to 20 labels.
    """
    matrix = np.asarray(matrix)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    names = [short(label, 20) for label in labels]

    def paint(axes: Axes) -> None:
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel="predicted", ylabel="true")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelsize=min(9.5, 300 / max(len(names), 1)))
        for (row, column), count in np.ndenumerate(matrix) if len(names) <= 20 else ():
            ink = "white" if shares[row, column] > 0.55 else _INK
            axes.text(column, row, f"{count:,}" if count else "", ha="center", va="center", color=ink, size=8.5)

    right = int(np.trace(matrix))
    text = (
        f"Confusion matrix of {len(names)} labels: {right:,} of {int(matrix.sum()):,} documents got their true label."
    )
    return _draw(paint, min(1.4 + 0.34 * len(names), 8.5), text)


def curve(loss: Sequence[float], accuracy: Sequence[float], baselines: Mapping[str, float]) -> Picture:
    """Draw validation loss and accuracy per epoch, with the baselines' accuracies as level lines."""
    epochs = np.arange(1, len(loss) + 1)

    def paint(axes: Axes) -> None:
        axes.plot(epochs, accuracy, color=_BLUE, marker="o", ms=3, label="validation accuracy")
        for style, (name, value) in zip(("--", ":", "-."), baselines.items(), strict=False):
            axes.axhline(value, color=_GREY, ls=style, lw=1.2, label=f"{short(name)} {value:.3f}")
        axes.set(xlabel="epoch", ylabel="accuracy", ylim=(0, 1.02))
        axes.xaxis.get_major_locator().set_params(integer=True)
        losses = axes.twinx()
        losses.plot(epochs, loss, color=_ORANGE, lw=1.3, label="validation loss")
        losses.set(ylabel="loss", ylim=(0, None))
        losses.spines["right"].set_visible(True)
        lines = [*axes.get_lines(), *losses.get_lines()]
        axes.figure.legend(lines, [line.get_label() for line in lines], loc="outside upper left", ncols=4, fontsize=8.5)

    best = f"best validation accuracy {max(accuracy):.3f} in epoch {int(np.argmax(accuracy)) + 1}" if len(loss) else ""
    return _draw(paint, 3.0, f"Training over {len(loss)} epochs: {best or 'none was run'}.")


def scores(intervals: Mapping[str, tuple[float, float, float]], measure: str) -> Picture:
    """Draw a measure of models, a dot each and a line for its interval.

    intervals: (value, low, high) by name; the first is the model in question, drawn in colour.
    """
    return _dots(intervals, measure, lambda axes: axes.set_xlim(0, 1.02))


def reliability(before: tuple[np.ndarray, ...], after: tuple[np.ndarray, ...]) -> Picture:
    """Draw the share of right answers over their confidence, before and after calibration; on the diagonal is best.

    before, after: mean confidence [K] and share right [K] of each bin first, its number of answers [K] last.
    """

    def paint(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=_INK, lw=0.8, ls=":", label="as sure as right")
        axes.plot(*before[:2], color=_GREY, lw=1.2, ls="--", marker="s", ms=4, label="before")
        axes.plot(*after[:2], color=_BLUE, lw=1.8, marker="o", ms=5, label="after calibration")
        low = min(np.min(values, initial=1) for values in (*before[:2], *after[:2]))
        axes.set(xlabel="confidence", ylabel="share right", xlim=(low - 0.03, 1.02), ylim=(low - 0.03, 1.02))
        axes.figure.legend(loc="outside upper left", ncols=3, fontsize=8.5)

    gaps = [np.abs(np.subtract(*made[:2])) @ made[-1] / max(np.sum(made[-1]), 1) for made in (before, after)]
    text = f"Share of right answers over confidence: off by {gaps[0]:.3f} before and {gaps[1]:.3f} after calibration."
    return _draw(paint, 3.6, text)


def coverage(kept: np.ndarray, accuracy: np.ndarray, chosen: tuple[float, float | None], target: float) -> Picture:
    """Draw the accuracy over the share of documents answered, when the unsure ones are left to a person.

    kept, accuracy: [K]; chosen: share answered at the threshold and accuracy there, None where none is; target: wanted.
    """
    share, got = chosen

    def paint(axes: Axes) -> None:
        axes.plot(kept, accuracy, color=_BLUE, lw=1.8, label="answered documents that are right")
        axes.axhline(target, color=_GREY, ls="--", lw=1.2, label=f"target {target:.3f}")
        if got is not None:
            axes.plot(share, got, "D", color=_ORANGE, ms=8, label=f"threshold: {share:.0%} answered, {got:.1%} right")
        low = min(np.min(accuracy[kept >= 0.05], initial=target), got or 1)
        axes.set(xlabel="share of documents answered", ylabel="accuracy", xlim=(0, 1.02))
        axes.set_ylim(low - 0.1 * (1.001 - low), 1 + 0.05 * (1.001 - low))
        axes.figure.legend(loc="outside upper left", ncols=3, fontsize=8.5)

    marked = f"at the threshold {share:.0%} are answered and {got:.1%} of these right" if got is not None else ""
    return _draw(paint, 3.2, f"Accuracy over the share of documents answered: {marked or 'no threshold was reached'}.")


def growth(sizes: Sequence[int], intervals: Sequence[tuple[float, float, float]]) -> Picture:
    """Draw accuracy over the number of documents learnt from; intervals: (value, low, high) at each size."""
    values, low, high = np.array(intervals, dtype=float).reshape(-1, 3).T

    def paint(axes: Axes) -> None:
        axes.errorbar(sizes, values, [values - low, high - values], color=_BLUE, marker="o", ms=5, lw=1.8, capsize=4)
        for size, value in zip(sizes, values, strict=True):
            axes.annotate(f"{value:.3f}", (size, value), (7, -11), textcoords="offset points", fontsize=8.5)
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.margins(x=0.08)
        axes.set(xlabel="documents learnt from", ylabel="test accuracy")

    points = (f"{size:,} documents {value:.3f}" for size, value in zip(sizes, values, strict=True))
    return _draw(paint, 3.0, f"Accuracy by documents learnt from: {'; '.join(points)}.")


def words(top: Mapping[str, Sequence[tuple[str, float]]]) -> Picture:
    """Draw the strongest words of each label as bars, three labels beside each other, twelve at most.

    top: (word, attribution) pairs by label, strongest first. Words that speak against the label get the other colour.
    """
    top = dict(islice(top.items(), 12))
    columns = min(3, max(1, len(top)))
    rows = max(1, -(-len(top) // columns))
    deepest = max((len(pairs) for pairs in top.values()), default=0)

    def paint(first: Axes) -> None:
        grid = first.figure
        first.remove()
        for place, (label, pairs) in enumerate(top.items(), start=1):
            axes = grid.add_subplot(rows, columns, place)
            values = [value for _, value in pairs]
            colours = [_BLUE if value >= 0 else _ORANGE for value in values]
            axes.barh(range(len(pairs)), values, color=colours, height=0.7)
            axes.set_yticks(range(len(pairs)), [short(word, 18) for word, _ in pairs])
            axes.set_ylim(max(deepest, 1) - 0.4, -0.6)
            axes.set_title(short(label, 20))
            axes.tick_params(axis="y", length=0)
            axes.tick_params(axis="x", labelsize=8)
            axes.locator_params(axis="x", nbins=3)

    text = "; ".join(f"{label}: {', '.join(word for word, _ in pairs)}" for label, pairs in top.items())
    return _draw(paint, rows * (0.75 + 0.19 * deepest), f"Strongest words. {text}")


def deletion(drops: Mapping[str, tuple[float, float, float]], measure: str) -> Picture:
    """Draw by how much each way of removing words lowers a measure: a dot for the mean, a line for its interval.

    drops: (mean, low, high) by name; the first is the model's own choice of words, drawn in colour.
    """
    return _dots(drops, measure, lambda axes: axes.axvline(0, color=_INK, lw=0.8))


def _dots(found: Mapping[str, tuple[float, float, float]], measure: str, frame: Callable[[Axes], Any]) -> Picture:
    """Draw (value, low, high) by name as dots with lines, the first in colour."""

    def paint(axes: Axes) -> None:
        for height, (value, low, high) in enumerate(found.values()):
            colour = _BLUE if height == 0 else _GREY
            axes.plot([low, high], [height, height], color=colour, lw=3, solid_capstyle="round")
            axes.plot(value, height, "o", color=colour, ms=8)
            axes.annotate(f"{value:.3f}", (value, height), (0, 7), textcoords="offset points", ha="center")
        frame(axes)
        axes.set_yticks(range(len(found)), [short(name, 40) for name in found])
        axes.set_ylim(len(found) - 0.5, -0.7)
        axes.set_xlabel(measure)
        axes.tick_params(axis="y", length=0)

    text = "; ".join(f"{name} {value:.3f} ({low:.3f} to {high:.3f})" for name, (value, low, high) in found.items())
    return _draw(paint, 0.9 + 0.45 * len(found), f"{measure}: {text}.")


def short(text: str, longest: int = 28) -> str:
    """Return text on one line that can be drawn: what is unprintable is replaced, a long one loses its middle."""
    line = " ".join("".join(c if c.isprintable() else "\ufffd" if not c.isspace() else " " for c in text).split())
    half = (longest - 1) // 2
    return line if len(line) <= longest else f"{line[:half]}…{line[-half:]}"


def _draw(paint: Callable[[Axes], None], height: float, text: str) -> Picture:
    """Let `paint` draw on axes of the common style, and return the picture with few colours and no metadata."""
    fonts = {font.name for font in font_manager.fontManager.ttflist}
    buffer, small = io.BytesIO(), io.BytesIO()
    style = _STYLE | {"font.family": [name for name in _FONTS if name in fonts]}
    with warnings.catch_warnings(), rc_context(style):
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        paint(figure.add_subplot())
        figure.savefig(buffer, format="png", dpi=2 * _DPI, facecolor="white")
    with Image.open(buffer) as image:
        image.convert("RGB").quantize(64, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return Picture(small.getvalue(), text, round(_WIDTH * _DPI))
