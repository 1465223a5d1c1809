"""Integrated gradients as nbpipe has them, beside Captum a document at a time, LIME and SHAP: how fast, how true.

    python tests/bench/explain.py SOURCE ... [--documents 100] [--slow 10] [--repeats 3] [--top 10] [--seed 0]

A SOURCE is a run whose model is a bag (nbpipe run DOCUMENTS --run RUN), or a folder with train.tsv and test.tsv,
`label<TAB>text` a line, on which a bag is trained first. Explained is the predicted class of the same test documents,
drawn by the seed, for the same model. LIME and SHAP get the texts and the classifier's probabilities, and are as they
come, but that LIME is asked for all words: of its ten some speak against the class. Needs: pip install lime shap

Speed: from texts to a number for each word, for nbpipe also for each place where it stands; medians over repeats, in
turns; LIME and SHAP on the first few documents.
Truth: by how much the predicted class' probability falls without the ten strongest words (comprehensiveness, more is
better), and with these alone (sufficiency, less is better), means with 95% bootstrap intervals, and nbpipe less the
other document by document. Which words are taken away is the same rule for all: the highest numbers, half of a
document's words at most; a word that a method cuts otherwise counts for every word of the model in it. Prints Markdown.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import torch
from captum.attr import IntegratedGradients
from train import read, split, train

from nbpipe.audit import trusted
from nbpipe.config import resolve
from nbpipe.errors import NbpipeError, RequestError
from nbpipe.explain.attribute import Attributions, integrated_gradients
from nbpipe.explain.faithfulness import Deletion, check_deletion, interval
from nbpipe.explain.reading import read as read_words
from nbpipe.run import Run
from nbpipe.train.bag import Bag
from nbpipe.train.model import Classifier
from nbpipe.train.shards import check_shards, stream_texts
from nbpipe.train.text import Bags, spans

try:
    from lime.lime_text import LimeTextExplainer
    from shap import Explainer
    from shap.maskers import Text
except ImportError as error:
    sys.exit(f"{error.name} is not installed; pip install lime shap")

OURS = "nbpipe"


@dataclass(frozen=True)
class Work:
    """What is explained: texts [N] by a classifier, each for one class (targets: int64 [N])."""

    classifier: Classifier
    texts: pl.Series
    targets: np.ndarray

    @cached_property
    def bags(self) -> Bags:
        """The texts' words; what a method finds is float [E], a number for each of them."""
        return self.classifier.read(self.texts)

    def head(self, many: int) -> "Work":
        """Return the first documents."""
        return Work(self.classifier, self.texts.head(many), self.targets[:many])


Method = Callable[[Work], np.ndarray]


def attributed(work: Work) -> Attributions:
    """Return what nbpipe finds, words and places."""
    documents = pl.DataFrame({"pages": work.texts.reshape((-1, 1)).arr.to_list(), "text": work.texts})
    return integrated_gradients(work.classifier, read_words(work.classifier, documents), work.targets)


def checked(work: Work, values: np.ndarray, top: int, seed: int) -> Deletion:
    """Return what happens without the words of the highest values, as nbpipe measures it."""
    return check_deletion(work.classifier, replace(attributed(work), values=values), top, seed)


def ours(work: Work) -> np.ndarray:
    """Explain all documents at once, as the explain stage does."""
    return attributed(work).values


def captum(work: Work) -> np.ndarray:
    """Call Captum for one document after the other, from zero to the weights of its words, as it comes: 50 steps."""
    network, found = work.classifier.network, list[np.ndarray]()
    explainer = IntegratedGradients(lambda weights, words: network(words, weights))
    for text, target in zip(work.texts, work.targets.tolist(), strict=True):
        bags = work.classifier.read(pl.Series([text]))
        words, weights = (torch.from_numpy(array)[None] for array in (bags.words, bags.weights))
        found.append(explainer.attribute(weights, target=target, additional_forward_args=(words,))[0].detach().numpy())
    return np.concatenate(found)


def lime(work: Work, seed: int) -> np.ndarray:
    """Call LIME for one document after the other: 5,000 texts without some of its words each."""
    explainer = LimeTextExplainer(class_names=work.classifier.labels, random_state=seed)
    found = list[dict[str, float]]()
    for text, target in zip(work.texts, work.targets.tolist(), strict=True):
        said = explainer.explain_instance(text, partial(_probabilities, work), labels=[target], num_features=len(text))
        found.append(_by_word(said.as_list(label=target)))
    return _values(work, found)


def shap(work: Work) -> np.ndarray:
    """Call SHAP for one document after the other: its Partition explainer, at most 500 evaluations each."""
    explainer, found = Explainer(partial(_probabilities, work), Text()), list[dict[str, float]]()
    for text, target in zip(work.texts, work.targets.tolist(), strict=True):
        said = explainer([text], silent=True)
        found.append(_by_word(zip(said.data[0], said.values[0][:, target].tolist(), strict=True)))
    return _values(work, found)


def _probabilities(work: Work, texts: list[str]) -> np.ndarray:
    return work.classifier.probabilities(pl.Series(list(texts), dtype=pl.String))


def _by_word(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Return the sum of the numbers of each word of the model."""
    sums: dict[str, float] = {}
    for token, value in pairs:
        for _, _, word in spans(token):
            sums[word] = sums.get(word, 0.0) + value
    return sums


def _values(work: Work, found: list[dict[str, float]]) -> np.ndarray:
    words, offsets = work.classifier.vocabulary.words, work.bags.offsets.tolist()
    rows = (work.bags.words[first:last] for first, last in pairwise(offsets))
    return np.array([known.get(words[row], 0.0) for known, own in zip(found, rows, strict=True) for row in own])


def opened(source: Path) -> tuple[Classifier, pl.Series]:
    """Return the classifier of a source, and the texts of its test documents."""
    if (source / "train.tsv").exists():
        table = read(source / "train.tsv")
        return train(table["text"], split(table, 0), "bag").classifier, read(source / "test.tsv")["text"]
    run = Run(source)
    trusted(run.model)
    classifier = Classifier.load(run.model, "cpu")
    if not isinstance(classifier.network, Bag):
        raise RequestError(f"{source.name}: its model is {classifier.family.name!r}; the methods are compared on a bag")
    listed = pl.read_parquet(run.model / "documents.parquet").filter(part="test")
    texts = pl.concat(stream_texts(check_shards(run))).join(listed, on="path", how="semi").sort("path")["text"]
    return classifier, texts


def drawn(classifier: Classifier, texts: pl.Series, many: int, seed: int) -> Work:
    """Return documents of at least two words that the model knows, and the class it predicts of each."""
    able = texts.gather(np.flatnonzero(np.diff(classifier.read(texts).offsets) > 1))
    chosen = able.gather(np.sort(np.random.default_rng(seed).permutation(len(able))[:many]))
    return Work(classifier, chosen, classifier.probabilities(chosen).argmax(axis=1))


def seconds(method: Method, work: Work) -> float:
    """Return how long a method takes."""
    began = time.perf_counter()
    method(work)
    return time.perf_counter() - began


def speed(name: str, methods: dict[str, Method], work: Work, slow: int, repeats: int) -> None:
    """Print the documents a second of each method."""
    few = {method: work.head(slow) if method in ("LIME", "SHAP") else work for method in methods}
    for method, found in methods.items():
        found(few[method].head(2))  # what is loaded on first use
    times = [{method: seconds(found, few[method]) for method, found in methods.items()} for _ in range(repeats)]
    rates = [{method: len(few[method].texts) / taken for method, taken in row.items()} for row in times]
    for method in methods:
        rate = statistics.median(row[method] for row in rates)
        ratio = statistics.median(row[OURS] / row[method] for row in rates)
        print(f"| {name} | {method} | {len(few[method].texts)} | {rate:,.2f} | {ratio:,.1f} |", flush=True)


def truth(name: str, methods: dict[str, Method], work: Work, top: int, seed: int) -> None:
    """Print how far the predicted class' probability falls by each method's words."""
    own = checked(work, ours(work), top, seed)
    _row(name, "random words", own, (own.random, own.only_random))
    for method, explain in methods.items():
        found = checked(work, explain(work), top, seed)
        _row(name, method, own, (found.top, found.only_top))


def _row(name: str, method: str, own: Deletion, falls: tuple[np.ndarray, np.ndarray]) -> None:
    without, alone = falls
    cells = [interval(without), interval(own.top - without), interval(alone), interval(own.only_top - alone)]
    texts = [f"{cell.mean:+.4f} ({cell.low:+.4f} to {cell.high:+.4f})" for cell in cells]
    print(f"| {name} | {method} | {len(without)} | {' | '.join(texts)} |", flush=True)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+", type=resolve, metavar="SOURCE")
    for option, default in (("documents", 100), ("slow", 10), ("repeats", 3), ("top", 10), ("seed", 0)):
        parser.add_argument(f"--{option}", type=int, default=default, metavar="N")
    asked = parser.parse_args()
    others = {"Captum one by one": captum, "LIME": partial(lime, seed=asked.seed), "SHAP": shap}
    try:
        works = {source.name: drawn(*opened(source), asked.documents, asked.seed) for source in asked.sources}
    except NbpipeError as error:
        sys.exit(f"{error}")
    print(f"{torch.get_num_threads()} threads\n")
    print("| source | method | documents | documents a second | nbpipe's rate / its |")
    print("| --- | --- | ---: | ---: | ---: |")
    for name, work in works.items():
        speed(name, {OURS: ours, **others}, work, asked.slow, asked.repeats)
    print("\n| source | method | documents | fall without | nbpipe's less its | fall with alone | nbpipe's less its |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for name, work in works.items():
        truth(name, {OURS: ours, **others}, work, asked.top, asked.seed)


if __name__ == "__main__":
    main()
