"""What a parser's process does with a sample's document: reads it, and tells what reading took that is paid but once.

Unusual: the first document of each kind that a process reads pays for loading its parser, which is nothing among
thousands and a lot among twelve. So it is read twice, and the first time is told, to be taken off. The text travels to
the parent as in the real work, which shares its cores with it.
"""

import time
from dataclasses import replace
from pathlib import Path

from nbpipe.preprocess.options import Options
from nbpipe.preprocess.parsed import Parsed
from nbpipe.preprocess.parsers import parse
from nbpipe.preprocess.worker import Outcome

_READ: set[str] = set()  # the kinds that this process has read


def parse_warm(path: Path, options: Options) -> Parsed:
    """Parse a document, the first of its kind twice; the result's parser is the seconds that the first time took."""
    began, kind = time.monotonic(), path.suffix.lower()
    if kind not in _READ:
        _READ.add(kind)
        parse(path, options)
    loading = time.monotonic() - began
    return replace(parse(path, options), parser=repr(loading))


def warm_seconds(outcome: Outcome) -> float:
    """Return the seconds that a document of a sample takes a process that has read others of its kind."""
    return outcome.seconds - float(outcome.parsed.parser or 0)  # nothing is told by a process that was ended
