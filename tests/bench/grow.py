"""What it costs to add a tenth of the documents to a run, beside a new run of all of them.

    python tests/bench/grow.py FOLDER [FOLDER ...] [--shards 4] [--engine local|ray] [--repeats 3]

All but every tenth document go through the stage first, as links in a folder of their own; then the others come. grown:
`nbpipe grow` and the stage again, on a copy of that run. anew: the stage on all, from nothing. Both in turns, a shard
after the other, in one Python whose engine is up; medians, and the median of their ratio. parsed: the documents which
the engine parsed in a grown run. same bytes: its parts are the new run's, and plan.json is but for its history.
Prints a Markdown table; ends with 1 where others than the added were parsed, or bytes differ.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

from nbpipe.audit import Stamp
from nbpipe.config import Preprocess
from nbpipe.preprocess.files import Document, list_documents
from nbpipe.preprocess.grow import grow
from nbpipe.preprocess.plan import Plan
from nbpipe.preprocess.stage import Shard, finish, open_shard, parse_shard
from nbpipe.preprocess.worker import Outcome
from nbpipe.run import Run

EVERY = 10


@dataclass(frozen=True)
class Place:
    """Where a folder is grown: its documents as links, the run of most of them, and how the stage runs."""

    documents: Path
    before: Path
    shards: int
    engine: str

    def preprocess(self, run: Path) -> None:
        """Run every shard to its receipt."""
        ray = {"engine": "ray", "ray_address": "local"} if self.engine == "ray" else {}
        for shard in range(self.shards):
            config = Preprocess(documents=self.documents, run=run, shard=shard, num_shards=self.shards, **ray)
            finish(parse_shard(open_shard(config)), Stamp.now(config))


def link(documents: Iterable[Document], folder: Path) -> None:
    """Link documents into a folder, under their ids."""
    for document in documents:
        place = folder / document.id
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(document.path.resolve())


@contextmanager
def counted() -> Iterator[list[str]]:
    """Give the ids of the documents that an engine has parsed, as they come."""
    ids: list[str] = []
    original = Shard.parse

    def parse(shard: Shard, documents: list[Document]) -> Iterator[Outcome]:
        for outcome in original(shard, documents):
            ids.append(outcome.id)
            yield outcome

    with patch.object(Shard, "parse", parse):
        yield ids


def grown(place: Place, run: Path) -> tuple[float, list[str]]:
    """Take the added documents into a copy of the run before; return the seconds, and the ids that were parsed."""
    shutil.copytree(place.before, run)
    with counted() as ids:
        began = time.perf_counter()
        grow(Run(run), place.documents)
        place.preprocess(run)
        return time.perf_counter() - began, sorted(ids)


def anew(place: Place, run: Path) -> float:
    """Run all documents from nothing; return the seconds."""
    began = time.perf_counter()
    place.preprocess(run)
    return time.perf_counter() - began


def same(one: Path, other: Path) -> bool:
    """Return whether a grown run has the same parts as a new one, and the same plan but for what it grew from."""
    parts = [{path.relative_to(run): path.read_bytes() for path in run.glob("**/part-*")} for run in (one, other)]
    plan = Plan.decode(Run(one).plan.read_bytes())
    return parts[0] == parts[1] and replace(plan, history=()).encode() == Run(other).plan.read_bytes()


def lap(place: Place, turn: int) -> tuple[float, float, list[str], bool]:
    """Return the seconds grown and anew, the ids that were parsed when grown, and whether the bytes are the same."""
    one, other = (place.before.with_name(f"{kind}-{turn}") for kind in ("grown", "anew"))
    if turn % 2:
        whole, (part, ids) = anew(place, other), grown(place, one)
    else:
        (part, ids), whole = grown(place, one), anew(place, other)
    return part, whole, ids, same(one, other)


def measure(folder: Path, asked: argparse.Namespace) -> tuple[str, bool]:
    """Return a folder's line of the table, and whether all is as it should be."""
    listed = list_documents(folder)
    added = listed[EVERY - 1 :: EVERY]
    with tempfile.TemporaryDirectory() as within:
        place = Place(Path(within, "documents"), Path(within, "before"), asked.shards, asked.engine)
        link(set(listed) - set(added), place.documents)
        place.preprocess(place.before)
        link(added, place.documents)
        found = [lap(place, turn) for turn in range(asked.repeats)]
    ids = [document.id for document in added]
    only, alike = all(one[2] == ids for one in found), all(one[3] for one in found)
    part, whole = (statistics.median(one[column] for one in found) for column in (0, 1))
    ratio = statistics.median(one[0] / one[1] for one in found)
    parsed = f"{len(ids):,}" if only else "others than the added"
    numbers = f"{len(listed):,} | {len(ids):,} | {part:.2f} | {whole:.2f} | {ratio:.2f} | {parsed}"
    return f"| {folder.name} | {asked.engine} | {numbers} | {'yes' if alike else 'no'} |", only and alike


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    options.add_argument("--shards", type=int, default=4, metavar="N", help="shards of the run (4)")
    options.add_argument("--engine", choices=["local", "ray"], default="local", help="what parses (local)")
    options.add_argument("--repeats", type=int, default=3, metavar="N", help="laps of each kind (3)")
    asked = options.parse_args()
    print("| folder | engine | documents | added | grown, s | anew, s | grown / anew | parsed | same bytes |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
    good = True
    for folder in asked.folders:
        line, right = measure(folder, asked)
        print(line, flush=True)
        good &= right
    if not good:
        sys.exit(1)


if __name__ == "__main__":
    main()
