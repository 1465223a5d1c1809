"""Test accuracy of a family on sets with a fixed split, and its time beside scikit-learn's, in one process.

    python tests/bench/train.py SET ... [--model bag] [--seeds 3] [--repeats 1]

A SET is a folder with train.tsv and test.tsv, `label<TAB>text` a line. All settings are the defaults; of each label's
training texts a tenth, drawn by the seed, decides when to stop. Timed is all from the training texts to the classifier
(vectorizing, search, final round), and TfidfVectorizer().fit_transform with LinearSVC().fit on the same texts before
each; the ratio is the median over seeds and repeats. A small fit of both goes ahead, for what is loaded on first use.
Prints a Markdown table.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from nbpipe.config import Train
from nbpipe.train.corpus import Documents
from nbpipe.train.fit import Training, fit, prepare
from nbpipe.train.split import Parts
from nbpipe.train.text import count_parts

VALIDATION = 0.1
_FEW = 10  # documents of each label


def read(file: Path) -> pl.DataFrame:
    """Return the documents of a file: label, text."""
    lines = [line.split("\t", 1) for line in file.read_text(encoding="utf-8").splitlines() if "\t" in line]
    return pl.DataFrame(lines, schema={"label": pl.String, "text": pl.String}, orient="row")


def split(table: pl.DataFrame, seed: int) -> Parts:
    """Return training documents of which a tenth of each label is for validation."""
    chance, part = np.random.default_rng(seed), np.full(len(table), "train", dtype=object)
    labels = table["label"].to_numpy()
    for label in np.unique(labels):
        rows = chance.permutation(np.flatnonzero(labels == label))
        part[rows[: max(1, round(VALIDATION * len(rows)))]] = "validation"
    rows = pl.int_range(len(table), eager=True)
    documents = table.select(pl.concat_list("label").alias("labels"), "label").with_columns(
        path=rows.cast(pl.String), part=pl.Series(part.tolist()), unit=rows, copy=rows, twin=rows
    )
    return Parts(documents, False, {}, {}, seed)


def train(texts: pl.Series, parts: Parts, model: str) -> Training:
    """Vectorize and fit, as the stage does."""
    listed = parts.documents.select("path", "labels", status=pl.lit("ok"))
    with tempfile.TemporaryDirectory() as run:
        config = Train(run=run, model=model, seed=parts.seed, device="cpu")
        counts = count_parts([texts], order=model in ("gru", "attention"))
        return fit(prepare(Documents(listed, counts, []), parts, config))


def right(training: Training, test: pl.DataFrame) -> float:
    """Return the share of test documents that get their label."""
    labels, _ = training.classifier.answers(test["text"])
    return float((pl.Series(labels) == test["label"]).mean())


def sklearn(texts: list[str], labels: list[str], test: pl.DataFrame) -> tuple[float, float]:
    """Return seconds of fitting, and test accuracy, of scikit-learn with its defaults."""
    began = time.perf_counter()
    vectorizer = TfidfVectorizer()
    model = LinearSVC().fit(vectorizer.fit_transform(texts), labels)
    seconds = time.perf_counter() - began
    predicted = model.predict(vectorizer.transform(test["text"].to_list()))
    return seconds, float((predicted == test["label"].to_numpy()).mean())


def measure(folder: Path, model: str, seeds: int, repeats: int) -> None:
    """Print a row for each seed and repeat, and the mean accuracy and median ratio."""
    table, test = read(folder / "train.tsv"), read(folder / "test.tsv")
    texts, labels = table["text"].to_list(), table["label"].to_list()
    few = table.group_by("label", maintain_order=True).head(_FEW)
    train(few["text"], split(few, 0), model)
    sklearn(few["text"].to_list(), few["label"].to_list(), few)
    accuracies, ratios = [], []
    for seed in range(seeds):
        parts = split(table, seed)
        for _ in range(repeats):
            theirs, svc = sklearn(texts, labels, test)
            began = time.perf_counter()
            training = train(table["text"], parts, model)
            ours = time.perf_counter() - began
            accuracies.append(right(training, test))
            ratios.append(ours / theirs)
            epochs = f"{len(training.history)}+{len(training.again)}"
            row = f"{folder.name} | {model} | {seed} | {accuracies[-1]:.4f} | {svc:.4f} | {epochs} | {ratios[-1]:.2f}"
            print(f"| {row} |", flush=True)
    mean, ratio = statistics.mean(accuracies), statistics.median(ratios)
    print(f"| {folder.name} | {model} | mean | {mean:.4f} | | | {ratio:.2f} (median) |", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", type=Path, metavar="SET")
    parser.add_argument("--model", default="bag", choices=["bag", "gru", "attention"])
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--repeats", type=int, default=1, metavar="N")
    asked = parser.parse_args()
    print("| set | family | seed | accuracy | LinearSVC | epochs | seconds / scikit-learn's |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for folder in asked.sets:
        measure(folder, asked.model, asked.seeds, asked.repeats)


if __name__ == "__main__":
    main()
