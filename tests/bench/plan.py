"""Compare what `nbpipe plan` predicts with what the preprocess stage then takes, over several seeds of the sample.

    python tests/bench/plan.py FOLDER --sample N [--seeds 5] [--workers N]

The whole folder goes through the real stage, in a run of its own, before the first plan and after each, since a shared
machine is not equally fast all the time. Measured is the sum of the ledger's seconds, the mean of the run before a plan
and the one after it. Each plan parses a sample of its own. Prints a Markdown table, then how many held.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.compute as pc

from nbpipe.config import Preprocess
from nbpipe.cost import Terms
from nbpipe.errors import NbpipeError
from nbpipe.preprocess.engines import cores
from nbpipe.preprocess.files import list_documents
from nbpipe.preprocess.forecast import Trial, foresee
from nbpipe.preprocess.options import Options
from nbpipe.preprocess.sampling import Total
from nbpipe.preprocess.stage import open_shard, parse_shard

WITHIN = 0.2


def whole(folder: Path, workers: int) -> float:
    """Return the core-seconds of all documents, parsed by the stage in a run that is thrown away."""
    with tempfile.TemporaryDirectory() as run:
        ledger = parse_shard(open_shard(Preprocess(documents=folder, run=run, workers=workers))).ledger
    return pc.sum(ledger["seconds"]).as_py()


def plan(folder: Path, sample: int, seed: int, workers: int) -> Total:
    """Return what a plan says of the whole folder."""
    options = Options.of(Preprocess(documents=folder).model_dump())
    return foresee(list_documents(folder), Trial(sample, workers, options, seed), Terms(cores=workers)).whole


def measure(asked: argparse.Namespace) -> Iterator[tuple[Total, float]]:
    """Yield each seed's plan, and the core-seconds measured around it."""
    before = whole(asked.folder, asked.workers)
    for seed in range(asked.seeds):
        total = plan(asked.folder, asked.sample, seed, asked.workers)
        after = whole(asked.folder, asked.workers)
        yield total, statistics.mean([before, after])
        before = after


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sample", type=int, required=True, metavar="N", help="documents that each plan parses")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="how many plans are made (5)")
    parser.add_argument("--workers", type=int, default=cores(), metavar="N", help="parsing processes (one per core)")
    asked = parser.parse_args()
    print("| seed | predicted core-seconds | interval | measured | predicted/measured | interval holds it |")
    print("| ---: | ---: | ---: | ---: | ---: | :--- |")
    near, held = [], []
    try:
        for seed, (total, measured) in enumerate(measure(asked)):
            ratio = total.seconds / measured
            near.append(abs(ratio - 1) <= WITHIN)
            held.append(total.low <= measured <= total.high)
            interval, inside = f"{total.low:.1f} to {total.high:.1f}", "yes" if held[-1] else "no"
            print(
                f"| {seed} | {total.seconds:.1f} | {interval} | {measured:.1f} | {ratio:.2f} | {inside} |", flush=True
            )
    except NbpipeError as error:
        sys.exit(f"{error}")
    print(f"\n{sum(near)} of {len(near)} within {WITHIN:.0%}, {sum(held)} of {len(held)} intervals hold it", end="; ")
    print(f"{asked.sample} documents a plan, {asked.workers} processes")


if __name__ == "__main__":
    main()
