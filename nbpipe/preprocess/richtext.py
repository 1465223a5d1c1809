"""The text of RTF files, by striprtf.

Unusual: the library is handed ASCII. Pictures in bare bytes are cut out before, since their bytes could read as
anything, and bytes beyond ASCII become escapes, so that it decodes them by the font they are set in. It leaves out
headers, footers, footnotes and text boxes.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from nbpipe.preprocess.options import Options
from nbpipe.preprocess.parsed import Parsed, judged

_START = b"{\\rtf"
_BINARY = re.compile(rb"\\bin(\d{1,10}) ?")


def read_rtf(path: Path, options: Options) -> Parsed:
    """Read an RTF as one page, a line a paragraph or table row."""
    from striprtf.striprtf import rtf_to_text

    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf").lstrip()
    if not data.startswith(_START):
        return Parsed("unreadable", "it does not begin as RTF does (another kind of file under its name?)")
    text = rtf_to_text(_ascii(b"".join(_without_pictures(data))), errors="replace")
    # RTF counts in UTF-16, where a rare character takes two codes.
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return judged(["\n".join(filter(None, (line.strip() for line in text.split("\n"))))], "rtf")


def _without_pictures(data: bytes) -> Iterator[bytes]:
    """Yield what stands between runs of bare bytes."""
    start = 0
    while found := _BINARY.search(data, start):
        yield data[start : found.start()]
        start = found.end() + int(found[1])
    yield data[start:]


def _ascii(data: bytes) -> str:
    """Return RTF with escapes for bytes beyond ASCII, or as it is where they are UTF-8, which no font explains."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return re.sub(rb"[\x80-\xff]", lambda byte: b"\\'%02x" % ord(byte[0]), data).decode("ascii")
