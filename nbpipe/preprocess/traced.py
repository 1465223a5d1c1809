"""Where each character of a page's text stands on the page.

Unusual: nothing is searched for. The text is made once more by the steps that made it when the document was read, and
each step passes on which of pdfium's characters a character comes from; the boxes are those by which missing spaces
were found. Whoever uses it compares the text with the one that was kept: if they differ by one character, no place in
it is to be believed.
"""

import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from nbpipe.preprocess.parsed import ODD, spelt
from nbpipe.preprocess.pdf import LINE_HYPHEN, Page, cuts
from nbpipe.preprocess.spacing import Glyphs, Spacing

Rect = tuple[float, float, float, float]  # left, bottom, right and top in points of the page, before it is turned

_LAST_UNIT = 0xFFFF
_OVERLAP = 0.3  # of the smaller side: what two boxes of one line share
_FARTHEST = 3.0  # line heights between two characters of one line
_LARGEST = 1e6  # points; a box that reaches farther is none


class Traced(NamedTuple):
    """A page's text, and of each character the index of pdfium's character; below 0 where pdfium has none."""

    text: str
    origins: Sequence[int]


def trace(page: Page, spacing: Spacing) -> Traced:
    """Return a page's text, as it is kept, with its origins; the page comes with all boxes."""
    owners = _owners(page)
    traced = _decoded([(page.units[2 * a : 2 * b], owners[a:b]) for a, b in pairwise(cuts(page, spacing))])
    traced = _swapped(traced, re.compile(LINE_HYPHEN), lambda hyphen: "-\n")
    traced = _swapped(traced, re.compile("\r\n"), lambda end: "\n")
    return _swapped(traced, ODD, spelt)


def _owners(page: Page) -> list[int]:
    """Return the index of pdfium's character for each unit of a page's text, where both are the same character."""
    units = array("H", page.units)
    owners, beyond = [-1] * len(units), 0
    for index, place in enumerate(page.places):
        code = page.glyphs.units[index] if page.glyphs else 0
        if code > _LAST_UNIT:  # pdfium counts such a character, but cannot write it
            beyond += 1
        elif 0 <= place - beyond < len(units) and units[place - beyond] in (code, ord(LINE_HYPHEN)):
            owners[place - beyond] = index
    return owners


def _decoded(pieces: Sequence[tuple[bytes, Sequence[int]]]) -> Traced:
    """Decode pieces of UTF-16 with a space between each two; of two units that are one character the first counts."""
    units, owners = b" \0".join(units for units, _ in pieces), list(pieces[0][1])
    for _, more in pieces[1:]:
        owners += [-1, *more]
    text, origins, at = units.decode("utf-16-le", "replace"), [], 0
    for char in text:
        origins.append(owners[at])
        at += 2 if char > "\uffff" else 1
    return Traced(text, origins)


def _swapped(traced: Traced, pattern: re.Pattern[str], spell: Callable[[re.Match[str]], str]) -> Traced:
    """Replace what a pattern finds; each new character comes from where the first of the old ones came from."""
    pieces, origins, done = [], [], 0
    for found in pattern.finditer(traced.text):
        new = spell(found)
        pieces += [traced.text[done : found.start()], new]
        origins += [*traced.origins[done : found.start()], *[traced.origins[found.start()]] * len(new)]
        done = found.end()
    return Traced("".join([*pieces, traced.text[done:]]), [*origins, *traced.origins[done:]])


def rectangles(traced: Traced, glyphs: Glyphs | None, start: int, end: int) -> list[Rect]:
    """Return the boxes around a stretch of a page's text: one a line, none where nothing of it is drawn."""
    if glyphs is None:
        return []
    lines = traced.text[start:end].splitlines(keepends=True)
    found, at = [], start
    for line in lines:
        found += _joined(_boxes(traced, glyphs, at, at + len(line)))
        at += len(line)
    return found


def _boxes(traced: Traced, glyphs: Glyphs, start: int, end: int) -> Iterator[Rect]:
    """Yield the box of each character that has one: spaces and line ends that pdfium made up have none."""
    for char, origin in zip(traced.text[start:end], traced.origins[start:end], strict=True):
        if origin < 0 or char.isspace():
            continue
        box = (glyphs.left[origin], glyphs.bottom[origin], glyphs.right[origin], glyphs.top[origin])
        if box[0] < box[2] and box[1] < box[3] and all(abs(side) < _LARGEST for side in box):
            yield box


def _joined(boxes: Iterator[Rect]) -> list[Rect]:
    """Join the boxes of neighbours on a line, whichever way it runs; a jump starts a new one."""
    found: list[Rect] = []
    last = None
    for box in boxes:
        if last and _aligned(last, box):
            one = found[-1]
            found[-1] = (min(one[0], box[0]), min(one[1], box[1]), max(one[2], box[2]), max(one[3], box[3]))
        else:
            found.append(box)
        last = box
    return found


def _aligned(one: Rect, two: Rect) -> bool:
    """Tell whether two boxes stand beside or above each other, and near."""
    across, along = (
        (min(one[side + 2], two[side + 2]) - max(one[side], two[side]))
        / min(one[side + 2] - one[side], two[side + 2] - two[side])
        for side in (0, 1)
    )
    size = max(one[3] - one[1], one[2] - one[0])
    gaps = (max(one[side], two[side]) - min(one[side + 2], two[side + 2]) for side in (0, 1))
    return (across > _OVERLAP or along > _OVERLAP) and max(gaps) < _FARTHEST * size
