"""Pictures are judged by their pixels: colour for the sign, the kind of line for those who see none."""

import io
from itertools import pairwise

import pytest
from PIL import Image, ImageDraw, ImageStat

from nbpipe.explain import drawn
from nbpipe.explain.drawn import AGAINST, FOR, Box, draw
from nbpipe.shown import Picture

SIZE = (800, 1000)
RECT = (200.0, 300.0, 400.0, 340.0)


def page(size: tuple[int, int] = SIZE, noise: bool = False) -> bytes:
    image = Image.effect_noise(size, 120) if noise else Image.new("L", size, 255)
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return buffer.getvalue()


def opened(picture: Picture) -> Image.Image:
    return Image.open(io.BytesIO(picture.png)).convert("RGB")


def below_legend(picture: Picture) -> Image.Image:
    image = opened(picture)
    return image.crop((0, image.height - SIZE[1], *image.size))


def line(picture: Picture) -> list[tuple[int, ...]]:
    """Return the colours along the upper side of the frame around RECT."""
    image = below_legend(picture)
    return [image.getpixel((x, int(RECT[1]) - 2)) for x in range(int(RECT[0]), int(RECT[2]))]


def near(colour: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return max(abs(a - b) for a, b in zip(colour, other, strict=True)) < 12


def test_what_speaks_for_the_class_has_a_solid_blue_frame() -> None:
    colours = line(draw(page(), [Box([RECT], 1.0)], "cooking", ""))
    assert all(near(colour, FOR) for colour in colours)


def test_what_speaks_against_it_has_a_dashed_orange_frame() -> None:
    colours = line(draw(page(), [Box([RECT], -1.0)], "cooking", ""))
    dashes = [near(colour, AGAINST) for colour in colours]
    assert 0.4 < sum(dashes) / len(dashes) < 0.8
    assert sum(a != b for a, b in pairwise(dashes)) > 20


def test_the_stronger_the_darker() -> None:
    greys = [
        ImageStat.Stat(below_legend(draw(page(), [Box([RECT], share)], "cooking", "")).convert("L")).sum
        for share in (0.05, 0.4, 1.0)
    ]
    assert greys[0] > greys[1] > greys[2]


def test_letters_under_a_frame_stay_dark() -> None:
    image = Image.new("L", SIZE, 255)
    ImageDraw.Draw(image).rectangle((180, 290, 420, 310), fill=0)  # reaches over the frame's upper side
    buffer = io.BytesIO()
    image.save(buffer, "png")
    seen = below_legend(draw(buffer.getvalue(), [Box([RECT], 1.0)], "cooking", "")).convert("L")
    assert seen.crop((180, 290, 420, 310)).getextrema()[1] < 40


def test_a_rank_stands_at_its_frame_only_where_there_is_one() -> None:
    with_rank, without = (draw(page(), [Box([RECT], 1.0, rank)], "cooking", "") for rank in (3, 0))
    assert below_legend(with_rank).crop((180, 285, 200, 305)) != below_legend(without).crop((180, 285, 200, 305))


def test_frames_beyond_the_page_are_cut_off() -> None:
    boxes = [Box([(-1e6, -1e6, 1e6, 1e6)], -1.0, 1), Box([(900.0, 2000.0, 950.0, 2020.0)], 1.0, 2), Box([], 1.0, 3)]
    assert opened(draw(page(), boxes, "cooking", "")).width == SIZE[0]


def test_the_picture_of_a_photograph_is_kept_small() -> None:
    picture = draw(page((1000, 1414), noise=True), [Box([RECT], 1.0)], "cooking", "")
    assert len(picture.png) < 150_000


@pytest.mark.parametrize("label", ["高大上", "a\n\u202eb", "x" * 500, "", "<script>alert(1)</script>"])
def test_any_label_can_be_written_in_the_legend(label: str) -> None:
    image = opened(draw(page(), [], label, ""))
    assert (image.width, len(image.crop((0, 0, image.width, 34)).getcolors()) > 2) == (SIZE[0], True)


def test_a_label_that_no_font_can_write_is_the_class() -> None:
    font = drawn._font(15)
    assert drawn._writable("cooking", font) == "cooking"
    assert drawn._writable("\U0010fffd", font) == "the class"


def test_the_words_go_with_the_picture_as_they_are() -> None:
    assert repr(draw(page(), [], "cooking", "Page 1.")) == "Page 1."
