"""The explain stage as the notebook runs it: load, estimate, attribute, look, check, judge, write.

Unusual: it computes on the CPU, wherever the model was trained. That is fast enough, since nothing is trained here, and
the same model and seed give the same explanations on a machine with or without a GPU.
"""

import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from nbpipe.audit import RECEIPT, Receipt, Stamp, as_json, trusted, write_receipt
from nbpipe.config import EXPLAINED, Explain
from nbpipe.errors import RequestError, WorkError, nearest
from nbpipe.explain.attribute import Attributions, Occurrences, integrated_gradients, locate
from nbpipe.explain.faithfulness import Control, Deletion, check_deletion, check_shuffled
from nbpipe.explain.highlight import Highlight, excerpts, words_of
from nbpipe.explain.leaks import TopWords, top_words
from nbpipe.explain.verdict import Judgement, judge
from nbpipe.records import ATTRIBUTION, EXPLANATIONS, read_table, write_table
from nbpipe.run import Run, sweep, write
from nbpipe.shown import Sentence, Shown, Table
from nbpipe.train.bag import score
from nbpipe.train.calibrate import probabilities
from nbpipe.train.model import Classifier
from nbpipe.train.shards import check_shards, read_pages

_LISTED = pa.schema({"path": pa.string(), "label": pa.string(), "part": pa.string()})
_TRIAL = 8


@dataclass(frozen=True, eq=False, repr=False)
class Sample(Shown):
    """The test documents to explain: path, label, pages and text, sorted by path; and the classifier they are for.

    total: how many test documents there are; receipt: the model's.
    """

    config: Explain
    classifier: Classifier
    documents: pl.DataFrame
    total: int
    receipt: Receipt

    def shown(self) -> list[Table | Sentence]:
        """How many documents there are to explain."""
        rows = [
            ("test documents, never seen in training", self.total),
            ("to be explained, drawn at random", len(self.documents)),
            ("pages", int(self.documents["pages"].list.len().sum())),
            ("labels", len(self.classifier.labels)),
            ("words the model knows", len(self.classifier.vocabulary) - 1),
        ]
        return [Table(["this sample", ""], rows)]


def load_test(config: Explain) -> Sample:
    """Load a run's classifier, and draw test documents: every one with the same chance, by the seed.

    Raises WorkError where the model is missing or damaged, or the shards are not those it was trained on.
    """
    run = Run(config.run)
    receipt = trusted(run.model)
    classifier = Classifier.load(run.model, "cpu")
    if classifier.family.name not in EXPLAINED:
        raise RequestError(
            f"model = {classifier.family.name!r}: method {config.method!r} explains {', '.join(EXPLAINED)}; train that"
        )
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
    return Sample(config, classifier, documents, len(test), receipt)


def _check_inputs(model: Receipt, present: dict[str, str]) -> None:
    """Raise WorkError that names every shard that is not the one the model was trained on."""
    trained = model.facts.get("inputs", {})
    changed = sorted(name for name in trained.keys() | present.keys() if trained.get(name) != present.get(name))
    if changed:
        lines = [f"preprocess {name}: is not the shard that the model was trained on" for name in changed]
        raise WorkError("\n".join([*lines, "train again"]))


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
        _explain(sample.classifier, few)
        trials.append(time.perf_counter() - began)
    return Estimate(min(trials) / len(few) * len(sample.documents), len(few))


def attribute(sample: Sample) -> "Explained":
    """Explain every document of the sample: the predicted class, by the configured method."""
    began = time.perf_counter()
    probabilities, found, places = _explain(sample.classifier, sample.documents)
    return Explained(sample, probabilities, found, places, time.perf_counter() - began)


def _explain(classifier: Classifier, documents: pl.DataFrame) -> tuple[np.ndarray, Attributions, Occurrences]:
    bags = classifier.vocabulary.bags(documents["text"])
    shares = probabilities(score(classifier.network, bags, classifier.device).numpy(), classifier.multi)
    found = integrated_gradients(classifier.network, bags, shares.argmax(axis=1), classifier.multi)
    return shares, found, locate(found, documents["pages"].to_list(), classifier.vocabulary)


@dataclass(frozen=True, eq=False, repr=False)
class Explained(Shown):
    """The explained sample; what is asked of it is computed when first asked.

    probabilities: float32 [N, C]; found: attributions of words; places: where these words stand.
    """

    sample: Sample
    probabilities: np.ndarray
    found: Attributions
    places: Occurrences
    seconds: float

    @property
    def predicted(self) -> list[str]:
        """The predicted class of each document, the one that is explained."""
        return [self.sample.classifier.labels[target] for target in self.found.targets]

    @cached_property
    def truth(self) -> np.ndarray:
        """Which labels each document holds: bool [N, C]."""
        return self.sample.classifier.truth(self.sample.documents["label"].to_list())

    @property
    def right(self) -> np.ndarray:
        """Whether each document holds the class that is explained: bool [N]."""
        return self.truth[np.arange(len(self.truth)), self.found.targets]

    @cached_property
    def deletion(self) -> Deletion:
        """The deletion check: the strongest words removed, against random ones."""
        config = self.sample.config
        return check_deletion(self.sample.classifier.network, self.found, config.top, config.seed)

    @cached_property
    def control(self) -> Control:
        """The control: the same explanations of models with shuffled weights."""
        return check_shuffled(self.sample.classifier.network, self.found, self.deletion, self.sample.config.seed)

    @cached_property
    def top_words(self) -> TopWords:
        """The strongest words of each predicted class, where leaks show."""
        labels = self.sample.documents["label"].to_list()
        return top_words(self.sample.classifier, self.found, labels, self.sample.config.top)

    @cached_property
    def judgement(self) -> Judgement:
        """The rules of belief, with their figures and the verdict."""
        return judge(self.right, float(self.truth.mean(axis=0).max()), self.found, self.control)

    @property
    def sure(self) -> Highlight | Sentence:
        """The document that was rightly classified with the highest probability."""
        return self._example(self.right, self._best, "No explained document was classified right.")

    @property
    def mistake(self) -> Highlight | Sentence:
        """The document that was wrongly classified with the highest probability."""
        return self._example(~self.right, self._best, "No explained document was classified wrongly.")

    @property
    def unsure(self) -> Highlight | Sentence:
        """The document whose two likeliest classes were nearest to each other."""
        ranked = np.sort(np.pad(self.probabilities, ((0, 0), (1, 0))), axis=1)
        return self._example(np.ones(len(ranked), bool), ranked[:, -2] - ranked[:, -1], "No document was explained.")

    def document(self, path: str) -> Highlight:
        """Return any explained document, coloured; raise RequestError where it is none."""
        paths = self.sample.documents["path"].to_list()
        if path not in paths:
            raise RequestError(f"path = {path!r}: not among the explained documents{nearest(path, paths)}")
        return self._highlight(paths.index(path))

    @property
    def _best(self) -> np.ndarray:
        return self.probabilities.max(axis=1)

    def _example(self, among: np.ndarray, keys: np.ndarray, none: str) -> Highlight | Sentence:
        return self._highlight(int(np.where(among, keys, -np.inf).argmax())) if among.any() else Sentence(none)

    def _highlight(self, number: int) -> Highlight:
        path, label, pages, _ = self.sample.documents.row(number)
        predicted, top = self.predicted[number], self.sample.config.top
        outcome = "right" if self.right[number] else f"wrong, its label is {label}"
        claim = f"Predicted {predicted} with probability {self._best[number]:.2f}: {outcome}."
        places = self.places.of(number)
        words = words_of(places, self.sample.classifier.vocabulary.words)
        strongest = list(words.values())[:top]
        return Highlight(path, claim, predicted, strongest, len(words), excerpts(pages, places, words, top))

    @property
    def metrics(self) -> dict[str, Any]:
        """What was measured, as JSON types."""
        checks, control, rules = self.deletion, self.control, self.judgement.rules
        return {
            "documents": len(self.right),
            "test_documents": self.sample.total,
            "right": int(self.right.sum()),
            "right_without_class_names": self.top_words.right_without,
            "classes_with_own_name": self.top_words.leaking,
            "gap": {"largest": float(self.found.gaps.max()), "median": float(np.median(self.found.gaps))},
            "steps": int(self.found.steps.max()),
            "deletion": {"gain": checks.gain._asdict(), **checks.measures},
            "control": {"gain": control.gain._asdict(), **control.measures},
            "rules": [{"rule": rule.name, "measured": rule.measured, "holds": rule.holds} for rule in rules],
            "verdict": self.judgement.verdict.text,
            "seconds": self.seconds,
        }

    @property
    def table(self) -> pa.Table:
        """Every place of every known word with its attribution: the rows of explanations.parquet."""
        documents, places = self.sample.documents, self.places
        words = pa.array(self.sample.classifier.vocabulary.words).take(pa.array(places.row))
        columns = [pa.array(places.page), pa.array(places.start), pa.array(places.end), words, places.attribution]
        structs = pa.StructArray.from_arrays(columns, fields=list(ATTRIBUTION))
        rows = {
            "path": documents["path"].to_list(),
            "label": documents["label"].to_list(),
            "predicted": self.predicted,
            "probability": self._best,
            "method": [self.sample.config.method] * len(documents),
            "gap": self.found.gaps,
            "words": pa.ListArray.from_arrays(places.offsets.astype(np.int32), structs),
        }
        return pa.table(rows, schema=EXPLANATIONS)

    def shown(self) -> list[Table | Sentence]:
        """How many documents were explained, how exactly and how fast."""
        gaps, many = self.found.gaps, len(self.right)
        rows = [
            ("documents explained", many),
            ("classified right", int(self.right.sum())),
            ("places of known words", len(self.places.row)),
            ("documents without any known word", int((np.diff(self.found.bags.offsets) == 0).sum())),
            ("completeness gap, largest", f"{gaps.max():.3%}"),
            ("completeness gap, median", f"{np.median(gaps):.3%}"),
            ("steps, at most", int(self.found.steps.max())),
        ]
        return [Table(["explained", ""], rows, f"Measured: {self.seconds:,.1f} s, {many / self.seconds:,.0f} a second")]


def finish(explained: Explained, stamp: Stamp, expected: Estimate | None = None) -> Receipt:
    """Write the explanations, what was measured, and last of all the receipt, and return it."""
    folder = Run(explained.sample.config.run).explain
    folder.mkdir(exist_ok=True)
    (folder / RECEIPT).unlink(missing_ok=True)
    sweep(folder)
    write_table(folder / "explanations.parquet", explained.table)
    write(folder / "metrics.json", as_json(explained.metrics))
    model = {"model": explained.sample.receipt.digest}
    spent = {"seconds": explained.seconds, "device": "cpu"}
    spent |= {"predicted_seconds": expected.seconds} if expected else {}
    return write_receipt(folder, "explain", stamp, rows=len(explained.right), inputs=model, cost=spent)
