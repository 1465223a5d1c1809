"""Check that the strongest words of explained PDFs are boxed where they stand: the share of words boxed right.

    python tests/bench/pages.py RUN [RUN ...] [--top N] [--list]

RUN is a run folder with explanations, of documents that lie on this machine; open no strangers' documents so, as they
are read in this process. Of each explained PDF the N (10) strongest words are looked at, at all their places. Nothing
that is asked knows how the boxes came about: pdfium is given coordinates, and says what text is under them. A place is
boxed right if that text holds the word, and at each end at most one letter of what stands beside it in the text, since
letters lean. A word is boxed right if all its places are. Text of another layer may lie across a word; how often the
text is the word and nothing else is told too, and how many places hold ink on a drawing of the page, for text may be
hidden, and how many words pypdf reads on that page, for it spells some in its own way. The exit code is 1 where less
than 98% of a run's words are boxed right. --list names the places that are not.
"""

import argparse
import logging
import sys
import time
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import pypdf
import pypdfium2
from PIL import Image

from nbpipe.explain.onpage import OnPage, on_pages
from nbpipe.explain.reasons import Mark, gather, reading
from nbpipe.preprocess.traced import Rect
from nbpipe.records import EXPLANATIONS, read_table
from nbpipe.run import Run
from nbpipe.train.shards import check_shards

BAR = 0.98
NEAR = 40  # characters before and behind a word
SCALE, CONTRAST = 2.0, 50  # of the drawing in which ink is looked for; in greys


class Place(NamedTuple):
    """One place of a word, with the text before and behind it; what is under its boxes, and whether there is ink."""

    document: str
    mark: Mark
    before: str
    word: str
    after: str
    under: tuple[str, str]  # the boxes taken as across the page, and as up or down it
    ink: bool
    second: bool

    @property
    def right(self) -> bool:
        return any(self.holds(text) for text in self.under)

    def holds(self, text: str) -> bool:
        left, found, right = text.partition(self.word)
        return bool(found) and max(alike(left[::-1], self.before[::-1]), alike(right, self.after)) <= 1


def alike(one: str, two: str) -> int:
    """Return with how many of the same letters two texts begin."""
    return next((at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))


def plain(text: str) -> str:
    """Return the letters and digits of a text, in one form and case."""
    return "".join(char for char in unicodedata.normalize("NFKC", text).casefold() if char.isalnum())


def across(rect: Rect) -> Rect:
    """Return the box of a line across the page less a third above and below, and at its ends what rounding may add."""
    left, bottom, right, top = rect
    high = top - bottom
    return left + 0.02 * high, bottom + high / 3, right - 0.02 * high, top - high / 3


def upright(rect: Rect) -> Rect:
    """Return the same of a line up or down the page."""
    bottom, left, top, right = across((rect[1], rect[0], rect[3], rect[2]))
    return left, bottom, right, top


def inked(picture: Image.Image, place: pypdfium2.PdfPosConv, rect: Rect) -> bool:
    """Tell whether a box holds both ink and ground."""
    corners = place.to_bitmap(*rect[:2]), place.to_bitmap(*rect[2:])
    (x, end_x), (y, end_y) = (sorted(sides) for sides in zip(*corners, strict=True))
    low, high = picture.crop((x, y, max(end_x, x + 1), max(end_y, y + 1))).getextrema()
    return high - low >= CONTRAST


def check(found: OnPage, top: int) -> Iterator[Place]:
    """Yield the places of a document's strongest words, page by page."""
    reasons, marks = found.reasons, defaultdict[int, list[Mark]](list)
    for word in reasons.strongest[:top]:
        for mark in word.marks:
            marks[mark.page].append(mark)
    reader = pypdf.PdfReader(reasons.file)
    with pypdfium2.PdfDocument(reasons.file) as document:
        for number, here in marks.items():
            second = ""
            with suppress(Exception):  # pypdf raises ten kinds of exception
                second = plain(reader.pages[number].extract_text())
            with closing(document[number]) as page:
                yield from check_page(found, page, here, second)
    reader.close()


def check_page(found: OnPage, page: pypdfium2.PdfPage, marks: Sequence[Mark], second: str) -> Iterator[Place]:
    """Yield places on a page, of which `second` is the text that pypdf reads."""
    with closing(page.get_textpage()) as text, closing(page.render(scale=SCALE, grayscale=True)) as bitmap:
        picture, where = bitmap.to_pil().convert("L"), bitmap.get_posconv(page)
        for mark in marks:
            boxes = found.boxes.get(mark[:3], ())
            whole = found.reasons.pages[mark.page]
            word, sides = plain(whole[mark.start : mark.end]), (whole[: mark.start][-NEAR:], whole[mark.end :][:NEAR])
            before, after = map(plain, sides)
            under = tuple(
                "".join(plain(text.get_text_bounded(*less(rect))) for rect in boxes) for less in (across, upright)
            )
            ink = bool(boxes) and all(inked(picture, where, rect) for rect in boxes)
            yield Place(found.reasons.path, mark, before, word, after, under, ink, word in second)


def measure(folder: Path, top: int, listing: bool) -> float:
    """Print what was found of a run's documents, and return the share of words boxed right."""
    run = Run(folder)
    shards = check_shards(run)
    rows = read_table(run.explain / "explanations.parquet", EXPLANATIONS).to_pylist()
    reasons = [one for one in gather(run, shards, rows) if one.parser.startswith(("pdfium", "pypdf"))]
    began = time.perf_counter()
    found = on_pages(reasons, reading(shards))
    seconds = time.perf_counter() - began
    places = [place for one in found for place in check(one, top)]
    words = defaultdict[tuple[str, str], list[Place]](list)
    for place in places:
        words[place.document, place.mark.word].append(place)
    right = sum(all(place.right for place in group) for group in words.values()) / len(words)
    drawn = sum(len(one.drawn) for one in found)
    exact = sum(place.word in place.under for place in places) / len(places)
    shares = {
        f"of {len(words):,} words are boxed right at all their places": right,
        f"of {len(places):,} places are boxed right": sum(place.right for place in places) / len(places),
        "of the places have the word and nothing else under their box": exact,
        "of the places hold ink": sum(place.ink for place in places) / len(places),
        "of the words does pypdf read on the same page": sum(place.second for place in places) / len(places),
    }
    print(f"{folder.name}: {len(found):,} PDFs, {seconds:.1f} s to find the words and draw {drawn:,} pages")
    print("\n".join(f"  {share:7.2%} {text}" for text, share in shares.items()))
    for sentence in (sentence for one in found for sentence in one.said):
        print(" ", sentence)
    for place in (place for place in places if listing and not place.right):
        where = f"{place.document} page {place.mark.page + 1}"
        print(f"  {where}: {place.word!r}, under its box {place.under}")
    return right


def main() -> int:
    """Measure each run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--top", type=int, default=10)
    parser.add_argument("--list", action="store_true")
    given = parser.parse_args()
    logging.disable()
    shares = [measure(folder, given.top, given.list) for folder in given.runs]
    return int(min(shares) < BAR)


if __name__ == "__main__":
    sys.exit(main())
