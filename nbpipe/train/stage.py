"""The train stage as the notebook runs it: what is read first, and what is written last.

Unusual: writing begins by taking the old receipt away, so a model folder that was left half-written is never trusted.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from nbpipe.audit import RECEIPT, Receipt, Stamp, as_json, write_receipt
from nbpipe.config import Train
from nbpipe.errors import WorkError
from nbpipe.records import write_table
from nbpipe.run import Run, sweep, write
from nbpipe.shown import Shown, Table
from nbpipe.train.card import model_card
from nbpipe.train.evaluate import Evaluation
from nbpipe.train.labels import csv_labels, folder_labels, labels_digest
from nbpipe.train.shards import check_shards, load_texts

_SHOWN = 60


@dataclass(frozen=True, eq=False, repr=False)
class Documents(Shown):
    """Every document of the run. table: columns path, status, text, label (null = unlabelled), sorted by path.

    inputs: the digest of each shard's receipt, by the shard's name.
    """

    table: pl.DataFrame
    inputs: dict[str, str]

    @cached_property
    def usable(self) -> pl.DataFrame:
        """The documents that became text: path, text, label."""
        return self.table.filter(pl.col("status") == "ok").select("path", "text", "label")

    @property
    def counts(self) -> dict[str, int]:
        """How many documents there are, are usable, and of these are labelled and unlabelled."""
        unlabelled = self.usable["label"].null_count()
        usable = len(self.usable)
        return {
            "documents": len(self.table),
            "usable": usable,
            "labelled": usable - unlabelled,
            "unlabelled": unlabelled,
        }

    def shown(self) -> list[Table]:
        """The counts, and the usable documents of each label."""
        found = self.usable["label"].drop_nulls().value_counts().sort("label")
        rows = [*self.counts.items(), *((f"label {label}", count) for label, count in found.head(_SHOWN).iter_rows())]
        hidden = [(f"... {len(found) - _SHOWN:,} more labels", "")] if len(found) > _SHOWN else []
        return [Table(["documents", "number"], [*rows, *hidden])]


def read_documents(config: Train) -> Documents:
    """Read every document of the run through its shards' receipts, and label it by its folder or by the CSV file.

    Raises WorkError where the shards break the contracts or hold no text, RequestError where the labels are wrong.
    """
    receipts = check_shards(Run(config.run))
    table = load_texts(receipts)
    labels = csv_labels(config.labels, table["path"]) if config.labels else folder_labels(table["path"])
    documents = Documents(
        table.with_columns(label=labels), {receipt.folder.name: receipt.digest for receipt in receipts}
    )
    if documents.usable.is_empty():
        raise WorkError(f"none of {len(table):,} documents became text, so there is nothing to learn from")
    return documents


def metrics(evaluation: Evaluation) -> dict[str, Any]:
    """Return what metrics.json says."""
    training, parts, baselines = evaluation.training, evaluation.parts, evaluation.baselines
    best = training.best
    return {
        "test": evaluation.test.facts(),
        "baselines": {"majority": baselines.majority.facts(), "linear_svc": baselines.linear_svc.facts()},
        "untrained": evaluation.untrained.facts(),
        "validation": {"accuracy": best.validation_accuracy, "loss": best.validation_loss},
        "per_class": evaluation.by_label,
        "verdict": evaluation.verdict.text,
        "documents": {**parts.counts, "copies": parts.copies, "set_aside": parts.set_aside},
        "epochs": {"run": len(training.history), "best": best.number},
        "seconds": {
            "vectorize": training.start.seconds,
            "fit": training.seconds,
            "fit_expected": training.expected,
            "linear_svc": baselines.linear_svc.seconds,
        },
    }


def save(documents: Documents, evaluation: Evaluation, stamp: Stamp) -> Receipt:
    """Write the model folder, its receipt last, and return the receipt."""
    training = evaluation.training
    folder = Run(training.start.config.run).model
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECEIPT).unlink(missing_ok=True)
    sweep(folder)
    figures, classifier = metrics(evaluation), training.classifier
    classifier.save(folder)
    write(folder / "metrics.json", as_json(figures))
    sizes = {"words": len(classifier.vocabulary) - 1, "labels": len(classifier.labels)}
    write(folder / "README.md", model_card(figures, sizes).encode())
    write_table(folder / "documents.parquet", _listing(documents, evaluation).to_arrow())
    spent = {"predicted_seconds": training.expected, "seconds": training.seconds, "device": training.start.device.type}
    facts = {"labels": labels_digest(training.start.config), "documents": figures["documents"], "cost": spent}
    return write_receipt(folder, "train", stamp, inputs=documents.inputs, **facts)


def _listing(documents: Documents, evaluation: Evaluation) -> pl.DataFrame:
    """Return every document of the run with its label, part, and what the model says: columns of documents.parquet."""
    best = evaluation.probabilities.argmax(axis=1)
    labels = np.array(evaluation.labels, dtype=object)
    found = evaluation.parts.documents.select("path", "label", "part").with_columns(
        predicted=pl.Series(labels[best].tolist(), dtype=pl.String),
        probability=pl.Series(evaluation.probabilities.max(axis=1), dtype=pl.Float32),
    )
    rows = documents.table.select("path").join(found, on="path", how="left", maintain_order="left")
    return rows.with_columns(pl.col("part").fill_null("unusable"))
