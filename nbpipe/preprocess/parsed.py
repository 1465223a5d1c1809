"""What every parser gives back, and how text and errors are made fit to keep.

Unusual: characters that no glyph map could name become U+FFFD rather than vanish, so a word with a hole in it
does not turn into another word. Ligatures are spelt out, so that "ﬁnd" and "find" are one word in every format.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nbpipe.preprocess.passwords import redacted

ODD = re.compile("\xad\n?|[\x00-\x08\x0b-\x1f\x7f-\x9f\ufb00-\ufb06\ufeff\ufffe\uffff\ud800-\udfff]")
_SPELT = {
    **dict.fromkeys(("\r", "\x85", "\x0b"), "\n"),
    **dict.fromkeys(("\xad", "\ufeff"), ""),
    "\xad\n": "-\n",
    **{
        "\ufb00": "ff",
        "\ufb01": "fi",
        "\ufb02": "fl",
        "\ufb03": "ffi",
        "\ufb04": "ffl",
        "\ufb05": "st",
        "\ufb06": "st",
    },
}
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{5,}|\b\d{10,}\b")
_LONGEST_REASON = 200


@dataclass(frozen=True)
class Parsed:
    """What became of one document: its status, why if not "ok", the parser that read it, the text of each page.

    scanned: the numbers of pages that show something but have no text layer; ocr: those of them whose text was read
    off the picture. Both count from 1.
    """

    status: str
    reason: str = ""
    parser: str = ""
    pages: Sequence[str] = ()
    scanned: Sequence[int] = ()
    ocr: Sequence[int] = ()


def tidy(text: str) -> str:
    """Return `text` as valid UTF-8 with one kind of line end, without ligatures, soft hyphens and control codes."""
    return ODD.sub(spelt, text.replace("\r\n", "\n"))


def spelt(odd: re.Match[str]) -> str:
    """Return what stands in tidied text for a match of ODD."""
    return _SPELT.get(odd[0], "\ufffd")


def readable(page: str) -> bool:
    """Tell whether a page's tidied text holds a character that says something."""
    return bool(page.strip("\ufffd \t\n\xa0"))


def judged(pages: Sequence[str], parser: str, lacks: str = "there is no text in it", note: str = "") -> Parsed:
    """Return pages as "ok" if any of them holds text, else as "empty" with what it lacks; a note is kept either way."""
    pages = [tidy(page) for page in pages]
    if any(map(readable, pages)):
        return Parsed("ok", note, parser, pages)
    return Parsed("empty", "; ".join(filter(None, [lacks, note])), parser, pages)


def noted(parsed: Parsed, note: str) -> Parsed:
    """Return what was parsed with a note in front of its reason."""
    return replace(parsed, reason="; ".join(filter(None, [note, parsed.reason])))


def first_pages(kept: int, count: int) -> str:
    """Say that the limit on pages left some unread."""
    return f"only the first {kept:,} of {count:,} pages were read (max_pages)"


def cause(error: BaseException, path: Path) -> str:
    """Return an error as one line that is the same on every machine: no folders, no memory addresses, no passwords."""
    text = redacted(str(error).replace(str(path.absolute()), path.name).replace(str(path), path.name))
    text = " ".join(_ADDRESS.sub("…", tidy(text)).replace("\ufffd", " ").split())
    return f"{type(error).__name__}: {text}"[:_LONGEST_REASON] if text else type(error).__name__
