"""Bytes of a text file become a string: byte order mark, UTF-8, what the file declares, then an educated guess.

Unusual: UTF-8 is tried before a file's own declaration, since text that decodes as UTF-8 is hardly ever anything else
and declarations are often stale; and a file full of control codes is refused as binary rather than kept as noise.
"""

import codecs
import re

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECLARED = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
_HEAD = 4096  # declarations stand in the first bytes
_SAMPLE = 1 << 16  # bytes that an encoding is guessed from
_ENOUGH = 32  # bytes beyond ASCII that a guess needs
_CONTROL = re.compile("[\0-\x08\x0e-\x1a\x1c-\x1f\x7f\ufffd]")
_NOISE = 0.05  # a larger share of control codes than this is no text; compressed bytes have more than twice that
_BROKEN = 0.05  # of the characters beyond ASCII; another encoding breaks nearly all of them
_WESTERN = "cp1252"
# What browsers read under these names, because that is what pages mean by them.
_MEANT = {"iso8859-1": _WESTERN, "ascii": _WESTERN, "gb2312": "gb18030", "gbk": "gb18030", "iso8859-9": "cp1254"}


def decode(data: bytes, declared: bool = False) -> str:
    """Return `data` as text; raises ValueError where it is binary. `declared`: heed an HTML or XML declaration."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    text = _wide(data) or _utf8(data) or (_by_declaration(data) if declared else None) or _guessed(data)
    if len(_CONTROL.findall(text)) > _NOISE * len(text):
        raise ValueError("its bytes are not text (binary data under the name of a text?)")
    return text


def _wide(data: bytes) -> str | None:
    """Return UTF-16 without a mark as text: every other byte of Western text is zero."""
    half = len(data) // 2
    for start, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros = data[start::2].count(0)
        if zeros > 0.5 * half and data[1 - start :: 2].count(0) < 0.05 * half:
            return data.decode(encoding, "replace")
    return None


def _utf8(data: bytes) -> str | None:
    """Return UTF-8 as text, also where a few of its characters are broken, as in a log of several sources."""
    text = data.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    foreign = len(text) - len(text.encode("ascii", "ignore")) if broken else 0
    return text if broken <= _BROKEN * foreign else None


def _by_declaration(data: bytes) -> str | None:
    found = _DECLARED.search(data[:_HEAD])
    if not found:
        return None
    try:
        name = codecs.lookup(found[1].decode("ascii")).name
        return None if name.startswith(("utf-16", "utf-32")) else data.decode(_MEANT.get(name, name), "replace")
    except (LookupError, ValueError):
        return None


def _guessed(data: bytes) -> str:
    """Return text by its letters' frequencies; a few accents say nothing and are taken as Western."""
    from charset_normalizer import from_bytes

    sample = data[:_SAMPLE]
    foreign = len(sample) - len(sample.decode("ascii", "ignore"))
    matches = list(from_bytes(sample)) if foreign >= _ENOUGH else []
    best = [match.encoding for match in matches if _fit(match) == _fit(matches[0])]
    return data.decode(best[0] if best and _WESTERN not in best else _WESTERN, "replace")


def _fit(match: "CharsetMatch") -> tuple[float, float]:  # noqa: F821
    return match.chaos, match.coherence
