"""Documents on their way to the parsers: those of this machine are there at once, others are brought here ahead.

Unusual: so many are under way that parsers need not wait for a network, and so few lie here that a small disk is
enough; each goes when its outcome is known. Threads bring them, which look into no document, and the parsers' processes
need no network.
"""

import os
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread

import psutil

from nbpipe import storage
from nbpipe.errors import WorkError
from nbpipe.preprocess.files import Document

_AHEAD, _AHEAD_BYTES = 128, 1 << 28  # documents that are under way or here, and their bytes; one at least
_FORGOTTEN = 3600.0  # seconds
_NAMED = 100  # bytes kept of a file's name, its ending among them


class Arrivals:
    """Documents as they become ready to be parsed; used in a with statement, so that nothing of them stays here."""

    def __init__(self, documents: Iterable[Document], max_bytes: int) -> None:
        """max_bytes: larger ones are not brought here, since they are not opened."""
        listed = list(documents)
        self.total = len(listed)
        self._far = deque(one for one in listed if one.address and one.bytes <= max_bytes)
        self._ready = [one for one in listed if not (one.address and one.bytes <= max_bytes)]
        self._held: dict[str, tuple[Document, Path]] = {}
        self._brought: set[str] = set()
        self._bytes = self._coming = 0
        self._orders: SimpleQueue[tuple[Document, Path] | None] = SimpleQueue()
        self._came: SimpleQueue[Document | Exception] = SimpleQueue()
        self._over = Event()

    def __enter__(self) -> "Arrivals":
        self._folder = None
        if self._far:
            _sweep()
            self._folder = tempfile.TemporaryDirectory(prefix=f"nbpipe-{os.getpid()}-", ignore_cleanup_errors=True)
            given = Path(self._folder.name), self._orders, self._came, self._over
            for _ in range(min(storage.THREADS, len(self._far))):
                Thread(target=_carry, args=given, daemon=True).start()
        self._order()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for _ in range(storage.THREADS):
            self._orders.put(None)
        if self._folder:
            self._folder.cleanup()

    @property
    def more(self) -> bool:
        """Whether some have not been taken."""
        return bool(self._ready or self._coming or self._far)

    def take(self, wait: bool) -> list[Document]:
        """Return those that have arrived since the last time; wait: until some have, if there are more.

        Raises WorkError where the storage does not answer.
        """
        taken, self._ready = self._ready, []
        while self._coming:
            try:
                found = self._came.get(block=wait and not taken)
            except Empty:
                break
            if isinstance(found, Exception):
                raise found
            self._coming -= 1
            if found.path.exists():
                self._brought.add(found.id)
            taken.append(found)
        return taken

    def done(self, name: str) -> None:
        """Let the document of an id go; raise WorkError where its file was gone before, so nobody could read it."""
        if name in self._held:
            document, path = self._held.pop(name)
            if name in self._brought and not path.exists():
                raise WorkError(
                    f"{document.address}: its copy was removed from this machine's folder of temporary files while it "
                    "was read; let TMPDIR name another one, then run the same again: what was finished is kept"
                )
            self._bytes -= document.bytes
            path.unlink(missing_ok=True)
            self._order()

    def _order(self) -> None:
        while self._far and (
            not self._held or (len(self._held) < _AHEAD and self._bytes + self._far[0].bytes <= _AHEAD_BYTES)
        ):
            document = self._far.popleft()
            path = Path(self._folder.name) / f"{len(self._far)}-{_ending(document.path.name)}"
            self._held[document.id] = document, path
            self._bytes += document.bytes
            self._coming += 1
            self._orders.put((document, path))


def _sweep() -> None:
    """Remove what killed processes left, once it has lain for so long that they are dead on other machines too."""
    for folder in Path(tempfile.gettempdir()).glob("nbpipe-*-*"):
        process = folder.name.split("-")[1]
        with suppress(OSError):
            forgotten = time.time() - folder.stat().st_mtime > _FORGOTTEN
            if forgotten and process.isdecimal() and not psutil.pid_exists(int(process)):
                shutil.rmtree(folder)


def _ending(name: str) -> str:
    """Return the end of a file's name, which tells its kind and which errors may quote; short enough for any disk."""
    return name.encode()[-_NAMED:].decode(errors="ignore")


def _carry(
    folder: Path,
    orders: SimpleQueue[tuple[Document, Path] | None],
    came: SimpleQueue[Document | Exception],
    over: Event,
) -> None:
    """Bring documents to a folder, one after the other, until it is over; what arrives after that does not stay."""
    while (order := orders.get()) and not over.is_set():
        try:
            came.put(_bring(*order))
        except Exception as error:  # of no single document: it ends the work
            came.put(error)
            break
    if over.is_set():
        shutil.rmtree(folder, ignore_errors=True)


def _bring(document: Document, path: Path) -> Document:
    problem = ""
    try:
        storage.download(document.address, path)
    except FileNotFoundError:
        pass  # the parser finds that it has vanished
    except PermissionError:
        problem = "access to the file is denied"
    return replace(document, path=path, problem=problem)
