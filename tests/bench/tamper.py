"""Tampers with finished runs, one kind at a time, and says whether `nbpipe verify` finds it: tables in Markdown.

    python tests/bench/tamper.py RUN ...

Each run must be proven as it is, with its documents where they were, and is then copied for every kind; what is given
stays as it is. Where several runs are given, they also lend each other parts. The kinds are those of
tests/tampering.py, which tests/test_verify.py does to a run of its own.
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tampering import FOREIGN, KINDS, hit, proven_files, tampered, unnoticed

from nbpipe.run import Run
from nbpipe.verify import prove


def rows(run: Path, other: Path | None) -> list[tuple[str, str, str]]:
    """Return a row for each kind of tampering with a run: the kind, whether it was found, and the line."""
    documents, found = Run(run).documents(), []
    for kind in [*KINDS, *(FOREIGN if other else {})]:
        try:
            line = hit(kind, tampered(run, documents, kind, other))
        except (AssertionError, StopIteration, IndexError, KeyError) as error:
            found.append((kind, "not tried", f"this run has nothing to do it to: {error or 'a second shard'}"))
            continue
        found.append((kind, "yes" if line else "NO", line))
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copytree(run, Path(folder) / "run")
        files, missed = len(proven_files(copy)), unnoticed(copy)
    kind = f"one bit of each file, {files} files one at a time"
    return [*found, (kind, "NO" if missed else "yes", f"not found: {', '.join(missed)}" if missed else "")]


def main() -> None:
    """Print a table for each run; exit 1 where anything was not found."""
    runs, missed = [Path(word).resolve() for word in sys.argv[1:]], 0
    for run in runs:
        began = time.perf_counter()
        proof = prove(Run(run))
        if proof.findings or proof.remarks:
            sys.exit("\n".join([f"{run.name}: is not proven as it is", *proof.findings, *proof.remarks]))
        print(f"\n{run.name}: untouched, no findings, proven in {time.perf_counter() - began:.2f} s\n")
        print("| kind | found | the line |\n| --- | --- | --- |")
        for kind, found, line in rows(run, next((other for other in runs if other != run), None)):
            print(f"| {kind} | {found} | {line.replace('|', '/')} |", flush=True)
            missed += found == "NO"
    sys.exit(min(missed, 1))


if __name__ == "__main__":
    main()
