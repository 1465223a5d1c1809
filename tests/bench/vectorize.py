"""Measure vectorizing a large corpus from its parts against scikit-learn: MB/s, peak memory, time to the first batch.

    python tests/bench/vectorize.py [--documents N] [--share N] [--bigrams]

Made are N documents (100,000) of 2,000 words, four pages each, in Parquet parts of 1,000 as preprocessing leaves them;
words are drawn from 200,000 by Zipf's law. Each way runs in a process of its own, from the files to weighted words and
the first batch of 512, imports included. Both read part after part; scikit-learn's TfidfVectorizer, being slow, gets a
share of the documents, one in --share (10). MB are millions of bytes of text; peak memory is the whole process's,
libraries included.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from nbpipe.records import PART, read_table, write_table

WORDS, PAGES, PER_PART, VOCABULARY, BATCH = 2000, 4, 1000, 200_000, 512
LETTERS = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz", np.uint8)


def make(folder: Path, documents: int) -> None:
    """Write the parts."""
    chance = np.random.default_rng(0)
    names = pa.array(
        [bytes(LETTERS[chance.integers(0, 26, length)]).decode() for length in chance.integers(2, 12, VOCABULARY)]
    )
    likely = np.cumsum(1 / np.arange(1, VOCABULARY + 1))
    for number, first in enumerate(range(0, documents, PER_PART)):
        size = min(PER_PART, documents - first)
        drawn = np.searchsorted(likely, chance.random(size * WORDS) * likely[-1])
        starts = pa.array(np.arange(0, size * WORDS + 1, WORDS // PAGES, dtype=np.int32))
        pages = pc.binary_join(pa.ListArray.from_arrays(starts, names.take(pa.array(drawn))), " ")
        columns = {
            "path": [f"{first + index:06d}.pdf" for index in range(size)],
            "sha256": ["0" * 64] * size,
            "bytes": [0] * size,
            "status": ["ok"] * size,
            "pages": pa.ListArray.from_arrays(pa.array(np.arange(0, size * PAGES + 1, PAGES, dtype=np.int32)), pages),
        }
        write_table(folder / f"part-{number:05d}.parquet", pa.table(columns, schema=PART))


def texts(folder: Path, documents: int) -> Iterator[pl.Series]:
    """Yield the texts of the parts that hold the first `documents` documents."""
    for path in sorted(folder.glob("part-*.parquet"))[: -(-documents // PER_PART)]:
        yield pl.from_arrow(read_table(path, PART))["pages"].list.join("\n")


def ours(folder: Path, documents: int, bigrams: bool) -> int:
    """Vectorize with nbpipe; return the number of words."""
    import torch

    from nbpipe.train.bag import Batch
    from nbpipe.train.text import Vocabulary, count_parts

    counts = count_parts(texts(folder, documents), bigrams=bigrams)
    vocabulary = Vocabulary.of(counts)
    bags = vocabulary.weigh(counts)
    rates = np.ones(len(vocabulary), np.float32)
    Batch.of(bags.take(np.random.default_rng(0).permutation(len(bags))[:BATCH]), rates, torch.device("cpu"))
    return len(vocabulary)


def theirs(folder: Path, documents: int, bigrams: bool) -> int:
    """Vectorize with scikit-learn; return the number of words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2 if bigrams else 1))
    whole = vectorizer.fit_transform(text for part in texts(folder, documents) for text in part)
    whole[np.random.default_rng(0).permutation(whole.shape[0])[:BATCH]]
    return whole.shape[1]


WAYS = {"nbpipe": ours, "scikit-learn": theirs}


def measure(way: str, folder: Path, documents: int, bigrams: bool) -> None:
    """Run one way and print its figures as JSON."""
    began = time.perf_counter()
    words = WAYS[way](folder, documents, bigrams)
    seconds = time.perf_counter() - began
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    print(json.dumps({"words": words, "seconds": seconds, "peak": peak}))


def report(way: str, folder: Path, documents: int, bigrams: bool) -> None:
    """Measure one way in a process of its own and print a line."""
    size = sum(int(part.str.len_bytes().sum()) for part in texts(folder, documents))
    command = [sys.executable, __file__, "--measure", way, str(folder), "--documents", str(documents)]
    command += ["--bigrams"] * bigrams
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    print(
        f"{way}: {documents:,} documents, {size / 1e6:,.0f} MB, {found['words']:,} words: "
        f"{size / 1e6 / found['seconds']:.1f} MB/s, peak memory {found['peak'] / 1e9:.2f} GB, "
        f"first batch after {found['seconds']:.1f} s",
        flush=True,
    )


def main() -> None:
    """Make the corpus and measure both ways, or one of them where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--share", type=int, default=10)
    parser.add_argument("--bigrams", action="store_true")
    parser.add_argument("--measure", nargs=2, metavar=("WAY", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        way, folder = arguments.measure
        measure(way, Path(folder), arguments.documents, arguments.bigrams)
        return
    with tempfile.TemporaryDirectory() as made:
        make(Path(made), arguments.documents)
        report("nbpipe", Path(made), arguments.documents, arguments.bigrams)
        report("scikit-learn", Path(made), -(-arguments.documents // arguments.share), arguments.bigrams)


if __name__ == "__main__":
    main()
