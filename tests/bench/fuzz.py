"""Run a real shard over thousands of damaged documents: each must get its row, and nothing may stop the shard.

    python tests/bench/fuzz.py [--files 10000] [--seed 0] [--workers 2] [--timeout 60] [--keep FOLDER]

Unusual: what it measures matters less than how it ends. Exits 1 where rows differ from files, a status is unknown, or
the receipt does not hold. Files whose parser was killed, and the slowest ones, are copied to FOLDER to be looked at.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.compute as pc
from damage import damaged

from nbpipe.audit import Stamp, differences, find_receipt
from nbpipe.config import STATUSES, Preprocess
from nbpipe.preprocess.stage import Parsing, finish, open_shard, parse_shard
from nbpipe.records import PART, read_table

KILLED = ("crashed", "timeout")
_SLOWEST = 10


def write(folder: Path, count: int, seed: int) -> list[str]:
    """Write damaged files to a folder and return their names."""
    folder.mkdir(parents=True)
    names = []
    for index in range(count):
        name, data = damaged(index, seed)
        (folder / name).write_bytes(data)
        names.append(name)
    return names


def run_shard(documents: Path, run: Path, **settings: object) -> Parsing:
    """Run one shard over a folder as the notebook does, up to its receipt."""
    config = Preprocess(documents=documents, run=run, **settings)
    parsing = parse_shard(open_shard(config))
    finish(parsing, Stamp.now(config))
    return parsing


def wrong(parsing: Parsing, names: Sequence[str]) -> list[str]:
    """Return one line for each way in which a shard broke its word."""
    parts = [read_table(path, PART) for path in parsing.shard.parts.paths]
    rows = pa.concat_tables([PART.empty_table(), *parts])["path"].to_pylist()
    receipt = find_receipt(parsing.shard.parts.folder)
    lines = [] if sorted(rows) == sorted(names) else [f"{len(rows):,} rows for {len(names):,} files"]
    lines += [] if parsing.ledger["path"].to_pylist() == rows else ["the ledger names other documents than the parts"]
    strange = set(parsing.ledger["status"].to_pylist()) - set(STATUSES)
    lines += [f"{status!r} is no status" for status in sorted(strange)]
    return lines + (differences(receipt) if receipt else ["there is no receipt"])


def report(parsing: Parsing, keep: Path) -> None:
    """Print what became of the files; copy those worth a look, with its row's reason."""
    ledger = parsing.ledger
    killed = ledger.filter(pc.is_in(ledger["status"], pa.array(KILLED)))
    slowest = ledger.sort_by([("seconds", "descending")]).slice(0, _SLOWEST)
    print(f"rows      {ledger.num_rows:,}")
    print(f"statuses  {', '.join(f'{status} {count:,}' for status, count in parsing.counts.items() if count)}")
    print(f"seconds   {parsing.seconds:,.1f}")
    print(f"parent    {peak() / 1e6:,.0f} MB at most")
    keep.mkdir(parents=True, exist_ok=True)
    for title, rows in (("killed", killed), ("slowest", slowest)):
        for row in rows.to_pylist():
            print(f"{title:9} {row['path']}  {row['status']}  {row['seconds']:.2f} s  {row['reason']}")
            shutil.copy(parsing.shard.config.documents / row["path"], keep)
    print(f"kept      {keep}")


def peak() -> int:
    """Return the most memory in bytes that this process has held so far; elsewhere than on Linux what it holds now."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return psutil.Process().memory_info().rss
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def main() -> None:
    """Make the files, run the shard, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=60, help="seconds a document may take")
    parser.add_argument("--keep", type=Path, help="a folder for files worth a look")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        names = write(Path(folder, "documents"), asked.files, asked.seed)
        print(f"files     {len(names):,} of seed {asked.seed}; parent {peak() / 1e6:,.0f} MB so far", flush=True)
        parsing = run_shard(
            Path(folder, "documents"), Path(folder, "run"), workers=asked.workers, timeout=asked.timeout
        )
        report(parsing, asked.keep or Path(tempfile.mkdtemp(prefix="nbpipe-fuzz-")))
        sys.exit("\n".join(wrong(parsing, names)) or None)


if __name__ == "__main__":
    main()
