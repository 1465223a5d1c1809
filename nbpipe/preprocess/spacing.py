"""Finds the spaces that pdfium misses when a PDF sets words close together.

Some tools (wkhtmltopdf among them) draw no space characters and place every glyph on its own, and pdfium then
glues words together. What is telling about a gap is not its width but its excess over the gap that commonly
follows the same character at the same size: overhang, rounding and tracking are alike wherever the character
stands, a space is added on top. A gap counts as a missing space when its excess is over a third of that of the spaces
pdfium did find, and a document counts as glued when such gaps are more than one in twenty of all its
spaces, which neither kerning nor two columns bring about. A sample of the first pages settles it.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress, count, islice
from operator import gt, or_
from typing import NamedTuple

_SAMPLE = 1000  # gaps that settle whether a document is glued: about a quarter of a page
_FEW = 5  # fewer gaps than this say nothing about what is usual
_OVERHANG = 0.05  # how far a character's usual gap may exceed its line's: a comma is mostly followed by a space
_APART = 0.02  # of the line height; boxes nearer than this touch, and no space fits between them
_LEAST = 0.08  # of the line height; a smaller excess is never a space
_SHARE = 0.35  # of the excess that found spaces have
_WIDEST = 1.0  # line heights; a wider jump is a change of direction or column, which pdfium marks itself
_GLUED = 0.06  # missing spaces among all spaces; kerning and two columns make up to 0.03, glued documents 0.1 to 0.7
_EVIDENCE = 10  # missing spaces that a document must show at least; fewer may be one spaced-out heading
_LINE_ENDS = frozenset(b"\r\n\0") | {0x02, 0xFFFE}
_BLANKS = frozenset(b" \t\xa0") | _LINE_ENDS
_LEADERS = frozenset(b"-._*=\xb7") | {0x2026}  # set in rows, as in a table of contents
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
    left: list[float]
    top: list[float]
    right: list[float]
    bottom: list[float]

    @classmethod
    def of(cls, units: Sequence[int], boxes: array) -> "Glyphs":
        """Take boxes as left, top, right and bottom of one character after the other."""
        return cls(units, *(boxes[side::4].tolist() for side in range(4)))


# The character before a gap; the height of its line in tenths; the gap's width in line heights; whether pdfium found a
# space in it. A bare tuple, since thousands are made for each document.
_Gap = tuple[int, int, float, bool]


class Spacing:
    """What gaps are usual in one document, and so which of them are spaces."""

    def __init__(self) -> None:
        self._sample: list[_Gap] = []
        self._usual = _Usual()
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
        self._usual.learn(self._sample)
        found = sorted(self._excess(gap) for gap in self._sample if gap[3])
        if found:
            self._limit = max(_LEAST, _SHARE * found[len(found) // 2])
        missing = sum(self._is_space(gap) for gap in self._sample if not gap[3])
        self.glued = missing >= _EVIDENCE and missing > _GLUED * (missing + len(found))
        self.settled = True
        self._sample = []

    def missing(self, page: Glyphs) -> list[int]:
        """Return the indices of the characters that lack a space before them."""
        units, left, right = page.units, page.left, page.right
        # Most neighbours touch; comparing whole columns finds those that do not, from left to right or back.
        apart = map(or_, map(gt, left[1:], right), map(gt, left, right[1:]))
        pairs = [i for i in compress(count(1), apart) if units[i] not in _BLANKS and units[i - 1] not in _BLANKS]
        gaps = {i: gap for i in pairs if (gap := _gap(page, i - 1, i)) and _APART < gap[2] < _WIDEST}
        if strange := {gap[1] for gap in gaps.values()} - self._usual.heights:
            self._usual.learn(_gaps(page, strange))
        return [i for i, gap in gaps.items() if self._excess(gap) > self._limit]

    def _is_space(self, gap: _Gap) -> bool:
        return _APART < gap[2] < _WIDEST and self._excess(gap) > self._limit

    def _excess(self, gap: _Gap) -> float:
        return gap[2] - self._usual[gap[:2]]


class _Usual(dict[tuple[int, int], float]):
    """The usual gap after each character at each height; 0 stands for any character, and for any height."""

    def __init__(self) -> None:
        super().__init__()
        self.heights: set[int] = set()

    def learn(self, sample: Iterable[_Gap]) -> None:
        """Take the median of gaps without a space; of one character the lower third, as it may often end words."""
        seen: dict[tuple[int, int], list[float]] = defaultdict(list)
        for unit, height, width, spaced in sample:
            self.heights.add(height)
            if not spaced:
                seen[unit, height].append(width)
        sizes = Counter(height for _, height in seen)
        for (unit, height), widths in list(seen.items()):
            # A height that few characters have is their own shape's, such as a capital's with an accent.
            for wider in ((0, height), (unit, 0), (0, 0))[sizes[height] < _FEW :]:
                seen[wider] += widths
        known = {key: sorted(widths) for key, widths in seen.items() if len(widths) >= _FEW}
        for (unit, height), widths in known.items():
            line = known.get((0, height), known[0, 0])
            usual = widths[len(widths) // (3 if unit and height else 2)]
            self.setdefault((unit, height), min(usual, line[len(line) // 2] + _OVERHANG))

    def __missing__(self, key: tuple[int, int]) -> float:
        unit, height = key
        wider = [self[other] for other in ((0, height), (unit, 0)) if other in self]
        return max(wider, default=self.get((0, 0), 0.0))


def _gaps(page: Glyphs, heights: set[int] | None = None) -> Iterator[_Gap]:
    """Yield the gaps between neighbours on one line, all or those on lines of some heights."""
    before = None
    for index, unit in enumerate(page.units):
        if unit in _BLANKS:
            if unit in _LINE_ENDS:
                before = None
            continue
        wanted = before is not None and (heights is None or _height(page.top[before], page.bottom[before]) in heights)
        if wanted and (gap := _gap(page, before, index)):
            yield gap
        before = index


def _height(high: float, low: float) -> int:
    return round(10 * (high - low)) or 1  # 0 stands for any height


def _gap(page: Glyphs, before: int, index: int) -> _Gap | None:
    """Return the gap between two characters, None where they are no neighbours on a line."""
    units, left, top, right, bottom = page
    high, low, last_high, last_low = top[index], bottom[index], top[before], bottom[before]
    height = high - low
    overlap = (high if high < last_high else last_high) - (low if low > last_low else last_low)
    if height <= 0 or overlap <= 0.3 * height:
        return None
    unit, last = units[index], units[before]
    if unit == last and unit in _LEADERS:
        return None
    if unit >= 0x0E00 and any(last in script and unit in script for script in _SPACELESS):
        return None
    width = left[index] - right[before]
    if width < 0:  # written from right to left, the next character lies on the left
        width = max(width, left[before] - right[index])
    return last, _height(last_high, last_low), width / height, index - before > 1
