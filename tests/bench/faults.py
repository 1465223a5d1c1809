"""What each fault costs: a shard with one bad document beside one without it, or a shard that is interfered with.

    python tests/bench/faults.py [--repeats N]

Prints a Markdown table: the fault, what the ledger says of it, rows lost (files without a row), other documents that
did not become text, and the seconds that the shard took longer than an undisturbed one. The time limit of a document is
2 s here. Needs root for the last rows, which make a small disk; says so where it cannot.
"""

import argparse
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from nbpipe.audit import Stamp
from nbpipe.config import Preprocess
from nbpipe.errors import WorkError
from nbpipe.preprocess import engines, sandbox, stage
from nbpipe.run import Run
from nbpipe.status import read_status

sys.path.insert(0, str(Path(__file__).parents[1] / "preprocess"))
import misbehaving

DEEDS = {
    "sleep": "sleeps for ever",
    "spin": "spins in Python",
    "native": "spins in native code, holding the interpreter's lock",
    "segfault": "reads address 0",
    "abort": "aborts",
    "exit": "ends the process",
    "leave": "ends the process as if all were well",
    "hog": "allocates without end",
    "recurse": "recurses without end in Python",
    "dive": "recurses without end in native code",
    "raise": "raises an AssertionError",
    "gigabyte": "returns a gigabyte of text",
    "write": "writes to stdout and stderr",
    "thread": "leaves a spinning thread behind",
    "child": "leaves a child process behind",
    "deaf": "closes all its files, the way back to the parent among them",
    "nothing": "returns no outcome",
    "pages": "returns 5,000 pages where 1,000 are allowed",
    "grow": "the file changes while it is read",
    "vanish": "the file vanishes while it is read",
    "forbidden": "the file may not be read (permissions)",
}
PLACES = {"fifo": "a FIFO", "socket": "a socket", "device": "a device", "dangling": "a dangling link"}
ORDINARY, SLOW = 40, 500
Cost = tuple[str, int, int, float]


LIMITS = {"timeout": 2, "memory": "500MB", "max_pages": 1000}
WIDER = {"timeout": 60, "memory": "4GB"}  # for text by the gigabyte


def run(folder: Path, **limits: object) -> tuple[float, list[dict[str, object]], str]:
    """Run a folder through the stage, and return its seconds, its ledger and the digest of its receipt."""
    config = Preprocess(documents=folder / "documents", run=folder / "run", workers=2, **LIMITS | limits)
    began = time.perf_counter()
    parsing = stage.parse_shard(stage.open_shard(config))
    receipt = stage.finish(parsing, Stamp.now(config))
    return time.perf_counter() - began, parsing.ledger.to_pylist(), receipt.digest


@contextmanager
def documents(count: int = ORDINARY, kind: str = "ordinary") -> Iterator[Path]:
    """Make ordinary documents in a new folder."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "documents")
        folder.mkdir()
        for index in range(count):
            (folder / f"{kind}-{index:03d}.txt").write_text(f"words of {index}")
        yield folder


def beside(repeats: int, make: Callable[[Path], object], name: str) -> Cost:
    """Return what became of one bad document, the rows lost, the others that suffered, and the seconds lost."""
    lost = []
    for _ in range(repeats):
        with documents(ORDINARY + 1) as folder:
            usual, _, _ = run(folder.parent)
        with documents() as folder:
            make(folder)
            seconds, rows, _ = run(folder.parent, **(WIDER if name == "gigabyte" else {}))
        lost.append(seconds - usual)
    (bad,) = [row for row in rows if not str(row["path"]).startswith("ordinary")]
    others = sum(row["status"] != "ok" for row in rows) - (bad["status"] != "ok")
    said = f"{bad['status']}: {bad['reason']}" if bad["reason"] else str(bad["status"])
    return said, ORDINARY + 1 - len(rows), others, statistics.median(lost)


def odd_file(kind: str, folder: Path) -> None:
    """Make what is no regular file."""
    path = folder / kind
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind(str(path))
    else:
        path.symlink_to("/dev/zero" if kind == "device" else folder / "nowhere")


@contextmanager
def started(folder: Path, count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Start processes that run the same folder as one shard."""
    command = [sys.executable, __file__, "--shard", str(folder)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(count)]
    yield processes
    for process in processes:
        process.stdout.close()
        process.wait()


def interrupted(number: signal.Signals) -> Cost:
    """Return what a signal in the middle of many slow documents costs, once the shard is run again."""
    with documents(SLOW, "slow") as folder, started(folder.parent, 1) as (process,):
        shard, done = Run(folder.parent / "run"), 0
        while done < 20:  # a claim is rewritten every few seconds
            time.sleep(0.05)
            done = read_status(shard).shards[0].done if shard.plan.exists() else 0
        asked = time.perf_counter()
        process.send_signal(number)
        process.wait()
        ended, stopped = time.perf_counter() - asked, read_status(shard).shards[0]
        _, rows, _ = run(folder.parent)
    said = f"{stopped.state} after {ended:.1f} s with {stopped.done} of {SLOW} documents done; the same call goes on"
    return said, SLOW - len(rows), sum(row["status"] != "ok" for row in rows), ended


def doubled() -> Cost:
    """Return what two processes that run the same shard at once cost."""
    with documents(250, "slow") as folder:
        with started(folder.parent, 1) as (process,):
            began = time.perf_counter()
            process.wait()
            alone = time.perf_counter() - began
        shutil.rmtree(folder.parent / "run")
        began = time.perf_counter()
        with started(folder.parent, 2) as both:
            digests = {process.stdout.read().splitlines()[-1] for process in both}
        seconds = time.perf_counter() - began - alone
        _, rows, _ = run(folder.parent)
    said = f"one works, one waits; both end with {'the same receipt' if len(digests) == 1 else 'DIFFERENT receipts'}"
    return said, 250 - len(rows), sum(row["status"] != "ok" for row in rows), seconds


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Make a disk of 300 KB at a folder."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)], check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def hindered(read_only: bool) -> Cost:
    """Return what a full or read-only disk costs, once it is mended and the shard is run again."""
    with documents() as folder, small_disk(folder.parent / "run") as disk:
        if read_only:
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        else:
            (disk / "ballast").write_bytes(bytes(290_000))
        try:
            run(folder.parent)
            said = "nothing was said"
        except WorkError as error:
            said = f"stops: {error}"
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        (disk / "ballast").unlink(missing_ok=True)
        _, rows, _ = run(folder.parent)
    return said, ORDINARY - len(rows), sum(row["status"] != "ok" for row in rows), 0.0


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--repeats", type=int, default=3, metavar="N", help="laps of which the median is taken (3)")
    options.add_argument("--shard", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    engines.parse_all = partial(sandbox.parse_all, parser=misbehaving.by_name)
    if given.shard:
        print(run(given.shard)[-1])
        return
    rows: list[tuple[str, Callable[[], Cost]]] = []
    for deed, words in DEEDS.items():
        make = partial(lambda folder, name: (folder / f"{name}-1.txt").write_text("words"), name=deed)
        fault = words if words.startswith("the file") else f"the parser {words}"
        rows.append((fault, partial(beside, given.repeats, make, deed)))
    rows += [(words, partial(beside, given.repeats, partial(odd_file, kind), kind)) for kind, words in PLACES.items()]
    rows += [(f"{one.name} in the middle", partial(interrupted, one)) for one in (signal.SIGTERM, signal.SIGKILL)]
    rows += [("two processes at one shard", doubled)]
    if os.geteuid() == 0:
        rows += [("a full disk", partial(hindered, False)), ("a read-only run folder", partial(hindered, True))]
    print("| fault | what happened | rows lost | others | seconds lost |\n|---|---|--:|--:|--:|")
    for fault, measure in rows:
        said, lost, others, seconds = measure()
        print(f"| {fault} | {said} | {lost} | {others} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
