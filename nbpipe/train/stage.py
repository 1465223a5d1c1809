"""What the train stage leaves behind: the model folder, with all that was measured, and its receipt.

Unusual: writing begins by taking the old receipt away, so a model folder that was left half-written is never trusted.
"""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from nbpipe.audit import RECEIPT, Receipt, Stamp, as_json, write_receipt
from nbpipe.records import write_table
from nbpipe.run import Run, remove, remove_folder, sweep, write
from nbpipe.train.card import model_card
from nbpipe.train.checkpoint import NAME
from nbpipe.train.corpus import Documents
from nbpipe.train.evaluate import Evaluation
from nbpipe.train.families import VOCABULARY
from nbpipe.train.labels import encoder_digest, labels_digest
from nbpipe.train.neighbours import NAME as NEIGHBOURS
from nbpipe.train.neighbours import listed
from nbpipe.train.pretrained import ENCODER
from nbpipe.train.scores import decide, joined
from nbpipe.train.second import Second
from nbpipe.train.tracking import CURVES
from nbpipe.train.worth import Worth


def metrics(evaluation: Evaluation, second: Second, worth: Worth) -> dict[str, Any]:
    """Return what metrics.json says."""
    training, parts, baselines = evaluation.training, evaluation.parts, evaluation.baselines
    best, start = training.best, training.start
    return {
        "test": evaluation.test.facts(),
        "baselines": {"majority": baselines.majority.facts(), "linear_svc": baselines.linear_svc.facts()},
        "untrained": evaluation.untrained.facts(),
        "validation": {"accuracy": best.validation_accuracy, "loss": best.validation_loss},
        "intervals": evaluation.bootstrap.facts(),
        "difference": evaluation.difference.text,
        "calibration": evaluation.calibration.facts(),
        "coverage": evaluation.coverage.facts(),
        "label_errors": second.mislabelled.facts(),
        "growth": second.growth.facts(),
        "per_class": evaluation.test.by_label(evaluation.labels),
        "verdict": evaluation.verdict.text,
        "documents": {
            **parts.counts,
            "copies": parts.copies,
            "near_copies": parts.near,
            "set_aside": parts.set_aside,
            "merged": parts.merged,
        },
        "epochs": {"run": len(training.history), "best": best.number, "again": len(training.again)},
        "seconds": {
            "vectorize": start.seconds,
            "fit": training.seconds,
            "fit_expected": training.expected,
            "linear_svc": baselines.linear_svc.seconds,
        },
        "devices": worth.facts(),
        "advice": worth.advice.text,
    }


def save(evaluation: Evaluation, second: Second, worth: Worth, stamp: Stamp) -> Receipt:
    """Write the model folder, its receipt last, and return the receipt."""
    training, start = evaluation.training, evaluation.training.start
    folder, figures = Run(start.config.run).model, metrics(evaluation, second, worth)
    folder.mkdir(parents=True, exist_ok=True)
    _clear(folder)
    training.classifier.save(folder)
    write(folder / "metrics.json", as_json(figures))
    write(folder / "README.md", _card(evaluation, figures).encode())
    write(folder / CURVES, "".join(json.dumps(line) + "\n" for line in training.curve).encode())
    write_table(folder / "documents.parquet", listing(start.documents, evaluation).to_arrow())
    write_table(folder / NEIGHBOURS, _neighbours(evaluation))
    spent = {"predicted_seconds": training.expected, "seconds": training.seconds, "device": start.device.type}
    facts = {"labels": labels_digest(start.config), "encoder": encoder_digest(start.config), "cost": spent}
    facts |= {"documents": figures["documents"]}
    receipt = write_receipt(folder, "train", stamp, inputs=start.documents.inputs, **facts)
    remove(folder / NAME)
    return receipt


def _clear(folder: Path) -> None:
    """Take the old receipt away, then drafts, and what a model of another family would leave beside the new one."""
    remove(folder / RECEIPT)
    sweep(folder)
    remove(folder / VOCABULARY)
    remove_folder(folder / ENCODER)


def _card(evaluation: Evaluation, figures: dict[str, Any]) -> str:
    classifier = evaluation.training.classifier
    sizes = {"family": classifier.family.name, "multi": classifier.multi, **classifier.facts}
    return model_card(figures, sizes)


def _neighbours(evaluation: Evaluation) -> pa.Table:
    """Return the documents that the model was made with, and where they lie for it: rows of neighbours.parquet."""
    rows = evaluation.parts.rows("train", "validation")
    found = evaluation.parts.documents[rows]
    return listed(found["path"].to_list(), found["label"].to_list(), evaluation.directions[rows])


def listing(documents: Documents, evaluation: Evaluation) -> pl.DataFrame:
    """Return every document of the run with its label, part, and what the model says: columns of documents.parquet."""
    predicted = decide(evaluation.probabilities, evaluation.parts.multi)
    found = evaluation.parts.documents.select("path", "label", "part").with_columns(
        predicted=pl.Series([joined(row, evaluation.labels) for row in predicted], dtype=pl.String),
        probability=pl.Series(evaluation.confidence, dtype=pl.Float32),
    )
    rows = documents.table.select("path").join(found, on="path", how="left", maintain_order="left")
    return rows.with_columns(pl.col("part").fill_null("unusable"))
