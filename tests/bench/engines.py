"""Parse folders of PDFs by three engines: nbpipe's processes, nbpipe on Ray, and a plain Ray Data script with pypdf.

    python tests/bench/engines.py FOLDER [FOLDER ...] [--repeats 3]

Each lap is a fresh Python on this machine. It starts its engine, runs a folder of a few small documents for each core,
then that and the whole one in turns, twice. start: seconds until the engine and all its workers are up, which is the
start and the few; nbpipe on Ray and the plain script start their workers anew for each folder, so what the few took
just before is taken off the whole folder's seconds too, of each engine alike. Medians over laps, which take turns;
ratios are of medians. The plain script has one lap and one turn: it is slower many times over.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from nbpipe.preprocess.engines import cores


def nbpipe(engine: str) -> Callable[[Path, Path], int]:
    """Return what runs a folder as one shard, into a new run folder."""
    from nbpipe.audit import Stamp
    from nbpipe.config import Preprocess
    from nbpipe.preprocess.stage import finish, open_shard, parse_shard

    def run(folder: Path, out: Path) -> int:
        config = Preprocess(documents=folder, run=out, engine=engine, ray_address="local" if engine == "ray" else "")
        parsing = parse_shard(open_shard(config))
        finish(parsing, Stamp.now(config))
        return parsing.counts["ok"]

    return run


def plain() -> Callable[[Path, Path], int]:
    """Return the plain script: what people write first."""
    import io
    import logging

    import ray
    from pypdf import PdfReader

    logging.disable()
    ray.init("local", log_to_driver=False, logging_level="ERROR")

    def read(row: dict) -> dict:
        try:
            pages = [page.extract_text() for page in PdfReader(io.BytesIO(row["bytes"])).pages]
        except Exception:  # one paper is too much for pypdf, and without this for the whole job
            pages = [""]
        return {"path": row["path"], "pages": pages}

    def run(folder: Path, out: Path) -> int:
        files = ray.data.read_binary_files(str(folder), include_paths=True, file_extensions=["pdf"])
        files.map(read).write_parquet(str(out))
        return ray.data.read_parquet(str(out)).count()

    return run


TURNS, FEW = 2, 4
ENGINES = {"local": lambda: nbpipe("local"), "ray": lambda: nbpipe("ray"), "plain": plain}
NAMES = {"local": "nbpipe, this machine", "ray": "nbpipe on Ray", "plain": "plain Ray Data with pypdf"}


def lap(engine: str, folder: Path) -> None:
    """Print the seconds of the start, how many documents became text, and the seconds of the work, of each turn."""
    with tempfile.TemporaryDirectory() as place:
        few = Path(place, "few")
        few.mkdir()
        smallest = min(folder.rglob("*.pdf"), key=lambda path: path.stat().st_size)
        for number in range(FEW * cores()):
            shutil.copyfile(smallest, few / f"{number}.pdf")
        began = time.perf_counter()
        run = ENGINES[engine]()
        run(few, Path(place, "first"))
        start, works = time.perf_counter() - began, []
        for turn in range(1 if engine == "plain" else TURNS):
            times = [time.perf_counter()]
            for source, name in ((few, "few"), (folder, "whole")):
                count = run(source, Path(place, f"{name}-{turn}"))
                times.append(time.perf_counter())
            start_again, whole = (later - earlier for earlier, later in pairwise(times))
            works.append(whole - start_again)
        print(start, count, *works)


def measure(engine: str, folder: Path) -> tuple[float, float, list[float]]:
    """Run a lap in a fresh Python; return the seconds of the start, the documents, and the seconds of the work."""
    done = subprocess.run([sys.executable, __file__, "--lap", engine, folder], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    start, count, *works = map(float, done.stdout.splitlines()[-1].split())
    return start, count, works


def compare(folder: Path, repeats: int) -> dict[str, tuple[float, float, float]]:
    """Return each engine's start, documents and work: medians, over laps that take turns."""
    found: dict[str, list[tuple[float, float, list[float]]]] = {engine: [] for engine in ENGINES}
    for repeat in range(repeats):
        for engine, laps in found.items():
            if engine != "plain" or repeat == 0:
                laps.append(measure(engine, folder))
    return {
        engine: (
            statistics.median(start for start, _, _ in laps),
            laps[0][1],
            statistics.median(work for *_, works in laps for work in works),
        )
        for engine, laps in found.items()
    }


def main() -> None:
    """Print the table as Markdown."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    options.add_argument("--repeats", type=int, default=3, metavar="N", help="laps of nbpipe's engines (3)")
    options.add_argument("--lap", choices=ENGINES, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.lap:
        lap(given.lap, given.folders[0])
        return
    print("| folder | engine | start, s | work, s | documents a second | its seconds / this machine's |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for folder in given.folders:
        found = compare(folder, given.repeats)
        for engine, (start, count, work) in found.items():
            ratio = work / found["local"][2]
            print(
                f"| {folder.name} | {NAMES[engine]} | {start:.1f} | {work:.1f} | {count / work:.0f} | {ratio:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
