"""Where the characters of a text come from; pages are made here from UTF-16 units, a character each."""

import unicodedata
from array import array
from collections.abc import Sequence

from hypothesis import example, given
from hypothesis import strategies as st

from nbpipe.preprocess import pdf
from nbpipe.preprocess.parsed import tidy
from nbpipe.preprocess.pdf import Page
from nbpipe.preprocess.spacing import Glyphs, Spacing
from nbpipe.preprocess.traced import Rect, Traced, rectangles, trace

ODD = [0xFFFE, 0x0D, 0x0A, 0xAD, 0xFB01, 0xFEFF, 0xD835, 0xDC00, 0x07, 0x20]
WIDE = 10.0


class Glued(Spacing):
    """A spacing that misses a space before some characters."""

    def __init__(self, before: Sequence[int]) -> None:
        super().__init__()
        self.settled = self.glued = True
        self._before = before

    def missing(self, page: Glyphs) -> list[int]:
        return [index for index in self._before if index < len(page.units)]


def page_of(units: Sequence[int], boxes: Sequence[Rect] = ()) -> Page:
    sides = [side for left, bottom, right, top in boxes for side in (left, top, right, bottom)]
    glyphs = Glyphs.of(units, array("f", sides or bytes(16 * len(units))))
    return Page(array("H", units).tobytes(), range(len(units)), glyphs)


@given(
    st.lists(st.one_of(st.sampled_from(ODD), st.integers(0, 0xFFFF)), max_size=40),
    st.lists(st.integers(1, 40), max_size=4).map(sorted),
)
@example([0xD835, 0xDC00], [1])
@example([0x61, 0xAD, 0x0D, 0x0A, 0x62], [])
@example([0xFB00], [])
def test_the_traced_text_is_the_text_that_is_kept(units: list[int], before: list[int]) -> None:
    page, spacing = page_of(units), Glued(before)
    traced = trace(page, spacing)
    assert traced.text == tidy(pdf._text(page, spacing))
    assert len(traced.origins) == len(traced.text)
    for char, origin in zip(traced.text, traced.origins, strict=True):
        if "a" <= char <= "z" and units[origin] not in ODD:
            assert char in unicodedata.normalize("NFKC", chr(units[origin]))  # a ligature is spelt out


def test_origins_skip_spaces_put_in_and_characters_left_out() -> None:
    page = page_of([ord("i"), 0, ord("n"), ord("a")])._replace(units="ina".encode("utf-16-le"), places=[0, -1, 1, 2])
    traced = trace(page, Glued([3]))
    assert traced == Traced("in a", [0, 2, -1, 3])


def test_characters_that_pdfium_counts_but_cannot_write_shift_nothing() -> None:
    """Some letters beyond the first 65,536 get a place in the text, and are then left out of it."""
    page = page_of([ord("a"), 0, ord("b")])
    codes = page.glyphs._replace(units=[ord("a"), 0x1D440, ord("b")])
    traced = trace(page._replace(units="ab".encode("utf-16-le"), places=[0, 1, 2], glyphs=codes), Glued([]))
    assert traced == Traced("ab", [0, 2])


def test_a_character_that_is_another_one_in_the_text_has_no_origin() -> None:
    page = page_of([ord("a"), ord("b")])
    traced = trace(page._replace(units="ax".encode("utf-16-le")), Glued([]))
    assert traced == Traced("ax", [0, -1])


def row(text: str, left: float = 0.0, bottom: float = 0.0) -> list[Rect]:
    return [(left + WIDE * i, bottom, left + WIDE * (i + 1), bottom + 12) for i in range(len(text))]


def boxes_of(text: str, boxes: Sequence[Rect]) -> list[Rect]:
    page = page_of([ord(char) for char in text], boxes)
    traced = trace(page, Glued([]))
    return rectangles(traced, page.glyphs, 0, len(traced.text))


def test_a_word_over_two_lines_has_two_boxes() -> None:
    text = "com\ufffemon"
    assert boxes_of(text, [*row("com-", 500, 100), *row("mon", 50, 86)]) == [(500, 100, 540, 112), (50, 86, 80, 98)]


def test_a_jump_without_a_line_end_starts_a_new_box() -> None:
    assert boxes_of("abcd", [*row("ab", 500, 100), *row("cd", 50, 86)]) == [(500, 100, 520, 112), (50, 86, 70, 98)]


def test_a_word_that_runs_upwards_has_one_box() -> None:
    upwards = [(100.0, WIDE * i, 112.0, WIDE * (i + 1)) for i in range(4)]
    assert boxes_of("upon", upwards) == [(100, 0, 112, 40)]


def test_characters_without_a_box_are_passed_by() -> None:
    boxes = row("abc")
    boxes[1] = (5.0, 0.0, 5.0, 0.0)
    assert boxes_of("abc", boxes) == [(0, 0, 30, 12)]
    assert boxes_of("ab", [(float("nan"), 0, 1, 1), (0, 0, 1e30, 1)]) == []
