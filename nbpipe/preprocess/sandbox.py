"""Parses each document in a process that can be killed, so a crash, hang or memory hog costs one row.

Unusual: workers come from a fork server that holds nothing but the parsers: a fork of a notebook's process, full of
other libraries' threads, could deadlock, and a spawned Python would take a second to replace a crashed one.
"""

import ctypes
import hashlib
import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from pebble import ProcessExpired, ProcessPool

from nbpipe.preprocess.files import Document
from nbpipe.preprocess.options import Options
from nbpipe.preprocess.parsers import Parsed, parse

try:
    import resource
except ImportError:  # Windows has no limits of this kind
    resource = None  # type: ignore[assignment]

_AHEAD = 4  # documents queued per worker: enough that none waits, few enough that memory stays flat
_TRIES = 5  # times a document may be in flight when the pool breaks; then it is the likely cause
_LOST = Parsed("crashed", "the parsers' pool broke each time this document was parsed")
_DIE_WITH_PARENT = 1  # prctl's PR_SET_PDEATHSIG


@dataclass(frozen=True)
class Outcome:
    """What became of one document."""

    id: str
    sha256: str
    bytes: int
    parsed: Parsed
    seconds: float
    peak_bytes: int


def parse_all(
    documents: Iterable[Document], options: Options, workers: int, parser: Callable[[Path, Options], Parsed] = parse
) -> Iterator[Outcome]:
    """Yield the outcome of each document as it comes, parsed by `workers` processes.

    parser: a function of an importable module, called in the worker. A pool breaks when a worker dies before the pool
    knew its document; then the documents in flight are parsed again, by another pool.
    """
    waiting, broken = iter(documents), Counter[str]()
    while True:
        lost: dict[str, Document] = {}
        yield from _parse_in_flight(waiting, lost, options, workers, parser)
        if not lost:
            return
        broken.update(lost.keys())
        yield from (_dead(document, _LOST, 0.0) for name, document in lost.items() if broken[name] > _TRIES)
        waiting = chain([document for name, document in lost.items() if broken[name] <= _TRIES], waiting)


def _parse_in_flight(
    waiting: Iterator[Document],
    lost: dict[str, Document],
    options: Options,
    workers: int,
    parser: Callable[[Path, Options], Parsed],
) -> Iterator[Outcome]:
    """Yield outcomes from one pool until all have come or it breaks; `lost` then holds the documents in flight."""
    flying: dict[Future, Document] = {}
    begun: dict[Future, float] = {}
    pool = ProcessPool(max_workers=workers, initializer=_confine, context=_context())
    try:
        while True:
            for document in islice(waiting, workers * _AHEAD - len(flying)):
                lost[document.id] = document
                flying[pool.schedule(examine, args=[document, options, parser], timeout=options.timeout)] = document
            if not flying:
                return
            for future in flying:
                if future.running():
                    begun.setdefault(future, time.monotonic())
            for future in wait(flying, return_when=FIRST_COMPLETED).done:
                seconds = time.monotonic() - begun.pop(future, time.monotonic())
                outcome = _outcome(flying.pop(future), future, options, seconds)
                del lost[outcome.id]
                yield outcome
    except RuntimeError:  # BrokenProcessPool from a future, its parent class from schedule
        return
    finally:
        pool.stop()
        pool.join()


def _context() -> multiprocessing.context.BaseContext:
    """Return how workers are started: on Linux from a fork server that has loaded the parsers already."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["nbpipe.preprocess.sandbox"])
    return context


def _outcome(document: Document, future: Future, options: Options, seconds: float) -> Outcome:
    """Return what a worker found; where it was killed or died, the row that says so."""
    try:
        return future.result()
    except BrokenProcessPool:
        raise
    except TimeoutError:
        return _dead(document, Parsed("timeout", f"took longer than {options.timeout:g} s"), seconds)
    except ProcessExpired as death:
        reason = f"the parser's process died ({_cause(death.exitcode)}; memory limit {options.memory / 1e9:g} GB)"
        return _dead(document, Parsed("crashed", reason), seconds)
    except Exception as error:  # whatever else a parser may do costs its own row
        return _dead(document, Parsed("crashed", f"{type(error).__name__} in the parser"), seconds)


def _dead(document: Document, parsed: Parsed, seconds: float) -> Outcome:
    return Outcome(document.id, _sha256(document.path), document.bytes, parsed, seconds, 0)


def _cause(exitcode: int | None) -> str:
    with suppress(ValueError, TypeError):
        return signal.Signals(-exitcode).name  # type: ignore[operator]
    return f"exit code {exitcode}"


def examine(document: Document, options: Options, parser: Callable[[Path, Options], Parsed]) -> Outcome:
    """Parse one document in this process, within `options.memory`."""
    began = time.monotonic()
    _forget_peak()
    parsed = _unfit(document) or _parse_within(document, options, parser)
    sha256 = _sha256(document.path)
    return Outcome(document.id, sha256, document.bytes, parsed, time.monotonic() - began, _peak())


def _unfit(document: Document) -> Parsed | None:
    """Return the verdict on what must not even be opened: a FIFO would block for ever."""
    if document.path.is_file():
        return None
    reason = "a link that leads nowhere" if document.path.is_symlink() else "not a regular file"
    return Parsed("unreadable", reason if os.path.lexists(document.path) else "the file has vanished")


def _parse_within(document: Document, options: Options, parser: Callable[[Path, Options], Parsed]) -> Parsed:
    _limit_memory(options.memory)
    try:
        return parser(document.path, options)
    except MemoryError:
        return Parsed("crashed", f"needed more than the memory limit of {options.memory / 1e9:g} GB")
    finally:
        _limit_memory(None)


def _sha256(path: Path) -> str:
    """Return the digest of a file's bytes, or nothing where it cannot be read."""
    if not path.is_file():
        return ""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _confine() -> None:
    """Prepare a worker: dies with its parent, ignores Ctrl-C (the parent handles it), and says nothing."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if resource:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)


def _limit_memory(extra: int | None) -> None:
    """Allow `extra` bytes of address space beyond what is mapped now; None lifts the limit."""
    if not resource:
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    soft = resource.RLIM_INFINITY if extra is None else _status("VmSize") + extra
    if hard != resource.RLIM_INFINITY:
        soft = hard if soft == resource.RLIM_INFINITY else min(soft, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _forget_peak() -> None:
    with suppress(OSError):  # only Linux can start a new peak
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """Return the most memory in bytes that this document, or elsewhere than on Linux this process, has held."""
    if _status("VmHWM"):
        return _status("VmHWM")
    if not resource:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _status(name: str) -> int:
    """Return a field of /proc/self/status in bytes, 0 where there is none."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    return 0
