"""Parses each document in a process that can be killed, so a crash, hang or memory hog costs one row.

Unusual: the processes are kept here and not in a library's pool, because what a document may take is judged by it: the
parent knows at each moment which document a process is at, hands several small ones over at once, and the last ones
singly, so that no process waits for another. Workers come from a fork server that holds nothing but the parsers: a fork
of a notebook's process, full of other libraries' threads, could deadlock, and a spawned Python would take a second to
replace a crashed one.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from selectors import EVENT_READ, DefaultSelector
from types import ModuleType

from nbpipe.errors import WorkError
from nbpipe.preprocess.arrivals import Arrivals
from nbpipe.preprocess.files import Document
from nbpipe.preprocess.options import Options
from nbpipe.preprocess.parsed import Parsed
from nbpipe.preprocess.parsers import parse
from nbpipe.preprocess.worker import Outcome, Parser, serve, sha256
from nbpipe.stopping import wait_if_stopped

__all__ = ["Outcome", "parse_all", "warm_up"]

_AHEAD, _AHEAD_BYTES = 32, 1 << 16  # documents handed over at once; their names must fit a pipe, so that none blocks
_STARTS = 3  # processes in a row that may die before they are ready
_START = 120  # seconds that a process may take to be ready
_GLANCE = 0.02  # seconds between two looks at which documents have arrived, while more are under way
_DYING = 0.5  # seconds that a process which closed its pipe may take to end
_JOIN = 5  # seconds to wait for a killed process; one that hangs in the kernel is left to it
_now = time.monotonic


def parse_all(
    documents: Iterable[Document], options: Options, workers: int, parser: Parser = parse
) -> Iterator[Outcome]:
    """Yield the outcome of each document as it comes, parsed by `workers` processes.

    parser: a function of an importable module, called in the worker. Raises WorkError where no process can be
    started, or object storage does not give the documents.
    """
    listed = list(documents)
    with Sandbox(options, min(workers, len(listed)), parser) as sandbox:
        yield from sandbox.parse(listed)


class Sandbox:
    """Processes that parse, kept from one lot of documents to the next; used in a with statement, or closed."""

    def __init__(self, options: Options, workers: int, parser: Parser = parse) -> None:
        self._options, self._ends = options, DefaultSelector()
        self._crew = [_Worker(options, parser, self._ends) for _ in range(workers)]

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._crew:
            worker.kill()
        self._ends.close()

    def parse(self, documents: Iterable[Document]) -> Iterator[Outcome]:
        """Yield the outcome of each document as it comes; to be taken to its end. Raises as `parse_all` does."""
        crew, waiting = self._crew, deque[Document]()
        with Arrivals(documents, self._options.max_bytes) as arrivals:
            while True:
                waiting += arrivals.take(wait=not any(worker.queue for worker in crew))
                for worker in crew:
                    worker.take(waiting, len(crew))
                busy = [worker for worker in crew if worker.queue]
                if not busy:
                    return
                patience = max(0.0, min(worker.deadline for worker in busy) - _now())
                heard = {
                    key.data for key, _ in self._ends.select(min(patience, _GLANCE) if arrivals.more else patience)
                }
                for worker in crew:
                    for outcome in worker.hear() if worker in heard else worker.check():
                        arrivals.done(outcome.id)
                        yield outcome


def warm_up() -> None:
    """Start loading the parsers in the background, so that they are ready when the first document comes."""
    if _context().get_start_method() == "forkserver":
        forkserver.ensure_running()


def _context() -> multiprocessing.context.BaseContext:
    """Return how workers are started: on Linux from a fork server that has loaded the parsers already."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["nbpipe.preprocess.sandbox", "nbpipe.preprocess.pdf"])
    return context


class _Worker:
    """A process, and the documents that it was handed and has not answered; it is at the first of them."""

    def __init__(self, options: Options, parser: Parser, ends: DefaultSelector) -> None:
        self._options, self._parser, self._ends = options, parser, ends
        self._process: multiprocessing.process.BaseProcess | None = None
        self._starts = self._load = 0
        self.queue: deque[Document] = deque()

    @property
    def deadline(self) -> float:
        """When the document that it is at, or its start, has taken too long; in seconds of the monotonic clock."""
        return self._since + (self._options.timeout if self._ready else _START)

    def take(self, waiting: deque[Document], crew: int) -> None:
        """Hand over what is next: one document to a process without any, more only while they are small and many."""
        if not self.queue:
            self._since, self._load = _now(), 0
            if self._process and not self._process.is_alive():  # it died while it had nothing to do
                self.kill()
        given = []
        while waiting and (not self.queue or (len(waiting) > crew and self._has_room(_weight(waiting[0])))):
            given.append(waiting.popleft())
            self.queue.append(given[-1])
            self._load += _weight(given[-1])
        if self.queue and not self._process:
            self._start()
            given = list(self.queue)
        if given:
            with suppress(OSError):  # it has just died, which is heard soon; its documents go to the next process
                self._pipe.send(given)

    def _has_room(self, weight: int) -> bool:
        return len(self.queue) < _AHEAD and self._load + weight < _AHEAD_BYTES

    def _start(self) -> None:
        context = _context()
        self._pipe, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, self._options, self._parser), daemon=True)
        with _without_main():
            process.start()
        self._process = process  # only now: SIGTERM may end this at any moment, and then what has started is killed
        theirs.close()
        self._ends.register(self._pipe, EVENT_READ, self)
        self._ends.register(self._process.sentinel, EVENT_READ, self)
        self._starts += 1
        self._ready, self._since = False, _now()

    def hear(self) -> Iterator[Outcome]:
        """Yield what has come from the process; where it has died, the row that says so."""
        died = not self._process.is_alive()  # judged before the pipe is read, which holds what it said last
        while self._process and self._pipe.poll():
            try:
                outcome, goes_on = self._pipe.recv()
            except Exception:  # the pipe's end, or bytes that are no outcome
                died = True
                break
            self._ready, self._since, self._starts = True, _now(), 0
            if not goes_on:
                self.kill()
            if outcome and self.queue:
                self._load -= _weight(self.queue.popleft())
                yield outcome
        if died and self._process:
            yield from self._fail(None)

    def check(self) -> Iterator[Outcome]:
        """Yield the row of a document that has taken too long, after ending the process."""
        if not self.queue or _now() < self.deadline:
            return
        if self._pipe.poll():  # it has answered, while others were heard
            yield from self.hear()
        else:
            yield from self._fail(Parsed("timeout", f"took longer than {self._options.timeout:g} s"))

    def _fail(self, verdict: Parsed | None) -> Iterator[Outcome]:
        """End the process; its first document gets the verdict, or without one the row of a process that died."""
        seconds, process = _now() - self._since, self._process
        if not verdict:
            process.join(_DYING)  # its pipe may end before it does
            wait_if_stopped(process.exitcode)
        cause = _cause(process.exitcode)
        self.kill()
        if self._ready and self.queue:
            document = self.queue.popleft()
            digest = sha256(document.path, self._options)
            parsed = verdict or Parsed("crashed", f"the parser's process died ({cause}; {self._limit})")
            yield Outcome(document.id, digest, document.bytes, parsed, seconds, 0)
        elif self._starts >= _STARTS:
            raise WorkError(f"the parsers' process cannot be started ({cause}); what was done is kept")

    @property
    def _limit(self) -> str:
        return f"memory limit {self._options.memory / 1e9:g} GB"

    def kill(self) -> None:
        """End the process and whatever it started, at once."""
        if not self._process:
            return
        for end in (self._pipe, self._process.sentinel):
            with suppress(KeyError):  # stopped before it was registered
                self._ends.unregister(end)
        self._process.kill()
        with suppress(OSError, AttributeError):  # all gone already, or a platform without process groups
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.join(_JOIN)
        self._pipe.close()
        self._process = None


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the program that runs from a process that starts: it would be loaded there again, for nothing."""
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _cause(code: int | None) -> str:
    if code is None:
        return "it closed its way back"
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"exit code {code}"


def _weight(document: Document) -> int:
    """Return about how much work a document is, and room its names take in the pipe, in bytes."""
    return document.bytes + 4 * len(document.id) + 4 * len(str(document.path))
