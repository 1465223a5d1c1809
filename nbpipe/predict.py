"""Labels new documents with a run's model: the stage's own parser and the model's own words, in a stream.

Unusual: documents without text are answered too, with their status in place of a label, so rows equal documents. Those
that another run has parsed already are read from its shards.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
import polars as pl

from nbpipe.audit import Receipt, read_receipt, trusted
from nbpipe.copies import bring
from nbpipe.errors import RequestError, WorkError
from nbpipe.preprocess.engines import cores
from nbpipe.preprocess.files import Document, id_of, list_documents
from nbpipe.preprocess.options import Options
from nbpipe.preprocess.parsers import parser_version
from nbpipe.preprocess.parts import Gathering
from nbpipe.preprocess.sandbox import Outcome, parse_all
from nbpipe.progress import progress
from nbpipe.run import Run
from nbpipe.storage import is_folder
from nbpipe.train.model import Classifier
from nbpipe.train.shards import check_shards, stream_texts

SCHEMA = {
    "path": pl.String,
    "label": pl.String,
    "probability": pl.Float32,
    "status": pl.String,
    "abstain": pl.Boolean,
}
_CHUNK = 100
_WIDEST = ("timeout", "memory", "max_pages", "max_bytes")
_DIGITS = 4


def predict(run: Run, place: Path, device: str = "auto") -> Iterator[pl.DataFrame]:
    """Return tables of answers, as they come: path, label, probability, status, abstain; a row for each document.

    place: a folder of documents, one file, or another run folder, whose parsed text is then used. Of documents the rows
    are in the order of their ids, of a run in that of its shards. abstain: the answer is too unsure for the accuracy
    that training was asked for, and is better left to a person; also where the status is not ok. Several labels of one
    document are joined by |. Raises RequestError where there is nothing to read, WorkError where the model is missing,
    damaged, or was trained on text of another parser.
    """
    run.fetch("plan.json", "shards/*/receipt.json", "model/*")
    if not run.plan.exists():
        raise RequestError(f"run = {run.folder.name!r}: no run folder (it holds no plan.json)")
    trusted(run.model)
    shards = [read_receipt(run.folder / "shards" / name) for name in read_receipt(run.model).facts["inputs"]]
    tables = _parsed(Run(place), shards) if bring(Run(place).plan) else _texts(place, shards)
    classifier = Classifier.load(run.model, device)
    return (answer(classifier, table) for table in tables)


def answer(classifier: Classifier, texts: pl.DataFrame) -> pl.DataFrame:
    """Return the answers to documents (path, status, text); those whose status is not ok get no label."""
    ok = (texts["status"] == "ok").arg_true()
    labels, sure = classifier.answers(texts["text"].gather(ok))
    given = pl.DataFrame({"row": ok, "label": labels, "probability": sure.astype(np.float32)})
    rows = texts.select("path", "status").with_row_index("row").join(given, "row", how="left", maintain_order="left")
    unsure = pl.col("probability").is_null() | (pl.col("probability") < classifier.threshold)
    return rows.with_columns(abstain=unsure).select(list(SCHEMA))


def _parsed(run: Run, model_shards: list[Receipt]) -> Iterator[pl.DataFrame]:
    """Yield the texts of another run, if they are of the parser that the model learnt from."""
    receipts = check_shards(run)
    learnt, read = ({str(shard.facts["parser"]) for shard in shards} for shards in (model_shards, receipts))
    if learnt != read:
        raise WorkError(
            f"documents = {run.folder.name!r}: its text is of {', '.join(read)}, the model learnt from text of "
            f"{', '.join(learnt)}; preprocess one of them again"
        )
    return stream_texts(receipts)


def _texts(place: Path, model_shards: list[Receipt]) -> Iterator[pl.DataFrame]:
    """Parse documents as the model's own were, and yield their texts in the order of their ids."""
    options, documents = _options(model_shards), _documents(place)
    groups = {start: documents[start : start + _CHUNK] for start in range(0, len(documents), _CHUNK)}
    outcomes = progress(parse_all(documents, options, cores()), total=len(documents))
    return map(_table, _in_order(Gathering(groups), outcomes))


def _in_order(gathering: Gathering, outcomes: Iterable[Outcome]) -> Iterator[list[Outcome]]:
    held: dict[int, list[Outcome]] = {}
    due = 0
    for start, whole in filter(None, map(gathering.take, outcomes)):
        held[start] = whole
        while due in held:
            yield held.pop(due)
            due += _CHUNK


def _table(outcomes: list[Outcome]) -> pl.DataFrame:
    rows = [(outcome.id, outcome.parsed.status, "\n".join(outcome.parsed.pages)) for outcome in outcomes]
    return pl.DataFrame(rows, schema=dict.fromkeys(("path", "status", "text"), pl.String), orient="row")


def _options(model_shards: list[Receipt]) -> Options:
    """Return how the shards were read, with their widest limits; raise WorkError where this machine reads otherwise."""
    shards = [shard.facts for shard in model_shards]
    for shard in shards:
        if shard["parser"] != parser_version():
            then = shard["parser"]
            raise WorkError(f"the model learnt from text of {then}, this machine has {parser_version()}; install that")
    configs = [shard["config"] for shard in shards]
    widest = {name: max(config[name] for config in configs) for name in _WIDEST}
    ocr = next((config for config in configs if config["ocr"] == "auto"), configs[0])
    return Options.of(ocr | widest)


def _documents(place: Path) -> list[Document]:
    if bring(place):
        return [Document(id_of(place.name), place.stat().st_size, place)]
    if not is_folder(place):
        raise RequestError(f"documents = {place.name!r}: no such folder or file")
    documents = list_documents(place)
    if not documents:
        raise RequestError("documents: the folder holds no documents")
    return documents


def write_csv(tables: Iterator[pl.DataFrame], out: IO[str]) -> int:
    """Write answers as CSV with a header, each table as it comes, and return how many documents there were."""
    out.write(",".join(SCHEMA) + "\n")
    count = 0
    for table in tables:
        out.write(table.write_csv(include_header=False, float_precision=_DIGITS))
        out.flush()
        count += len(table)
    return count
