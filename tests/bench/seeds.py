"""Compares bag with LinearSVC on a run that is preprocessed already, over several seeds, each with its own split.

Usage: python tests/bench/seeds.py RUN [--seeds 5] [--labels CSV]. Prints a Markdown table of test accuracies.
"""

import argparse
import statistics
import sys

from nbpipe.config import Train
from nbpipe.errors import NbpipeError
from nbpipe.train.baselines import fit_baselines
from nbpipe.train.corpus import read_documents
from nbpipe.train.evaluate import evaluate, untrained
from nbpipe.train.fit import fit, prepare
from nbpipe.train.split import split


def scores(run: str, labels: str | None, seeds: int) -> list[tuple[float, float, float]]:
    """Return test accuracy of bag and of LinearSVC, and the seconds of training bag, per seed."""
    documents = read_documents(Train(run=run, labels=labels))
    found = []
    for seed in range(seeds):
        config = Train(run=run, labels=labels, seed=seed)
        parts = split(documents.usable, seed)
        baselines, start = fit_baselines(documents, parts, config), prepare(documents, parts, config)
        evaluation = evaluate(fit(start), baselines, untrained(start))
        found.append((evaluation.test.accuracy, baselines.linear_svc.accuracy, evaluation.test.seconds))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--labels", help="a CSV file with the columns path,label")
    asked = parser.parse_args()
    try:
        found = scores(asked.run, asked.labels, asked.seeds)
    except NbpipeError as error:
        sys.exit(f"{error}")
    print("| seed | bag | linear_svc | difference | bag seconds |\n| ---: | ---: | ---: | ---: | ---: |")
    for seed, (bag, svc, seconds) in enumerate(found):
        print(f"| {seed} | {bag:.3f} | {svc:.3f} | {bag - svc:+.3f} | {seconds:.1f} |")
    bag, svc, seconds = (statistics.mean(values) for values in zip(*found, strict=True))
    print(f"| mean | {bag:.3f} | {svc:.3f} | {bag - svc:+.3f} | {seconds:.1f} |")


if __name__ == "__main__":
    main()
