"""Documents a second that `nbpipe predict` answers from parsed rows, beside scikit-learn's pipeline on the same rows.

    python tests/bench/predict.py RUN [--documents 20000] [--repeats 5]

The rows are the run's own parsed documents, repeated up to the number asked for, as they lie in memory after reading.
Ours is all that predict does with them: words, network, label, probability, abstaining, CSV. scikit-learn's is
TfidfVectorizer(sublinear_tf=True) with LinearSVC, fitted on the same training documents, and its labels only. Both in
turns, on the CPU; medians, and the ratio. Prints a Markdown table.
"""

import argparse
import io
import statistics
import sys
import time
from collections.abc import Callable

import polars as pl
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import LinearSVC

from nbpipe.audit import trusted
from nbpipe.config import resolve
from nbpipe.errors import NbpipeError
from nbpipe.predict import answer, write_csv
from nbpipe.run import Run
from nbpipe.train.model import Classifier
from nbpipe.train.shards import check_shards, stream_texts

_PIECE = 2_000


def rows(run: Run, number: int) -> pl.DataFrame:
    """Return the run's usable documents, repeated up to a number: path, status, text."""
    found = pl.concat(stream_texts(check_shards(run))).filter(pl.col("status") == "ok")
    return pl.concat([found] * -(-number // len(found))).head(number)


def fitted(run: Run, table: pl.DataFrame) -> Pipeline:
    """Return scikit-learn's pipeline, fitted on the documents that the model learnt from."""
    listed = pl.read_parquet(run.model / "documents.parquet").filter(pl.col("part").is_in(["train", "validation"]))
    learnt = table.unique("path").join(listed, on="path")
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True), LinearSVC())
    return model.fit(learnt["text"].to_list(), learnt["label"].to_list())


def seconds(work: Callable[[], object]) -> float:
    """Return how long some work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=resolve)
    parser.add_argument("--documents", type=int, default=20_000, metavar="N")
    parser.add_argument("--repeats", type=int, default=5, metavar="N")
    asked = parser.parse_args()
    run = Run(asked.run)
    try:
        trusted(run.model)
        table, classifier = rows(run, asked.documents), Classifier.load(run.model, "cpu")
    except NbpipeError as error:
        sys.exit(f"{error}")
    pipeline, texts = fitted(run, table), table["text"].to_list()
    pieces = list(table.iter_slices(_PIECE))
    found = [
        (
            seconds(lambda: write_csv((answer(classifier, piece) for piece in pieces), io.StringIO())),
            seconds(lambda: pipeline.predict(texts)),
        )
        for _ in range(asked.repeats)
    ]
    ours, theirs = (statistics.median(times) for times in zip(*found, strict=True))
    ratio = statistics.median(theirs / ours for ours, theirs in found)
    print("| documents | family | MB | scikit-learn's seconds / ours |\n| ---: | --- | ---: | ---: |")
    megabytes = table["text"].str.len_bytes().sum() / 1e6
    print(f"| {len(table):,} | {classifier.family.name} | {megabytes:.0f} | {ratio:.2f} |")
    print(f"\n{len(table) / ours:,.0f} and {len(table) / theirs:,.0f} documents a second on this machine, today")


if __name__ == "__main__":
    main()
