"""A page of a document with its reasons boxed, as one small picture.

Unusual: the page itself is grey, so that colour means one thing only. Blue and a solid frame speak for the class,
orange and a dashed frame against it; in grey print and to all kinds of eyes the frames still tell. The picture holds
some sixty colours, for it is kept in notebooks and reports.
"""

import io
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import NamedTuple

from PIL import Image, ImageChops, ImageDraw, ImageFont

from nbpipe.preprocess.traced import Rect
from nbpipe.shown import Picture, visible

FOR, AGAINST = (0, 114, 178), (213, 94, 0)  # told apart by all kinds of eyes: Okabe and Ito

_INK, _LEGEND = (43, 51, 61), 34
_MOST = 140_000  # bytes
_SCALES = (1.0, 0.85, 0.7, 0.55, 0.4)  # smaller ones for pages that are photographs
_SHOWN = 0.7  # pixels of the screen for one of the picture
_OUTSIDE = 50  # pixels beyond the picture
_PAD = 2  # pixels between a word and its frame
_DASH = (6, 4)  # pixels drawn and left out
_LONGEST = 40  # characters of a label
_REST = "the stronger, the bolder; 1 is the strongest word"
_FONTS = ("DejaVuSans.ttf", "Arial Unicode.ttf", "NotoSans-Regular.ttf", "arial.ttf")


class Box(NamedTuple):
    """What to frame, in pixels of the page's drawing; share: of the strongest place, signed; rank: 0 for none."""

    rects: Sequence[Rect]
    share: float
    rank: int = 0


def draw(page: bytes, boxes: Sequence[Box], label: str, words: str) -> Picture:
    """Return a page with words framed; page: a PNG; label: what the words speak for or against; words: says it all."""
    with Image.open(io.BytesIO(page)) as opened:
        grey = opened.convert("RGB")
    data = b""
    for scale in _SCALES:
        image = _painted(grey, boxes, label, scale)
        data = _packed(image)
        if len(data) <= _MOST:
            break
    return Picture(data, words, round(image.width * _SHOWN))


def _painted(grey: Image.Image, boxes: Sequence[Box], label: str, scale: float) -> Image.Image:
    size = round(grey.width * scale), round(grey.height * scale)
    image = Image.new("RGB", (size[0], size[1] + _LEGEND), "white")
    image.paste(grey.resize(size, Image.Resampling.LANCZOS) if scale < 1 else grey, (0, _LEGEND))
    frames = Image.new("RGB", image.size, "white")
    for box in sorted(boxes, key=lambda box: abs(box.share)):
        for rect in box.rects:
            _frame(ImageDraw.Draw(frames), _placed(rect, image.size, scale), box.share)
    image = ImageChops.multiply(image, frames)  # so that no frame hides a letter
    brush = ImageDraw.Draw(image)
    for box in boxes:
        if box.rank and box.rects:
            _number(brush, _placed(box.rects[0], image.size, scale), box)
    _legend(brush, image.width, label)
    return image


def _placed(rect: Rect, size: tuple[int, int], scale: float) -> Rect:
    """Return where a frame goes; one that the page cuts off goes along its edge, or just outside."""
    left, top, right, bottom = (side * scale for side in rect)
    across = (min(max(side, -_OUTSIDE), size[0] + _OUTSIDE) for side in (left - _PAD, right + _PAD))
    down = (min(max(side, -_OUTSIDE), size[1] + _OUTSIDE) for side in (top - _PAD + _LEGEND, bottom + _PAD + _LEGEND))
    (left, right), (top, bottom) = across, down
    return left, top, right, bottom


def _frame(brush: ImageDraw.ImageDraw, rect: Rect, share: float) -> None:
    """Draw one frame: the stronger, the bolder and the deeper its tint."""
    colour, strength = FOR if share > 0 else AGAINST, min(abs(share), 1.0)
    brush.rectangle(rect, fill=_over_white(colour, 0.04 + 0.3 * strength))
    line, width = _over_white(colour, 0.4 + 0.6 * strength), 1 + round(2 * strength)
    if share > 0:
        brush.rectangle(rect, outline=line, width=width)
    else:
        _dashed(brush, rect, line, width)


def _over_white(colour: Sequence[int], depth: float) -> tuple[int, ...]:
    return tuple(round(255 - (255 - part) * depth) for part in colour)


def _dashed(brush: ImageDraw.ImageDraw, rect: Rect, colour: tuple[int, ...], width: int) -> None:
    left, top, right, bottom = map(round, rect)
    for x in range(left, right, sum(_DASH)):
        for y in (top, bottom - width + 1):
            brush.rectangle((x, y, min(x + _DASH[0] - 1, right), y + width - 1), fill=colour)
    for y in range(top, bottom, sum(_DASH)):
        for x in (left, right - width + 1):
            brush.rectangle((x, y, x + width - 1, min(y + _DASH[0] - 1, bottom)), fill=colour)


def _number(brush: ImageDraw.ImageDraw, rect: Rect, box: Box) -> None:
    """Write a word's rank on the upper left corner of its frame."""
    text, font = str(box.rank), _font(11)
    wide = brush.textlength(text, font) + 4
    x, y = max(rect[0] - wide + 2, 0), max(rect[1] - 8, _LEGEND)
    brush.rectangle((x, y, x + wide, y + 12), fill=FOR if box.share > 0 else AGAINST)
    brush.text((x + wide / 2, y + 6), text, "white", font, "mm")


def _legend(brush: ImageDraw.ImageDraw, width: int, label: str) -> None:
    """Write above the page what the frames mean, as much of it as there is room for."""
    font, middle, x = _font(15), _LEGEND / 2, 12.0
    for share, text in ((1.0, f"speaks for {_writable(label, font)}"), (-1.0, "speaks against it")):
        _frame(brush, (x, middle - 9, x + 30, middle + 9), 0.75 * share)
        brush.text((x + 38, middle), text, _INK, font, "lm")
        x += 38 + brush.textlength(text, font) + 24
    if x + brush.textlength(_REST, font) < width:
        brush.text((x, middle), _REST, _INK, font, "lm")


def _writable(label: str, font: ImageFont.FreeTypeFont) -> str:
    """Return a label that the font can write, short enough to leave room."""
    unknown = bytes(font.getmask("\U0010fffe"))
    text = visible(label)
    if any(bytes(font.getmask(char)) == unknown for char in text):
        return "the class"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Return the first font of a list that this machine has, else Pillow's own."""
    for name in _FONTS:
        with suppress(OSError):
            return ImageFont.truetype(name, size)
    return ImageFont.load_default(size)


def _packed(image: Image.Image) -> bytes:
    """Return a picture as PNG, in a few greys and in both colours over each of them."""
    buffer = io.BytesIO()
    image.quantize(palette=_palette(), dither=Image.Dither.NONE).save(buffer, "png")
    return buffer.getvalue()


@cache
def _palette() -> Image.Image:
    greys = [round(255 * step / 15) for step in range(16)]
    tints = [
        round(grey * (1 - share * (255 - part) / 255))
        for colour in (FOR, AGAINST)
        for share in (0.06, 0.13, 0.2, 0.33, 0.5, 0.75, 1.0)
        for grey in (greys[3::3] if share < 0.4 else [255])
        for part in colour
    ]
    palette = Image.new("P", (1, 1))
    palette.putpalette([*(grey for grey in greys for _ in range(3)), *tints])
    return palette
