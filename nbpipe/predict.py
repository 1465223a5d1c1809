"""Labels new documents with a run's model: the stage's own parser and the model's own words, in a stream.

Unusual: documents without text are answered too, with their status in place of a label, so rows equal documents.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import polars as pl
import torch

from nbpipe.audit import read_receipt, trusted
from nbpipe.errors import RequestError, WorkError
from nbpipe.preprocess.files import Document, list_documents
from nbpipe.preprocess.options import Options
from nbpipe.preprocess.parsers import parser_version
from nbpipe.preprocess.parts import Gathering
from nbpipe.preprocess.sandbox import Outcome, parse_all
from nbpipe.preprocess.stage import cores
from nbpipe.progress import progress
from nbpipe.run import Run
from nbpipe.train.model import Classifier

COLUMNS = ("path", "label", "probability", "status")
_CHUNK = 100
_WIDEST = ("timeout", "memory", "max_pages", "max_bytes")


@dataclass(frozen=True)
class Prediction:
    """One row of the answer; label and probability are empty where the status is not ok."""

    path: str
    label: str
    probability: str
    status: str


def predict(run: Run, place: Path) -> Iterator[Prediction]:
    """Return a prediction for each document of a folder, or for one file, in the order of their ids, as it comes.

    Raises RequestError where there is nothing to read, WorkError where the model is missing, damaged, or was trained
    on text of another parser.
    """
    if not run.plan.exists():
        raise RequestError(f"run = {run.folder.name!r}: no run folder (it holds no plan.json)")
    trusted(run.model)
    options = _options(run)
    return _stream(Classifier.load(run.model), _documents(place), options)


def _stream(classifier: Classifier, documents: list[Document], options: Options) -> Iterator[Prediction]:
    groups = {start: documents[start : start + _CHUNK] for start in range(0, len(documents), _CHUNK)}
    outcomes = progress(parse_all(documents, options, cores()), total=len(documents))
    held: dict[int, list[Outcome]] = {}
    due = 0
    gathering = Gathering(groups)
    for start, whole in filter(None, map(gathering.take, outcomes)):
        held[start] = whole
        while due in held:
            yield from _label(classifier, held.pop(due))
            due += _CHUNK


def _options(run: Run) -> Options:
    """Return how the shards were read, with their widest limits; raise WorkError where this machine reads otherwise."""
    shards = [read_receipt(run.folder / "shards" / name).facts for name in read_receipt(run.model).facts["inputs"]]
    for shard in shards:
        if shard["parser"] != parser_version():
            then = shard["parser"]
            raise WorkError(f"the model learnt from text of {then}, this machine has {parser_version()}; install that")
    configs = [shard["config"] for shard in shards]
    widest = {name: max(config[name] for config in configs) for name in _WIDEST}
    ocr = next((config for config in configs if config["ocr"] == "auto"), configs[0])
    return Options.of(ocr | widest)


def _documents(place: Path) -> list[Document]:
    if place.is_file():
        return [Document(place.name, place.stat().st_size, place)]
    if not place.is_dir():
        raise RequestError(f"documents = {place.name!r}: no such folder or file")
    documents = list_documents(place)
    if not documents:
        raise RequestError("documents: the folder holds no documents")
    return documents


def _label(classifier: Classifier, outcomes: list[Outcome]) -> Iterator[Prediction]:
    texts = pl.Series("text", ["\n".join(outcome.parsed.pages) for outcome in outcomes], dtype=pl.String)
    probabilities = torch.softmax(classifier.logits(texts), dim=1)
    for outcome, row in zip(outcomes, probabilities, strict=True):
        if outcome.parsed.status == "ok":
            best = int(row.argmax())
            yield Prediction(outcome.id, classifier.labels[best], f"{row[best]:.4f}", "ok")
        else:
            yield Prediction(outcome.id, "", "", outcome.parsed.status)


def write_csv(rows: Iterator[Prediction], out: TextIO) -> int:
    """Write predictions as CSV with a header, each row as it comes, and return how many."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    count = 0
    for row in rows:
        writer.writerow([row.path, row.label, row.probability, row.status])
        count += 1
    return count
