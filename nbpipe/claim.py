"""Who is at work on a shard, and how far: one small file that its owner rewrites every few seconds.

Unusual: no machine is asked, and who takes a shard over goes by no clock but the storage's. Claims are numbered; taking
over means making the next number, which the file system, or the object storage, lets only one process do, and whoever
finds that its own claim no longer stands stops before it writes. A claim is free when its work is over, when its
process is dead and this is the machine to see that, or when it has not been rewritten for a minute.
"""

import hashlib
import json
import os
import platform
import re
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from nbpipe import storage
from nbpipe.addresses import address_of
from nbpipe.errors import NbpipeError, StoppedError, WorkError
from nbpipe.run import remove

BEAT = 5.0  # seconds between two signs of life
SILENT = 60.0  # seconds without one until others may take over
_POLL = 0.5
_SAME_START = 2.0  # seconds that two readings of one process' start may differ
_PREFIX, _DRAFT = ".claim-", ".claiming-"
_NAME = re.compile(r"\.claim-\d{5}")
_RUNNING = "running"


@dataclass
class Progress:
    """How far a piece of work is. done: documents by status; earlier: how many of them an earlier attempt did.

    begun, latest: when this attempt began and when its latest document was done, in seconds of the epoch. state:
    "running", then "over", "failed" or "stopped", the last two with a reason.
    """

    total: int = 0
    done: dict[str, int] = field(default_factory=dict)
    earlier: int = 0
    begun: float = 0.0
    latest: float = 0.0
    state: str = _RUNNING
    reason: str = ""


@dataclass(frozen=True)
class Claim:
    """A claim as it lies in a folder: its number, its owner, how far it is, and seconds since its last sign of life."""

    number: int
    owner: dict[str, Any]
    progress: Progress
    silence: float

    @property
    def running(self) -> bool:
        """Whether its work was going on when it was last heard of."""
        return self.progress.state == _RUNNING

    @property
    def stalled(self) -> bool:
        """Whether it says that it runs, but was silent for too long, or its process is known to be gone."""
        return self.running and (self.silence > SILENT or self._gone)

    @property
    def _gone(self) -> bool:
        if self.owner.get("machine") != _machine():
            return False
        try:
            process = psutil.Process(self.owner["pid"])
            another = abs(process.create_time() - self.owner["started"]) > _SAME_START
            return another or process.status() == psutil.STATUS_ZOMBIE  # dead, only its parent has not noticed
        except (psutil.NoSuchProcess, KeyError, TypeError, ValueError):
            return True


class Work:
    """A claim that is held. Its progress is what others see."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder, self.number = folder, number
        self.progress = Progress()
        self._over = threading.Event()
        self._beats = threading.Thread(target=self._beat, daemon=True)

    def begin(self, total: int, done: Mapping[str, int]) -> None:
        """Say how many documents there are, and which of them are done already, by status."""
        now = time.time()
        self.progress = Progress(total, dict(done), sum(done.values()), begun=now, latest=now)
        self.write()

    def count(self, status: str) -> None:
        """Say that one more document is done."""
        self.progress.done[status] = self.progress.done.get(status, 0) + 1
        self.progress.latest = time.time()

    @property
    def held(self) -> bool:
        """Whether this claim still stands; it does not after others took over, also when they have ended since."""
        newest = read_claim(self.folder)
        return newest is not None and (newest.number, newest.owner) == (self.number, _me())

    def check(self) -> None:
        """Raise WorkError where another process has taken over; called before anything of the shard is written."""
        if not self.held:
            name = self.folder.name
            raise WorkError(
                f"{name}: another process took over, as one does after {SILENT:g} seconds without a sign of life; "
                "when it has ended, the same command finds what it did"
            )

    def write(self) -> None:
        """Rewrite the claim; not flushed to the disk, since it says nothing that must survive the machine."""
        path, content = _path(self.folder, self.number), _content(self.progress)
        if address_of(path):
            storage.overwrite(path, content)
            return
        draft = self.folder / f"{_DRAFT}{secrets.token_hex(4)}"
        try:
            draft.write_bytes(content)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._over.wait(BEAT):
            with suppress(OSError, WorkError):  # on a full disk the claim just falls silent
                if self.held:
                    self.write()

    def start(self) -> None:
        """Begin to give signs of life."""
        self._beats.start()

    def end(self, state: str, reason: str) -> None:
        """Give the last sign of life."""
        self._over.set()
        self._beats.join()
        self.progress.state, self.progress.reason = state, reason
        with suppress(OSError, WorkError):
            if self.held:
                self.write()

    def release(self) -> None:
        """Remove the claim after its end, when its work is proven done; one that others made since stays."""
        _forget(self.folder, self.number + 1)


@contextmanager
def claimed(folder: Path) -> Iterator[Work]:
    """Hold a folder's claim, after waiting while another process does, and say how the work ended."""
    work = Work(folder, _take(folder))
    state, reason = "over", ""
    work.start()
    try:
        yield work
    except BaseException as error:
        state = "failed" if isinstance(error, Exception) else "stopped"
        reason = str(error) if isinstance(error, (NbpipeError, StoppedError)) else type(error).__name__
        raise
    finally:
        work.end(state, reason)


def read_claim(folder: Path, now: float | None = None) -> Claim | None:
    """Return the newest claim in a folder, or None where there is none.

    now: what the folder's storage takes for the time; this machine's clock where it is not given.
    """
    for path, changed in sorted(_claims(folder).items(), reverse=True):
        try:
            silence = max(0.0, (time.time() if now is None else now) - changed)
            content = json.loads(storage.read(path) if address_of(path) else path.read_bytes())
            return Claim(_number(path), dict(content["owner"]), Progress(**content["progress"]), silence)
        except FileNotFoundError:
            continue
        except (ValueError, TypeError, KeyError):  # just made, or its disk was full
            return Claim(_number(path), {}, Progress(), silence)
    return None


def _claims(folder: Path) -> dict[Path, float]:
    """Return the claims in a folder, with the time of their last sign of life."""
    found = {}
    if address_of(folder):
        return {folder / one.name: one.changed for one in storage.beside(folder) if _NAME.fullmatch(one.name)}
    for path in folder.glob(f"{_PREFIX}*"):
        with suppress(FileNotFoundError):
            if _NAME.fullmatch(path.name):
                found[path] = path.stat().st_mtime
    return found


def now_of(folder: Path) -> float:
    """Return what the folder's storage takes for the time: machines that share it need not agree on theirs."""
    draft = folder / f"{_DRAFT}{secrets.token_hex(4)}"
    if address_of(draft):
        return storage.clock(draft)
    try:
        draft.touch()
        return draft.stat().st_mtime
    finally:
        draft.unlink(missing_ok=True)


def _take(folder: Path) -> int:
    """Make the next claim once the newest is free, and return its number."""
    folder.mkdir(parents=True, exist_ok=True)
    waited = False
    while True:
        newest = read_claim(folder, now_of(folder))
        if newest is None or not newest.running or newest.stalled or newest.owner == _me():
            number = newest.number + 1 if newest else 1
            path = _path(folder, number)
            if _make(path):
                if max(map(_number, _claims(folder)), default=0) == number:
                    _forget(folder, number)
                    return number
                remove(path)  # others took over, and removed what was read or listed here, in the meantime
        elif not waited:
            waited = True
            done, total = sum(newest.progress.done.values()), newest.progress.total
            print(f"{folder.name}: another process is at it, with {done:,} of {total:,} documents done; waiting for it")
        time.sleep(BEAT if address_of(folder) else _POLL)


def _make(path: Path) -> bool:
    """Make a claim; of several processes one gets it."""
    if address_of(path):
        return storage.create(path, _content(Progress()))
    try:
        with path.open("xb") as file:
            file.write(_content(Progress()))
        return True
    except FileExistsError:
        return False
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _forget(folder: Path, number: int) -> None:
    """Remove the claims before a number."""
    for path in _claims(folder):
        if _number(path) < number:
            remove(path)


def _content(progress: Progress) -> bytes:
    return json.dumps({"owner": _me(), "progress": asdict(progress)}).encode()


def _path(folder: Path, number: int) -> Path:
    return folder / f"{_PREFIX}{number:05d}"


def _number(path: Path) -> int:
    return int(path.name.removeprefix(_PREFIX))


@cache
def _me() -> dict[str, Any]:
    return {"machine": _machine(), "pid": os.getpid(), "started": psutil.Process().create_time()}


@cache
def _machine() -> str:
    """Return what tells this machine, since its start and within its container, from others; its name is not in it."""
    try:
        facts = Path("/proc/sys/kernel/random/boot_id").read_text() + os.readlink("/proc/self/ns/pid")  # noqa: PTH115
    except OSError:
        facts = f"{platform.node()} {psutil.boot_time():.0f}"
    return hashlib.sha256(facts.encode()).hexdigest()[:16]
