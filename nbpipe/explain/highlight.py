"""A document's strongest words, coloured in its text.

Unusual: the text is a stranger's. It is escaped piece by piece, and characters that turn or hide what follows them are
made visible. Bold and underline say what the colours say, for code hosts that strip styles and for all kinds of eyes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from nbpipe.explain.attribute import Occurrences
from nbpipe.explain.drawn import AGAINST, FOR
from nbpipe.shown import escape, visible

_AROUND = 60  # characters on each side of a word
_FAINTEST = 0.1  # of the strongest word: weaker ones stay plain
_FOR, _AGAINST = (",".join(map(str, colour)) for colour in (FOR, AGAINST))


@dataclass(frozen=True)
class Word:
    """One word of a document: how much all its places add to the score, how often it occurs, where it stands first."""

    text: str
    attribution: float
    times: int
    page: int
    start: int
    end: int


@dataclass(frozen=True)
class Excerpt:
    """A stretch of one page, in pieces of text; a piece that is a coloured word comes with its Word."""

    page: int
    pieces: Sequence[tuple[str, Word | None]]


@dataclass(frozen=True)
class Highlight:
    """The surroundings of a document's strongest words.

    title: which document; claim: what was predicted; label: the predicted class, which the words speak for or against;
    words: the strongest, first; known: how many different words the model saw.
    """

    title: str
    claim: str
    label: str
    words: Sequence[Word]
    known: int
    excerpts: Sequence[Excerpt]

    def _repr_html_(self) -> str:
        most = max((abs(word.attribution) for word in self.words), default=1.0)
        lines = [
            f"<p><b>{escape(self.title)}</b><br>{escape(self.claim)}</p>",
            f"<p>{_mark('bold on blue', _FOR, 0.5, 'b')} speaks for {escape(self.label)}, "
            f"{_mark('underlined on orange', _AGAINST, 0.5, 'u')} against it; the stronger, the darker.</p>",
        ]
        for excerpt in self.excerpts:
            text = "".join(_piece(text, word, most) for text, word in excerpt.pieces).strip()
            lines.append(f"<p>page {excerpt.page + 1}: … {text} …</p>")
        return f"<div>{''.join(lines)}<p>{escape(self._summary())}</p></div>"

    def __repr__(self) -> str:
        texts = [
            f"page {excerpt.page + 1}: … {''.join(_plain(text, word) for text, word in excerpt.pieces).strip()} …"
            for excerpt in self.excerpts
        ]
        return "\n".join([visible(self.title), visible(self.claim), *texts, self._summary()])

    def _summary(self) -> str:
        listed = ", ".join(f"{visible(word.text)} {word.attribution:+.3f}" for word in self.words)
        return f"Strongest {len(self.words):,} of {self.known:,} different words: {listed or 'none'}."


def _piece(text: str, word: Word | None, most: float) -> str:
    if word is None:
        return escape(text)
    places = f", in {word.times:,} places" if word.times > 1 else ""
    colour, tag = (_FOR, "b") if word.attribution > 0 else (_AGAINST, "u")
    strength = 0.15 + 0.55 * abs(word.attribution) / most
    return _mark(visible(text), colour, strength, tag, f"{visible(word.text)}: {word.attribution:+.3f}{places}")


def _mark(text: str, colour: str, strength: float, tag: str, title: str = "") -> str:
    named = f' title="{escape(title)}"' if title else ""
    return f'<{tag} style="background-color:rgba({colour},{strength:.2f})"{named}>{escape(text)}</{tag}>'


def _plain(text: str, word: Word | None) -> str:
    return visible(text) if word is None else f"[{visible(text)} {word.attribution:+.2f}]"


def words_of(places: Occurrences, names: pl.Series) -> dict[int, Word]:
    """Return the words of one document by their row in names, strongest first, for or against."""
    rows, first, which, times = np.unique(places.row, return_index=True, return_inverse=True, return_counts=True)
    total = np.bincount(which, places.attribution, minlength=len(rows))
    order, spelt = np.lexsort((rows, -np.abs(total))), names.gather(rows)
    return {
        int(rows[i]): Word(
            spelt[int(i)],
            float(total[i]),
            int(times[i]),
            int(places.page[first[i]]),
            int(places.start[first[i]]),
            int(places.end[first[i]]),
        )
        for i in order
    }


def excerpts(pages: Sequence[str], places: Occurrences, words: dict[int, Word], top: int) -> list[Excerpt]:
    """Return the surroundings of the first places of the `top` strongest words, in reading order; near ones are joined.

    pages: the texts of one document; places, words: what is known of it.
    """
    chosen = list(words.values())[:top]
    least = _FAINTEST * max((abs(word.attribution) for word in chosen), default=0)
    strong = {row: word for row, word in words.items() if abs(word.attribution) >= least > 0}
    stretches: list[list[int]] = []
    for word in sorted(chosen, key=lambda word: (word.page, word.start)):
        left, right = _around(pages[word.page], word.start, word.end)
        if stretches and stretches[-1][0] == word.page and left <= stretches[-1][2]:
            stretches[-1][2] = max(right, stretches[-1][2])
        else:
            stretches.append([word.page, left, right])
    return [Excerpt(page, _pieces(pages[page], (page, left, right), places, strong)) for page, left, right in stretches]


def _around(page: str, start: int, end: int) -> tuple[int, int]:
    """Return where the surroundings of a word begin and end: at white space, if any is near."""
    left, right = max(0, start - _AROUND), min(len(page), end + _AROUND)
    before, after = re.search(r"\s", page[left:start]), re.compile(r"\s").search(page, right, right + _AROUND)
    return left + before.end() if left and before else left, after.start() if after else right


def _pieces(
    page: str, stretch: tuple[int, int, int], places: Occurrences, strong: dict[int, Word]
) -> list[tuple[str, Word | None]]:
    """Cut a stretch (page, start, end) of a page into plain text and strong words."""
    number, done, end = stretch
    here = (places.page == number) & (places.start >= done) & (places.end <= end)
    pieces: list[tuple[str, Word | None]] = []
    for i in _apart(places, np.flatnonzero(here & np.isin(places.row, list(strong))), strong):
        pieces.append((page[done : places.start[i]], None))
        pieces.append((page[places.start[i] : places.end[i]], strong[int(places.row[i])]))
        done = int(places.end[i])
    return [piece for piece in [*pieces, (page[done:end], None)] if piece[0]]


def _apart(places: Occurrences, found: np.ndarray, strong: dict[int, Word]) -> list[int]:
    """Return which of these places are coloured, in reading order: of a pair and its words, the strongest."""
    kept = list[int]()
    for i in sorted(found.tolist(), key=lambda i: -abs(strong[int(places.row[i])].attribution)):
        if all(places.end[i] <= places.start[j] or places.end[j] <= places.start[i] for j in kept):
            kept.append(i)
    return sorted(kept)
