"""Measure what safety costs: the stage beside a bare loop, two workers beside one, many documents, the start.

    python tests/bench/preprocess.py FOLDER [FOLDER ...] [--repeats N] [--many N]

Each lap is a fresh Python that times its work itself; laps of the two sides take turns, and medians are compared.

loop     open, parse and finish a shard with two workers, over a multiprocessing.Pool(2) that calls the same parsers:
         no listing twice, no plan, no limits, no digests, no ledger, nothing written
workers  the same shard with one worker over two
many     small generated texts, N over a tenth of N: seconds a document, and the stage's own peak memory
start    from the start of Python to the first parsed document, over a Python that only imports the same libraries
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

IMPORTS = "import nbpipe.audit, nbpipe.preprocess.stage, nbpipe.preprocess.pdf"


def bare(folder: Path) -> dict[str, float]:
    """Parse a folder in two processes, with none of the stage's safety."""
    from nbpipe.preprocess.files import list_documents
    from nbpipe.preprocess.parsers import parse

    began = time.perf_counter()
    with multiprocessing.Pool(2) as pool:
        found = list(pool.imap_unordered(parse, [document.path for document in list_documents(folder)]))
    return {"seconds": time.perf_counter() - began, "documents": len(found)}


def staged(folder: Path, workers: int) -> dict[str, float]:
    """Run a folder through the stage, as one shard."""
    from nbpipe.audit import Stamp
    from nbpipe.config import Preprocess
    from nbpipe.preprocess.stage import finish, open_shard, parse_shard

    with tempfile.TemporaryDirectory() as place:
        config = Preprocess(documents=folder, run=f"{place}/run", workers=workers)
        stamp, began = Stamp.now(config), time.perf_counter()
        parsing = parse_shard(open_shard(config))
        finish(parsing, stamp)
        seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": seconds, "documents": parsing.ledger.num_rows, "peak": peak}


def first(folder: Path) -> dict[str, float]:
    """Open a shard and wait for its first document."""
    from nbpipe.config import Preprocess
    from nbpipe.preprocess.stage import open_shard

    with tempfile.TemporaryDirectory() as place:
        shard = open_shard(Preprocess(documents=folder, run=f"{place}/run", workers=2))
        next(shard.parse(shard.documents))
        print(json.dumps({"documents": 1}), flush=True)
    return {"documents": 1}


LAPS: dict[str, Callable[[Path], dict[str, float]]] = {
    "bare": bare,
    "one": lambda folder: staged(folder, 1),
    "two": lambda folder: staged(folder, 2),
    "first": first,
}


def lap(kind: str, folder: Path) -> dict[str, float]:
    """Run one lap in a fresh Python, and return what it found."""
    done = subprocess.run([sys.executable, __file__, "--lap", kind, str(folder)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def clocked(command: list[str]) -> float:
    """Return the seconds until a command says its first line."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        seconds = time.perf_counter() - began
        process.communicate()
    return seconds


def compare(kinds: tuple[str, str], folder: Path, repeats: int) -> tuple[float, float, float]:
    """Return the median seconds of two kinds of laps that take turns, and the median of their ratio."""
    laps = []
    for turn in range(repeats):
        order = kinds if turn % 2 == 0 else kinds[::-1]
        found = {kind: lap(kind, folder)["seconds"] for kind in order}
        laps.append([found[kind] for kind in kinds])
    one, two = (statistics.median(seconds) for seconds in zip(*laps, strict=True))
    return one, two, statistics.median(one / two for one, two in laps)


def small_texts(folder: Path, count: int) -> Path:
    """Write small texts, a hundred to a folder."""
    for index in range(count):
        path = folder / f"{index // 100:04d}" / f"{index % 100:02d}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"document {index} speaks of {index % 7} things\n" * 20)
    return folder


def many(count: int, repeats: int) -> list[str]:
    """Return the lines that compare many small documents with a tenth of them."""
    with tempfile.TemporaryDirectory() as place:
        folders = {total: small_texts(Path(place, str(total)), total) for total in (count // 10, count)}
        laps = [{total: lap("two", folder) for total, folder in folders.items()} for _ in range(repeats)]
    each = [{total: found["seconds"] / total for total, found in one.items()} for one in laps]
    few, all_ = (statistics.median(one[total] for one in each) for total in folders)
    ratio = statistics.median(one[count] / one[count // 10] for one in each)
    peaks = [max(one[total]["peak"] for one in laps) / 1e6 for total in folders]
    return [
        f"many: {count // 10:,} documents {1000 * few:.3f} ms each, peak {peaks[0]:.0f} MB; "
        f"{count:,} documents {1000 * all_:.3f} ms each, peak {peaks[1]:.0f} MB; ratio {ratio:.3f}"
    ]


def start(folder: Path, repeats: int) -> list[str]:
    """Return the line that compares the first parsed document with bare imports."""
    commands = {
        "first": [sys.executable, __file__, "--lap", "first", str(folder)],
        "imports": [sys.executable, "-c", f"{IMPORTS}; print()"],
    }
    laps = [{name: clocked(command) for name, command in commands.items()} for _ in range(repeats)]
    first_, imports = (statistics.median(one[name] for one in laps) for name in commands)
    ratio = statistics.median(one["first"] / one["imports"] for one in laps)
    return [f"start: first document after {first_:.2f} s, imports alone {imports:.2f} s; ratio {ratio:.3f}"]


def main() -> None:
    """Print a line a comparison."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    options.add_argument("--repeats", type=int, default=3, metavar="N", help="laps of each kind (3)")
    options.add_argument("--many", type=int, default=100_000, metavar="N", help="small documents; 0 for none (100000)")
    options.add_argument("--lap", choices=LAPS, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.lap:
        print(json.dumps(LAPS[given.lap](given.folders[0])))
        return
    for folder in given.folders:
        staged_, bare_, ratio = compare(("two", "bare"), folder, given.repeats)
        print(f"loop {folder.name}: stage {staged_:.2f} s, bare {bare_:.2f} s; ratio {ratio:.3f}", flush=True)
        one, two, ratio = compare(("one", "two"), folder, given.repeats)
        print(f"workers {folder.name}: one {one:.2f} s, two {two:.2f} s; ratio {ratio:.3f}", flush=True)
        print(*start(folder, 2 * given.repeats + 1), sep="\n", flush=True)
    if given.many:
        print(*many(given.many, given.repeats), sep="\n", flush=True)


if __name__ == "__main__":
    main()
