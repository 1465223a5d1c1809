"""Finds the spaces that pdfium misses when a PDF sets words close together.

Some tools (wkhtmltopdf among them) draw no space characters and place every glyph on its own, and pdfium then
glues words together. What is telling about a gap is not its width but its excess over the gap that commonly
follows the same character at the same size: overhang, rounding and tracking are alike wherever the character
stands, a space is added on top. A gap counts as a missing space when its excess is over a third of that of the spaces
pdfium did find, and a document counts as glued when such gaps are more than one in twenty of all its
spaces, which neither kerning nor two columns bring about. A sample of the first pages settles it.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import sub
from typing import NamedTuple

_SAMPLE = 2000  # gaps that settle whether a document is glued: about half a page
_FEW = 5  # fewer gaps than this say nothing about what is usual
_OVERHANG = 0.1  # how far a character's usual gap may exceed its line's: a comma is mostly followed by a space
_APART = 0.02  # of the line height; boxes nearer than this touch, and no space fits between them
_LEAST = 0.08  # of the line height; a smaller excess is never a space
_SHARE = 0.35  # of the excess that found spaces have
_GLUED = 0.05  # missing spaces among all spaces
_EVIDENCE = 5  # missing spaces that a document must show at least
_LINE_ENDS = frozenset(b"\r\n\0") | {0x02, 0xFFFE}
_BLANKS = frozenset(b" \t\xa0") | _LINE_ENDS
_SPACELESS = (
    range(0x0E00, 0x0F00),  # Thai, Lao
    range(0x1000, 0x10A0),  # Burmese
    range(0x1780, 0x1800),  # Khmer
    range(0x2E80, 0xA4D0),  # Chinese, Japanese, Yi
    range(0xF900, 0xFB00),
    range(0xFF00, 0xFFF0),
)


class Glyphs(NamedTuple):
    """The characters of a page: UTF-16 units, and the sides of their boxes in the page's own measure."""

    units: Sequence[int]
    left: array
    top: array
    right: array
    bottom: array

    @classmethod
    def of(cls, units: Sequence[int], boxes: array) -> "Glyphs":
        """Take boxes as left, top, right and bottom of one character after the other."""
        return cls(units, *(boxes[side::4] for side in range(4)))


class _Gap(NamedTuple):
    unit: int  # the character before the gap
    height: int  # of its line, in tenths
    width: float  # in line heights
    spaced: bool  # whether pdfium found a space in it


class Spacing:
    """What gaps are usual in one document, and so which of them are spaces."""

    def __init__(self) -> None:
        self._sample: list[_Gap] = []
        self._usual: dict[tuple[int, int], float] = {}
        self._limit = _LEAST
        self.settled = False
        self.glued = False

    def learn(self, page: Glyphs) -> None:
        """Take one more page into account; enough gaps settle whether the document is glued."""
        self._sample += islice(_gaps(page), _SAMPLE - len(self._sample))
        if len(self._sample) >= _SAMPLE:
            self.settle()

    def settle(self) -> None:
        """Judge by what was seen; a document may end before enough was."""
        if self.settled:
            return
        self._usual = _usual_gaps(self._sample)
        found = sorted(self._excess(gap) for gap in self._sample if gap.spaced)
        if found:
            self._limit = max(_LEAST, _SHARE * found[len(found) // 2])
        missing = sum(self._is_space(gap) for gap in self._sample if not gap.spaced)
        self.glued = missing >= _EVIDENCE and missing > _GLUED * (missing + len(found))
        self.settled = True
        self._sample = []

    def missing(self, page: Glyphs) -> list[int]:
        """Return the indices of the characters that lack a space before them."""
        right = page.right
        widths = map(max, map(sub, page.left[1:], right), map(sub, page.left, right[1:]))
        sizes = map(sub, page.top[1:], page.bottom[1:])
        apart = [i for i, (width, size) in enumerate(zip(widths, sizes, strict=True), 1) if width > _APART * size > 0]
        return [i for i in apart if (gap := _gap(page, i - 1, i)) and self._is_space(gap)]

    def _is_space(self, gap: _Gap) -> bool:
        return gap.width > _APART and self._excess(gap) > self._limit

    def _excess(self, gap: _Gap) -> float:
        usual = self._usual
        for key in ((gap.unit, gap.height), (0, gap.height), (gap.unit, 0)):
            if key in usual:
                return gap.width - usual[key]
        return gap.width - usual.get((0, 0), 0.0)


def _gaps(page: Glyphs) -> Iterator[_Gap]:
    """Yield the gaps between neighbours on one line."""
    before = None
    for index, unit in enumerate(page.units):
        if unit in _BLANKS:
            if unit in _LINE_ENDS:
                before = None
            continue
        if before is not None and (gap := _gap(page, before, index)):
            yield gap
        before = index


def _gap(page: Glyphs, before: int, index: int) -> _Gap | None:
    """Return the gap between two characters, None where they are no neighbours on a line."""
    units, left, top, right, bottom = page
    height = top[index] - bottom[index]
    overlap = min(top[index], top[before]) - max(bottom[index], bottom[before])
    last, unit = units[before], units[index]
    if height <= 0 or overlap <= 0.3 * height or last in _BLANKS or unit in _BLANKS:
        return None
    if unit >= 0x0E00 and any(last in script and unit in script for script in _SPACELESS):
        return None
    # Written from right to left, the next character lies on the left.
    width = max(left[index] - right[before], left[before] - right[index]) / height
    return _Gap(last, round(10 * (top[before] - bottom[before])), width, index - before > 1)


def _usual_gaps(sample: Iterable[_Gap]) -> dict[tuple[int, int], float]:
    """Return the usual gap after each character at each height; 0 stands for any character, and for any height."""
    seen: dict[tuple[int, int], list[float]] = defaultdict(list)
    for unit, height, width, spaced in sample:
        if not spaced:
            for key in ((unit, height), (0, height), (unit, 0), (0, 0)):
                seen[key].append(width)
    usual = {key: sorted(widths)[len(widths) // 2] for key, widths in seen.items() if len(widths) >= _FEW}
    return {key: min(width, usual[0, key[1]] + _OVERHANG) for key, width in usual.items()}
