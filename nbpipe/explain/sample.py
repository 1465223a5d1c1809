"""The test documents that are explained: drawn by the seed, and only from shards and a model that belong together.

Unusual: documents come with their pages, since reasons are shown where they stand; only the few that are drawn are
read.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from nbpipe.audit import Receipt, trusted
from nbpipe.config import Explain
from nbpipe.errors import WorkError
from nbpipe.records import read_table
from nbpipe.run import Run
from nbpipe.shown import Sentence, Shown, Table
from nbpipe.train.model import Classifier
from nbpipe.train.shards import check_shards, read_pages

_LISTED = pa.schema({"path": pa.string(), "label": pa.string(), "part": pa.string()})


@dataclass(frozen=True, eq=False, repr=False)
class Sample(Shown):
    """The test documents to explain: path, label, pages and text, sorted by path; and the classifier they are for.

    total: how many test documents there are; receipt: the model's; shards: those it was trained on.
    """

    config: Explain
    classifier: Classifier
    documents: pl.DataFrame
    total: int
    receipt: Receipt
    shards: Sequence[Receipt]

    def shown(self) -> list[Table | Sentence]:
        """How many documents there are to explain."""
        rows = [
            ("test documents, never seen in training", self.total),
            ("to be explained, drawn at random", len(self.documents)),
            ("pages", int(self.documents["pages"].list.len().sum())),
            ("labels", len(self.classifier.labels)),
            ("the model", repr(self.classifier)),
        ]
        return [Table(["this sample", ""], rows)]


def load_test(config: Explain) -> Sample:
    """Load a run's classifier, and draw test documents: every one with the same chance, by the seed.

    Raises WorkError where the model is missing or damaged, or the shards are not those it was trained on.
    """
    run = Run(config.run)
    run.fetch()
    receipt = trusted(run.model)
    classifier = Classifier.load(run.model, config.device)
    shards = check_shards(run)
    _check_inputs(receipt, {shard.folder.name: shard.digest for shard in shards})
    listed = pl.from_arrow(read_table(run.model / "documents.parquet", _LISTED))
    test = listed.filter(pl.col("part") == "test").sort("path").select("path", "label")
    if test.is_empty():
        raise WorkError("model/documents.parquet: names no test documents; train again, on more documents")
    drawn = np.random.default_rng(config.seed).permutation(len(test))[: config.sample]
    documents = test[np.sort(drawn)]
    documents = documents.join(read_pages(shards, documents["path"]), on="path", how="inner", maintain_order="left")
    if len(documents) < len(drawn):
        raise WorkError(f"{len(drawn) - len(documents):,} test documents of the model are in no shard; train again")
    return Sample(config, classifier, documents, len(test), receipt, shards)


def _check_inputs(model: Receipt, present: dict[str, str]) -> None:
    """Raise WorkError that names every shard that is not the one the model was trained on."""
    trained = model.facts.get("inputs", {})
    changed = sorted(name for name in trained.keys() | present.keys() if trained.get(name) != present.get(name))
    if changed:
        lines = [f"preprocess {name}: is not the shard that the model was trained on" for name in changed]
        raise WorkError("\n".join([*lines, "train again"]))
