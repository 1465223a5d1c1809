"""Seconds and dollars of an epoch of each family, on the CPU and on the GPU if there is one, on a run's documents.

    python tests/bench/gpu.py RUN [--repeats 3] [--model pretrained --encoder FOLDER]

It is the measurement of the train notebook, repeated; each figure is the median. Prints the table that is kept in
tests/bench/gpu.md, with the GPU's name, or that there was none.
"""

import argparse
import statistics
import sys

import torch

from nbpipe.config import Train
from nbpipe.cost import Terms, dollars, duration
from nbpipe.errors import NbpipeError
from nbpipe.train.corpus import read_documents
from nbpipe.train.split import split
from nbpipe.train.worth import Pace, Worth, worth


def measure(config: Train, repeats: int) -> list[Worth]:
    """Return the paces of a run's documents, measured so many times."""
    documents = read_documents(config)
    parts = split(documents.usable, config.seed, config.rare)
    return [worth(documents, parts, config) for _ in range(repeats)]


def median(found: list[Worth]) -> list[Pace]:
    """Return each pace with the median of its seconds and of its shares."""
    columns = zip(*(each.paces for each in found), strict=True)
    return [
        Pace(
            paces[0].family,
            paces[0].device,
            statistics.median(pace.seconds for pace in paces),
            statistics.median(pace.moving for pace in paces),
        )
        for paces in columns
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--repeats", type=int, default=3, metavar="N")
    parser.add_argument("--model", default="attention")
    parser.add_argument("--encoder", default="")
    asked = parser.parse_args()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none, CPU only"
    try:
        found = measure(Train(run=asked.run, model=asked.model, encoder=asked.encoder), asked.repeats)
    except NbpipeError as error:
        sys.exit(f"{error}")
    print(
        f"GPU: {gpu}. CPU: {torch.get_num_threads()} threads. {Terms().vm_price:.2f} and {Terms().gpu_price:.2f} $/h.\n"
    )
    print("| family | device | an epoch | of it moving data | an epoch costs |\n| --- | --- | ---: | ---: | ---: |")
    for pace in median(found):
        cost = dollars(pace.seconds / 3600 * Terms().price(pace.device))
        print(f"| {pace.family} | {pace.device} | {duration(pace.seconds)} | {pace.moving:.0%} | {cost} |")
    print(f"\n{found[-1].advice}")


if __name__ == "__main__":
    main()
