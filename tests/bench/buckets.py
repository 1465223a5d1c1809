"""How many requests a run in object storage takes, and whether its parts are those of a folder.

    python tests/bench/buckets.py [--documents 10000] [--shards 1]

So many small texts lie in a folder, and in a bucket of an S3 server on loopback; the stage reads both, into a folder
and into the bucket. Each step of the stage is counted: opening a shard (list, plan), parsing it (documents, parts,
signs of life) and its receipt. Times say nothing here, since the server runs in the same Python. Prints a Markdown
table; ends with 1 where the parts are not the same bytes.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from objects import Server, served

from nbpipe.audit import Stamp
from nbpipe.config import Preprocess
from nbpipe.preprocess.stage import finish, open_shard, parse_shard

METHODS = ("GET", "PUT", "HEAD", "DELETE")


def make(folder: Path, count: int) -> None:
    """Write small texts, a hundred to a folder."""
    for number in range(count):
        path = folder / f"{number // 100:04d}" / f"{number:06d}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text {number} " * (number % 7 + 1))


def preprocess(documents: str, run: str, shards: int, counted: Callable[[str, Callable[[], Any]], Any]) -> None:
    """Run every shard to its receipt, one after the other."""
    for shard in range(shards):
        config = counted(
            "config", lambda shard=shard: Preprocess(documents=documents, run=run, shard=shard, num_shards=shards)
        )
        opened = counted("open", lambda config=config: open_shard(config))
        parsed = counted("parse", lambda opened=opened: parse_shard(opened))
        counted("receipt", lambda parsed=parsed, config=config: finish(parsed, Stamp.now(config)))


def compare(server: Server, folder: Path, count: int, shards: int) -> bool:
    """Print the requests of each step, and return whether the parts are the same bytes."""
    make(folder / "documents", count)
    server.client.create_bucket(Bucket="lab")
    listed = (folder / "documents").rglob("*.txt")
    server.make("lab", {path.relative_to(folder).as_posix(): path.read_bytes() for path in listed})
    steps: dict[str, Counter[str]] = {}

    def counted(step: str, work: Callable[[], Any]) -> Any:
        server.requests.clear()
        result = work()
        steps[step] = steps.get(step, Counter()) + server.requests
        return result

    preprocess("s3://lab/documents", "s3://lab/run", shards, counted)
    preprocess(str(folder / "documents"), str(folder / "run"), shards, lambda step, work: work())
    print(f"| step | {' | '.join(METHODS)} | of each document |")
    print("|---|" + "---:|" * (len(METHODS) + 1))
    for step, found in [*steps.items(), ("all", sum(steps.values(), Counter()))]:
        cells = " | ".join(f"{found[method]:,}" for method in METHODS)
        print(f"| {step} | {cells} | {sum(found.values()) / count:.3f} |")
    there = {name: data for name, data in server.objects("lab", "run/shards/").items() if "/part-" in name}
    shard_folder = folder / "run" / "shards"
    here = {path.relative_to(shard_folder).as_posix(): path.read_bytes() for path in shard_folder.glob("*/part-*")}
    same = "yes" if here == there else "no"
    print(f"\n{count:,} documents, {shards} shards, {len(here):,} parts; same bytes: {same}")
    return here == there


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--shards", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, served() as server:
        return 0 if compare(server, Path(folder), asked.documents, asked.shards) else 1


if __name__ == "__main__":
    sys.exit(main())
