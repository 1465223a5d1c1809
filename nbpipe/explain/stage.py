"""The explain stage as the notebook runs it: load, estimate, attribute, look, check, judge, write.

Unusual: it computes on the CPU, wherever the model was trained, unless another device is asked for. The same model and
seed then give the same explanations on a machine with or without a GPU.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from nbpipe.audit import RECEIPT, Receipt, Stamp, as_json, trusted, write_receipt
from nbpipe.config import Explain, relative
from nbpipe.errors import RequestError, WorkError
from nbpipe.explain.attribute import METHODS, Attributions, attributions
from nbpipe.explain.explained import Explained
from nbpipe.explain.reading import Reading, read, read_answers
from nbpipe.explain.sample import Sample, load_test
from nbpipe.preprocess.engines import cores
from nbpipe.records import ATTRIBUTION, EXPLANATIONS, read_table, write_table
from nbpipe.run import Run, remove, remove_folder, sweep, write
from nbpipe.shown import Sentence, Shown, Table
from nbpipe.storage import is_folder
from nbpipe.train.words import starts

NAME, PAGES = "explanations.parquet", "pages"
_TRIAL = 8


@dataclass(frozen=True, repr=False)
class Estimate(Shown):
    """How long explaining the sample may take, from a few of its documents."""

    seconds: float
    tried: int

    def shown(self) -> list[Table | Sentence]:
        """The expected seconds."""
        return [Sentence(f"Expected: about {self.seconds:,.1f} s, from {self.tried} documents explained as a trial.")]


def estimate(sample: Sample) -> Estimate:
    """Explain a few documents, and scale their seconds to the whole sample."""
    few = sample.documents.head(_TRIAL)
    trials = []
    for _ in range(3):  # the first pays for what is loaded on first use, any may be disturbed
        began = time.perf_counter()
        _explain(sample, few)
        trials.append(time.perf_counter() - began)
    return Estimate(min(trials) / len(few) * len(sample.documents), len(few))


def attribute(sample: Sample) -> Explained:
    """Explain every document of the sample: the predicted class, by the configured method."""
    began = time.perf_counter()
    shares, found = _explain(sample, sample.documents)
    return Explained(sample, shares, found, time.perf_counter() - began)


def _explain(sample: Sample, documents: pl.DataFrame) -> tuple[np.ndarray, Attributions]:
    classifier = sample.classifier
    reading = read(classifier, documents)
    shares = read_answers(classifier, reading.inputs)
    return shares, attributions(classifier, reading, shares.argmax(axis=1), sample.config.method)


def load_explained(run: Path) -> Explained:
    """Return the explained sample of a finished run, to look at; what was computed then is read, not computed again.

    Raises WorkError where the explanations are missing or damaged, or the model is another one since.
    """
    if not is_folder(run):
        raise RequestError(f"run = {relative(run)!r}: no such folder")
    Run(run).fetch()
    receipt = trusted(Run(run).explain)
    given = {name: value for name, value in receipt.facts["config"].items() if name in Explain.model_fields}
    sample = load_test(Explain(**given | {"run": run, "device": "cpu"}))
    if receipt.facts["inputs"] != {"model": sample.receipt.digest}:
        raise WorkError("explain: was made from another model than is there now; run explain again")
    classifier, table = sample.classifier, read_table(Run(run).explain / NAME, EXPLANATIONS)
    read_anew = read(classifier, sample.documents)
    shares = read_answers(classifier, read_anew.inputs)
    found = _kept(pl.from_arrow(table), read_anew, shares.argmax(axis=1), sample)
    seconds = json.loads((Run(run).explain / "metrics.json").read_bytes())["seconds"]
    return Explained(sample, shares, found, max(seconds, 1e-3))


def _kept(rows: pl.DataFrame, reading: Reading, targets: np.ndarray, sample: Sample) -> Attributions:
    """Return what explanations.parquet holds of the predicted classes."""
    rows = rows.filter(pl.col("target") == pl.col("predicted"))
    words = rows["words"].explode().struct.field("attribution").drop_nulls()
    if rows["path"].to_list() != sample.documents["path"].to_list() or len(words) != len(reading.places.entry):
        raise WorkError("explain: does not fit the documents of the shards; run explain again")
    places = words.to_numpy().astype(np.float32)
    values = np.bincount(reading.places.entry, places, minlength=len(reading.words)).astype(np.float32)
    unknown, gaps = np.full(len(rows), np.nan, np.float32), rows["gap"].to_numpy()
    return Attributions(sample.config.method, reading, targets, values, places, unknown, gaps, rows["steps"].to_numpy())


def explanations(explained: Explained) -> pa.Table:
    """Return the rows of explanations.parquet: of each document its predicted class, of those to review the other too.

    A row holds every place of every word that the model reads, with its attribution.
    """
    reviewed = np.flatnonzero(~explained.right | explained.unsure)
    everything = np.arange(len(explained.right))
    return pa.concat_tables(
        [_rows(explained, explained.found, everything), _rows(explained, explained.reviewed, reviewed)]
    )


def _rows(explained: Explained, found: Attributions, documents: np.ndarray) -> pa.Table:
    listing, places, reading = explained.listing[documents], found.reading.places, found.reading
    words = reading.names.gather(reading.words[places.entry]).to_arrow().cast(pa.string())
    numbers = (pa.array(column.astype(np.int32)) for column in places[:3])
    structs = pa.StructArray.from_arrays([*numbers, words, pa.array(found.places)], fields=list(ATTRIBUTION))
    offsets = starts(np.bincount(reading.owners[places.entry], minlength=len(documents))).astype(np.int32)
    rows = {
        "path": listing["path"].to_list(),
        "label": listing["label"].to_list(),
        "predicted": listing["predicted"].to_list(),
        "target": [explained.labels[target] for target in found.targets],
        "probability": explained.probabilities[documents, found.targets],
        "method": [found.method] * len(documents),
        "gap": found.gaps,
        "steps": found.steps,
        "words": pa.ListArray.from_arrays(offsets, structs),
    }
    return pa.table(rows, schema=EXPLANATIONS)


def metrics(explained: Explained) -> dict[str, Any]:
    """What was measured, as JSON types."""
    checks, control, found = explained.deletion, explained.control, explained.found
    gap = {"largest": float(found.gaps.max()), "median": float(np.median(found.gaps))}
    return {
        "documents": len(explained.right),
        "test_documents": explained.sample.total,
        "right": int(explained.right.sum()),
        "unsure": int(explained.unsure.sum()),
        "suspects": explained.suspects.facts(),
        "classes_with_own_name": explained.top_words.leaking,
        "gap": gap if found.method == METHODS[0] else None,
        "steps": int(found.steps.max()),
        "deletion": {"gain": checks.gain._asdict(), **checks.measures},
        "control": {"gain": control.gain._asdict(), **control.measures},
        "agreement": explained.agreement.measures,
        "rules": [
            {"rule": rule.name, "measured": rule.measured, "holds": rule.holds} for rule in explained.judgement.rules
        ],
        "verdict": explained.judgement.verdict.text,
        "seconds": explained.seconds,
    }


def finish(explained: Explained, stamp: Stamp, expected: Estimate | None = None) -> Receipt:
    """Write explanations, pages and what was measured, last of all the receipt, and return it."""
    folder = Run(explained.config.run).explain
    folder.mkdir(parents=True, exist_ok=True)
    remove(folder / RECEIPT)
    sweep(folder)
    remove_folder(folder / PAGES)
    write_table(folder / NAME, explanations(explained))
    write(folder / "metrics.json", as_json(metrics(explained)))
    explained.pages.save(folder / PAGES, cores())
    model = {"model": explained.sample.receipt.digest}
    spent = {"seconds": stamp.lasted, "device": explained.sample.classifier.device.type}
    spent |= {"predicted_seconds": expected.seconds} if expected else {}
    return write_receipt(folder, "explain", stamp, rows=len(explained.right), inputs=model, cost=spent)
