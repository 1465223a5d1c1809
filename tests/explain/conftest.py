"""A made corpus whose decisive words are known, and classifiers made by hand: one that knows them, one that guesses."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import torch

from nbpipe.audit import Stamp, read_receipt, write_receipt
from nbpipe.config import Explain, Preprocess, Train
from nbpipe.explain.attribute import Attributions, attributions
from nbpipe.explain.reading import Reading, read, read_answers
from nbpipe.preprocess.plan import Plan
from nbpipe.records import LEDGER, PART, write_table
from nbpipe.run import Run, write
from nbpipe.train.bag import Bag
from nbpipe.train.families import Encoder, OrderedFamily, PretrainedFamily
from nbpipe.train.model import Classifier
from nbpipe.train.networks import Attention, Gru, Windowed
from nbpipe.train.pretrained import fetch
from nbpipe.train.sequences import Answers, Learner, Recipe
from nbpipe.train.text import Vocabulary
from nbpipe.train.windows import Corpus
from nbpipe.train.words import Tokens

DECISIVE = {"astronomy": "télescope", "cooking": "oven", "sailing": "mast"}
_SCHEMA = {"pages": pl.List(pl.String), "text": pl.String}
FILLER = [
    f"{first}{second}" for first in ("ba", "ke", "li", "mo", "nu", "po") for second in ("dan", "ret", "sil", "tum")
]


@pytest.fixture(scope="session")
def corpus() -> pl.DataFrame:
    """Thirty documents of two pages in three classes; each holds its class' decisive word twice, and filler."""
    rng, rows = np.random.default_rng(1), []
    for number in range(30):
        label = list(DECISIVE)[number % 3]
        words = rng.choice(FILLER, 40).tolist()
        pages = [
            f"Of the {DECISIVE[label].title()}: {' '.join(words[:20])}.",
            f"{' '.join(words[20:])},\n{DECISIVE[label]}!",
        ]
        rows.append((f"{label}/{number:02d}.txt", label, pages, "\n".join(pages)))
    return pl.DataFrame(rows, schema=["path", "label", "pages", "text"], orient="row").sort("path")


@pytest.fixture(scope="session")
def make_classifier(corpus: pl.DataFrame) -> Callable[[float], Classifier]:
    """Make a classifier of the corpus; knowledge: how much a decisive word moves its class, 0 for a mere guess."""

    def make(knowledge: float) -> Classifier:
        torch.manual_seed(3)
        vocabulary = Vocabulary.fit(corpus["text"])
        network = Bag(len(vocabulary), len(DECISIVE), width=24).eval()
        with torch.no_grad():
            network.bias.normal_(0, 0.05)
            for row, word in enumerate(DECISIVE.values()):
                network.embedding.weight[vocabulary.index[word], row] += knowledge
                network.output.weight[row, row] += knowledge
        return Classifier(network, vocabulary, list(DECISIVE), torch.device("cpu"))

    return make


@pytest.fixture
def wise(make_classifier: Callable[[float], Classifier]) -> Classifier:
    """A classifier that knows the decisive words."""
    return make_classifier(6.0)


@pytest.fixture
def guessing(make_classifier: Callable[[float], Classifier]) -> Classifier:
    """A classifier that was never trained."""
    return make_classifier(0.0)


@pytest.fixture
def make_run(tmp_path: Path, corpus: pl.DataFrame) -> Callable[[Classifier], Explain]:
    """Make a run folder around a classifier, every document of the corpus a test document; return a config for it."""

    def make(classifier: Classifier) -> Explain:
        run = Run(tmp_path / "run")
        _write_shard(run, corpus)
        classifier.save(run.model)
        listed = corpus.select("path", "label", part=pl.lit("test"))
        write_table(
            run.model / "documents.parquet",
            listed.to_arrow().cast(pa.schema(dict.fromkeys(listed.columns, pa.string()))),
        )
        shard = run.shard(0, 1)
        write_receipt(
            run.model, "train", Stamp.now(Train(run=run.folder)), inputs={shard.name: read_receipt(shard).digest}
        )
        return Explain(run=run.folder, top=3)

    return make


def _write_shard(run: Run, corpus: pl.DataFrame) -> None:
    plan = Plan({path: len(text.encode()) for path, text in corpus.select("path", "text").iter_rows()}, 1)
    write(run.plan, plan.encode())
    folder = run.shard(0, 1)
    rows = [
        {"path": path, "sha256": f"{number:064}", "bytes": plan.sizes[path], "status": "ok", "pages": pages}
        for number, (path, pages) in enumerate(corpus.select("path", "pages").iter_rows())
    ]
    write_table(folder / "part-00000.parquet", pa.Table.from_pylist(rows, PART))
    ledger = [(row["path"], "ok", "", "text", 0.1, 1, 2, [], [], []) for row in rows]
    write_table(
        folder / "ledger.parquet",
        pa.Table.from_pylist([dict(zip(LEDGER.names, row, strict=True)) for row in ledger], LEDGER),
    )
    counts = {"rows": len(rows), "ok": len(rows), "failed": 0, "statuses": {"ok": len(rows)}}
    identity = {"plan": plan.fingerprint, "parser": "made by hand", "shard": 0, "num_shards": 1}
    stamp = Stamp.now(Preprocess(documents=run.folder, run=run.folder.parent / "elsewhere"))
    write_receipt(folder, "preprocess", stamp, **counts, **identity)


@pytest.fixture
def explain(corpus: pl.DataFrame) -> Callable[..., Attributions]:
    """Explain documents, given by their pages, without them the corpus: for these targets, else what is predicted."""

    def run(
        classifier: Classifier,
        pages: Sequence[Sequence[str]] | None = None,
        targets: Sequence[int] | None = None,
        method: str = "integrated_gradients",
    ) -> Attributions:
        reading = read_pages(classifier, corpus["pages"].to_list() if pages is None else pages)
        if targets is None:
            targets = read_answers(classifier, reading.inputs).argmax(axis=1)
        return attributions(classifier, reading, np.array(targets, np.int64), method)

    return run


def read_pages(classifier: Classifier, pages: Sequence[Sequence[str]]) -> Reading:
    """Read documents that are given by their pages."""
    texts = ["\n".join(document) for document in pages]
    return read(classifier, pl.DataFrame({"pages": pages, "text": texts}, _SCHEMA))


@pytest.fixture(scope="session")
def make_ordered(corpus: pl.DataFrame) -> Callable[[str], Classifier]:
    """Make a classifier of a family that reads windows, short ones, trained on the corpus."""

    @cache
    def make(name: str) -> Classifier:
        torch.manual_seed(0)
        family = {"gru": OrderedFamily("gru", Gru), "attention": OrderedFamily("attention", Attention)}[name]
        vocabulary = Vocabulary.fit(corpus["text"])
        network = family.network(vocabulary, len(DECISIVE))
        network.longest = 16
        _teach(network, family.read(vocabulary, corpus["text"]), corpus["label"].to_list())
        return Classifier(network.eval(), vocabulary, list(DECISIVE), torch.device("cpu"), family)

    return make


def _teach(network: Windowed, tokens: Tokens, labels: list[str]) -> None:
    answers = Answers(torch.tensor([list(DECISIVE).index(label) for label in labels]), torch.ones(len(labels)))
    learner = Learner(network, Corpus(tokens, torch.device("cpu")), answers, Recipe(warmup=1, average=0.0))
    for epoch in range(12):
        for _ in learner.train(learner.plan(np.arange(len(labels)), np.random.default_rng(epoch))):
            pass


@pytest.fixture
def encoded(tiny_encoder: Path) -> Classifier:
    """A classifier around a tiny encoder with random weights; it knows the words mast and oven."""
    torch.manual_seed(0)
    family = PretrainedFamily(str(tiny_encoder))
    vocabulary = Encoder("tiny", *fetch(str(tiny_encoder)))
    network = family.network(vocabulary, len(DECISIVE)).eval()
    return Classifier(network, vocabulary, list(DECISIVE), torch.device("cpu"), family)


@pytest.fixture(params=["bag", "gru", "attention", "pretrained"])
def any_family(
    request: pytest.FixtureRequest, wise: Classifier, make_ordered: Callable[[str], Classifier]
) -> Classifier:
    """A classifier of each family, of the pretrained one untrained."""
    if request.param == "pretrained":
        return request.getfixturevalue("encoded")
    return wise if request.param == "bag" else make_ordered(request.param)
