"""The text of HTML files.

Unusual: a library parses (lexbor), but which elements break a line is decided here. The text extractors tried split
words at bold letters, or glued them at line breaks and table cells.
"""

import re
from pathlib import Path

from nbpipe.preprocess.decoding import decode
from nbpipe.preprocess.options import Options
from nbpipe.preprocess.parsed import Parsed, judged

_BLOCKS = (
    "address article aside blockquote body br button caption center dd details dialog dir div dl dt fieldset figcaption"
    " figure footer form frameset h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu nav ol optgroup option p"
    " pre search section select summary table tbody textarea tfoot thead title tr ul"
)
_HIDDEN = ["script", "style", "template", "noscript", "iframe", "object", "math annotation", "svg style"]
_LINE, _CELL = "\x1e", "\x1f"  # stand for what an element breaks until the source's own white space is folded
_EMPTY_ELEMENT = re.compile(r"<(script|style|title|textarea|iframe|noscript|template|a|p|div|span)\b([^<>]*)/>", re.I)


def read_html(path: Path, options: Options) -> Parsed:
    """Read the visible text of an HTML page, its title first."""
    source = decode(path.read_bytes(), declared=True)
    if source.lstrip().startswith("<?xml") or path.suffix.lower() == ".xhtml":
        source = _EMPTY_ELEMENT.sub(r"<\1\2></\1>", source)  # closed in XML, left open in HTML
    return judged([visible(source)], "html")


def visible(source: str) -> str:
    """Return the text of an HTML page as a browser shows it, a line a block."""
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(source)
    tree.strip_tags(_HIDDEN)
    for node in tree.css(",".join(_BLOCKS.split())):
        node.insert_before(_LINE)
        node.insert_after(_LINE)
    for node in tree.css("td,th"):
        node.insert_after(_CELL)
    text = tree.root.text(separator="") if tree.root else ""
    lines = re.sub(r"[ \t\r\n\f]+", " ", text).replace(_CELL, "\t").split(_LINE)
    return "\n".join(line.strip() for line in lines if line.strip())
