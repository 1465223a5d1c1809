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
_FIRST_SPACELESS = _SPACELESS[0].start


class Glyphs(NamedTuple):
    """The characters of a page: UTF-16 units, and the sides of their boxes in the page's own measure."""

    units: Sequence[int]
    left: list[float]
    top: Sequence[float]
    right: list[float]
    bottom: Sequence[float]

    @classmethod
    def of(cls, units: Sequence[int], boxes: array) -> "Glyphs":
        """Take boxes as left, top, right and bottom of one character after the other."""
        return cls(units, boxes[0::4].tolist(), boxes[1::4], boxes[2::4].tolist(), boxes[3::4])


_Key = tuple[int, int]  # a character and the height of its line in tenths
_ANY = (0, 0)  # any character, any height
_Widths = dict[_Key, list[float]]
# The character after a gap by its index, the key of the one before, the width in line heights, and whether pdfium found
# a space in it. A bare tuple, since thousands are made for each document.
_Gap = tuple[int, _Key, float, bool]


class Spacing:
    """What gaps are usual in one document, and so which of them are spaces."""

    def __init__(self) -> None:
        self._near: _Widths = defaultdict(list)
        self._found: _Widths = defaultdict(list)
        self._seen = 0
        self._usual = _Usual()
        self._limit = _LEAST
        self.settled = False
        self.glued = False

    def learn(self, page: Glyphs) -> None:
        """Take one more page into account; enough gaps settle whether the document is glued."""
        for _, key, width, spaced in islice(_gaps(page, _neighbours(page.units)), _SAMPLE - self._seen):
            (self._found if spaced else self._near)[key].append(width)
            self._seen += 1
        if self._seen >= _SAMPLE:
            self.settle()

    def settle(self) -> None:
        """Judge by what was seen; a document may end before enough was."""
        if self.settled:
            return
        self._usual.learn(self._near)
        found = sorted(width - self._usual[key] for key, widths in self._found.items() for width in widths)
        if found:
            self._limit = max(_LEAST, _SHARE * found[len(found) // 2])
        missing = sum(self._is_space(key, width) for key, widths in self._near.items() for width in widths)
        self.glued = missing >= _EVIDENCE and missing > _GLUED * (missing + len(found))
        self.settled = True

    def missing(self, page: Glyphs) -> list[int]:
        """Return the indices of the characters that lack a space before them."""
        units, left, right = page.units, page.left, page.right
        # Most neighbours touch; comparing whole columns finds those that do not, from left to right or back.
        apart = map(or_, map(gt, left[1:], right), map(gt, left, right[1:]))
        pairs = (
            (i - 1, i) for i in compress(count(1), apart) if units[i] not in _BLANKS and units[i - 1] not in _BLANKS
        )
        gaps = [gap for gap in _gaps(page, pairs) if _APART < gap[2] < _WIDEST]
        if strange := {key[1] for _, key, _, _ in gaps} - self._usual.heights:
            self._usual.learn(_at_heights(page, strange))
        return [i for i, key, width, _ in gaps if self._is_space(key, width)]

    def _is_space(self, key: _Key, width: float) -> bool:
        return _APART < width < _WIDEST and width - self._usual[key] > self._limit


class _Usual(dict[_Key, float]):
    """The usual gap after each character on lines of each height; the character 0 stands for all on such lines."""

    def __init__(self) -> None:
        super().__init__()
        self.heights: set[int] = set()

    def learn(self, near: _Widths) -> None:
        """Take the median of gaps without a space; of one character the lower third, as it may often end words."""
        self.heights.update(height for _, height in near)
        sizes = Counter(height for _, height in near)
        seen = defaultdict(list, near)
        for (_, height), widths in near.items():
            seen[_ANY] += widths
            if sizes[height] >= _FEW:  # else it is the height of one shape, such as a capital with an accent
                seen[0, height] += widths
        known = {key: sorted(widths) for key, widths in seen.items() if len(widths) >= _FEW}
        medians = {key: widths[len(widths) // 2] for key, widths in known.items()}
        anywhere = self.setdefault(_ANY, medians.get(_ANY, 0.0))
        for (unit, height), widths in known.items():
            highest = medians.get((0, height), anywhere) + _OVERHANG
            self.setdefault((unit, height), min(widths[len(widths) // 3], highest) if unit else medians[0, height])

    def __missing__(self, key: _Key) -> float:
        return self.get((0, key[1]), self[_ANY])


def _neighbours(units: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the indices of each two characters that follow one another on a line, whether a space is between or not."""
    before = None
    for index, unit in enumerate(units):
        if unit in _BLANKS:
            if unit in _LINE_ENDS:
                before = None
            continue
        if before is not None:
            yield before, index
        before = index


def _at_heights(page: Glyphs, heights: set[int]) -> _Widths:
    """Return the widths of all gaps without a space on lines of some heights."""
    near: _Widths = defaultdict(list)
    top, bottom = page.top, page.bottom
    pairs = (pair for pair in _neighbours(page.units) if _height(top[pair[0]], bottom[pair[0]]) in heights)
    for _, key, width, spaced in _gaps(page, pairs):
        if not spaced:
            near[key].append(width)
    return near


def _gaps(page: Glyphs, pairs: Iterable[tuple[int, int]]) -> Iterator[_Gap]:
    """Yield the gaps between characters, save those that are no neighbours on a line or need no space."""
    units, left, top, right, bottom = page
    for before, index in pairs:
        high, low, last_high, last_low = top[index], bottom[index], top[before], bottom[before]
        height = high - low
        overlap = (high if high < last_high else last_high) - (low if low > last_low else last_low)
        if height <= 0 or overlap <= 0.3 * height:
            continue
        last, unit = units[before], units[index]
        if (unit == last or unit >= _FIRST_SPACELESS) and not _parted(last, unit):
            continue
        width = left[index] - right[before]
        if width < 0:  # written from right to left, the next character lies on the left
            width = max(width, left[before] - right[index])
        yield index, (last, _height(last_high, last_low)), width / height, index - before > 1


def _parted(last: int, unit: int) -> bool:
    """Tell whether a space may stand between two characters."""
    if unit == last and unit in _LEADERS:
        return False
    return not any(last in script and unit in script for script in _SPACELESS)


def _height(high: float, low: float) -> int:
    return round(10 * (high - low)) or 1
