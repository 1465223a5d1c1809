"""What happens inside a parser's process: one document after the other, each within its limits.

Unusual: nothing that a parser leaves behind reaches the next document. A process that ends a document with threads,
children or much more memory than it began with gives its answer and then ends too; its parent starts another.
"""

import ctypes
import hashlib
import os
import signal
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

from nbpipe.preprocess.files import Document
from nbpipe.preprocess.options import MOST_TEXT, Options
from nbpipe.preprocess.parsed import Parsed, first_pages

try:
    import resource
except ImportError:  # Windows has no limits of this kind
    resource = None  # type: ignore[assignment]

Parser = Callable[[Path, Options], Parsed]

_DIE_WITH_PARENT = 1  # prctl's PR_SET_PDEATHSIG
_SMALL = 1 << 18  # bytes
_VANISHED, _RESIZED = "the file has vanished", "when it was listed it had"
_GROWN = 0.25  # of the memory limit: a process that keeps more than this between documents is replaced


@dataclass(frozen=True)
class Verdict:
    """What an earlier attempt at a document found."""

    status: str
    reason: str
    parser: str
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """What became of one document. earlier: what was found before it was parsed again, the first verdict first."""

    id: str
    sha256: str
    bytes: int
    parsed: Parsed
    seconds: float
    peak_bytes: int
    earlier: tuple[Verdict, ...] = ()


def serve(pipe: Connection, options: Options, parser: Parser) -> None:
    """Answer each document that comes through the pipe with its outcome, and whether this process goes on after it."""
    _confine()
    clean = _State.now()
    with suppress(EOFError, BrokenPipeError):
        pipe.send((None, True))  # ready: from now on the clock of a document runs
        while True:
            for document in pipe.recv():
                outcome = examine(document, options, parser)
                goes_on = not _State.now().dirtier(clean, options.memory)
                pipe.send((outcome, goes_on))
                if not goes_on:
                    return


def examine(document: Document, options: Options, parser: Parser) -> Outcome:
    """Parse one document in this process, within `options`."""
    began = time.monotonic()
    _forget_peak()
    before = _fingerprint(document.path)
    parsed = _unfit(document, options) or _parse_within(document, options, parser)
    digest = sha256(document.path, options)
    if before and parsed.status != "too_large" and _fingerprint(document.path) != before:
        parsed = _changed(document.path)
    return Outcome(document.id, digest, document.bytes, parsed, time.monotonic() - began, _peak())


def sha256(path: Path, options: Options) -> str:
    """Return the digest of a file's bytes, or nothing where it cannot be read or is larger than what is opened."""
    with suppress(OSError):
        state = path.stat()
        if stat.S_ISREG(state.st_mode) and state.st_size <= options.max_bytes:
            with path.open("rb") as file:
                if state.st_size <= _SMALL:  # spares the large buffer of file_digest
                    return hashlib.sha256(file.read()).hexdigest()
                return hashlib.file_digest(file, "sha256").hexdigest()
    return ""


def _fingerprint(path: Path) -> tuple[int, int, int] | None:
    """Return what changes when a file is written to or replaced; None where it is gone."""
    with suppress(OSError):
        state = path.stat()
        return state.st_ino, state.st_size, state.st_mtime_ns
    return None


def _unfit(document: Document, options: Options) -> Parsed | None:
    """Return the verdict on what must not even be opened: a FIFO would block for ever."""
    path = document.path
    if document.problem:
        return Parsed("unreadable", document.problem)
    if document.address and document.bytes > options.max_bytes:
        return _too_large(document.bytes, options)
    if not path.is_file():
        reason = "a link that leads nowhere" if path.is_symlink() else _VANISHED
        return Parsed("unreadable", "not a regular file" if path.exists() else reason)
    size = path.stat().st_size
    if size > options.max_bytes:
        return _too_large(size, options)
    if size != document.bytes:
        return Parsed("unreadable", f"the file has {size:,} bytes; {_RESIZED} {document.bytes:,}")
    return None


def _too_large(size: int, options: Options) -> Parsed:
    return Parsed("too_large", f"the file has {size:,} bytes; max_bytes = {options.max_bytes:,}")


def as_listed(parsed: Parsed) -> bool:
    """Tell whether a document was there, and as large, as when it was listed."""
    return parsed.status != "unreadable" or not (parsed.reason == _VANISHED or _RESIZED in parsed.reason)


def _changed(path: Path) -> Parsed:
    found = "changed" if path.exists() else "vanished"
    return Parsed("unreadable", f"the file {found} while it was read")


def _parse_within(document: Document, options: Options, parser: Parser) -> Parsed:
    _limit_memory(options.memory)
    try:
        return _cut(parser(document.path, options), options.max_pages)
    except MemoryError:
        return Parsed("crashed", f"needed more than the memory limit of {options.memory / 1e9:g} GB")
    except Exception as error:  # whatever else a parser may do costs its own row
        return Parsed("crashed", f"{type(error).__name__} in the parser")
    finally:
        _limit_memory(None)


def _cut(parsed: Parsed, max_pages: int) -> Parsed:
    """Keep what the limits allow of a document's text, and say in its reason what was left out."""
    pages = [page.encode("utf-8", "replace") for page in parsed.pages[:max_pages]]
    notes = [parsed.reason] if parsed.reason else []
    if len(parsed.pages) > max_pages:
        notes.append(first_pages(max_pages, len(parsed.pages)))
    room = MOST_TEXT
    for number, page in enumerate(pages, start=1):
        if len(page) > room:
            notes.append(f"only the first {MOST_TEXT:,} bytes of text were kept, to page {number} of {len(pages)}")
            pages[number - 1 :] = [page[:room]]
            break
        room -= len(page)
    return replace(parsed, pages=[page.decode("utf-8", "ignore") for page in pages], reason="; ".join(notes))


def _confine() -> None:
    """Prepare this process: a group of its own, dies with its parent, ignores Ctrl-C, hears and says nothing."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles it
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # so that what a parser starts is killed with it
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        with suppress(OSError):  # where memory runs out, the kernel takes this process and not its parent
            Path("/proc/self/oom_score_adj").write_text("1000")
    if resource:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)


@dataclass(frozen=True)
class _State:
    """What a document may leave behind in its process."""

    threads: int
    children: bool
    resident: int

    @classmethod
    def now(cls) -> "_State":
        with suppress(OSError):  # elsewhere than on Linux nothing is known
            threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208 - after each document: no path objects
            return cls(threads, _has_children(), _statm(1))
        return cls(0, False, 0)

    def dirtier(self, clean: "_State", memory: int) -> bool:
        """Tell whether something was left behind, compared with a clean state."""
        grown = self.resident - clean.resident
        return self.threads > clean.threads or self.children or grown > _GROWN * memory


def _has_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
        return True
    except ChildProcessError:
        return False


def _statm(column: int) -> int:
    """Return a column of /proc/self/statm in bytes: 0 is the address space, 1 is resident memory."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - read for each document
        return int(file.read().split()[column]) * os.sysconf("SC_PAGE_SIZE")


def _limit_memory(extra: int | None) -> None:
    """Allow `extra` bytes of address space beyond what is mapped now; None lifts the limit."""
    if not resource:
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    soft = resource.RLIM_INFINITY
    if extra is not None:
        with suppress(OSError):
            soft = _statm(0) + extra
    if hard != resource.RLIM_INFINITY:
        soft = hard if soft == resource.RLIM_INFINITY else min(soft, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _forget_peak() -> None:
    with suppress(OSError), open("/proc/self/clear_refs", "w") as file:  # noqa: PTH123 - only Linux can start a new peak
        file.write("5")


def _peak() -> int:
    """Return the most memory in bytes that this document, or elsewhere than on Linux this process, has held."""
    if not resource:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
