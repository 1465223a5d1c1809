"""One attempt at a shard's parts: parse what is lacking, write what is whole, keep the rest, whatever ends it.

Unusual: SIGTERM becomes an ordinary error while an attempt runs, so a machine that is taken away still keeps each
document that was finished; SIGKILL costs at most what came since unfinished parts were last kept.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

import pyarrow as pa

from nbpipe.claim import Work
from nbpipe.errors import WorkError
from nbpipe.preprocess.files import Document
from nbpipe.preprocess.parts import Gathering, Parts
from nbpipe.preprocess.worker import Outcome
from nbpipe.progress import progress
from nbpipe.stopping import undisturbed

KEEP_EVERY = 5.0  # seconds between two times that unfinished parts are kept
_KEEP_SHARE = 0.05  # of all time is spent on that, at most


Source = Callable[[list[Document]], Iterator[Outcome]]


def fill(parts: Parts, parse: Source, work: Work, known: Source | None = None) -> None:
    """Make what `parts` still lack, and their ledger.

    known: gives the outcomes of those documents that need no parsing. parse: gives the outcome of each document, in any
    order. Raises StoppedError on SIGTERM, WorkError where another process has taken over; then, and on any other error,
    what was finished is kept first.
    """
    lacking = parts.lacking()
    gathering, done = Gathering(lacking), parts.done(lacking)
    done += _take_up(parts, gathering, parts.kept())
    if known:
        done += _take_up(parts, gathering, known(gathering.expected))
    work.begin(len(parts.documents), done)
    keeper, expected = _Keeper(parts, gathering), gathering.expected
    try:
        for outcome in progress(parse(expected), total=len(expected)):
            whole = gathering.take(outcome)
            work.count(outcome.parsed.status)
            if whole:
                work.check()
                parts.write(*whole)
            keeper.keep_if_due()
    except BaseException:
        with undisturbed(), suppress(OSError, WorkError):
            if work.held:
                keeper.keep()
        raise
    work.check()
    parts.close()


def _take_up(parts: Parts, gathering: Gathering, found: Iterable[Outcome]) -> Counter[str]:
    """Take the documents that were finished before, in parts that were not; return how many have which status."""
    expected, taken = {document.id for document in gathering.expected}, Counter[str]()
    for outcome in found:
        if outcome.id in expected:
            taken[outcome.parsed.status] += 1
            if whole := gathering.take(outcome):
                parts.write(*whole)
    return taken


class _Keeper:
    """Keeps what has come of unfinished parts on the disk, now and then."""

    def __init__(self, parts: Parts, gathering: Gathering) -> None:
        self._parts, self._gathering = parts, gathering
        self._due = time.monotonic() + KEEP_EVERY

    def keep_if_due(self) -> None:
        began = time.monotonic()
        if began < self._due:
            return
        self.keep()
        now = time.monotonic()
        self._due = now + max(KEEP_EVERY, (now - began) / _KEEP_SHARE)

    def keep(self) -> None:
        if held := self._gathering.held:
            with suppress(pa.ArrowCapacityError):  # more than 2 GB of text at once: parts get whole without this
                self._parts.keep(held)
