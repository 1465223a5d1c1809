"""The strongest words of each class, and whether they are its own name."""

import numpy as np
import polars as pl
import pytest
import torch

from nbpipe.explain.attribute import integrated_gradients
from nbpipe.explain.leaks import TopWords, own_names, top_words
from nbpipe.train.bag import Bag
from nbpipe.train.model import Classifier
from nbpipe.train.text import Vocabulary


def look(classifier: Classifier, texts: pl.Series, labels: list[str], top: int = 3) -> TopWords:
    targets = classifier.logits(texts).argmax(1).numpy()
    found = integrated_gradients(classifier.network, classifier.vocabulary.bags(texts), targets)
    return top_words(classifier, found, labels, top)


@pytest.mark.parametrize(
    ("label", "names"),
    [
        ("HR", {"hr"}),
        ("Information-Technology", {"information", "technology", "informationtechnology"}),
        ("scikit_learn", {"scikit_learn", "scikit", "learn", "scikitlearn"}),
        ("数据结构", {"数据结构"}),
        ("C++", set()),
    ],
)
def test_a_label_is_spelt_by_its_words(label: str, names: set[str]) -> None:
    assert own_names(label) == names


def test_each_class_shows_its_decisive_word_first(wise: Classifier, corpus: pl.DataFrame) -> None:
    found = look(wise, corpus["text"], corpus["label"].to_list())
    assert {label: words[0][0] for label, words in found.top.items()} == {
        "astronomy": "télescope",
        "cooking": "oven",
        "sailing": "mast",
    }
    assert found.leaking == []
    assert found.right == found.right_without == 30


def test_words_are_counted_in_the_class_and_elsewhere(wise: Classifier) -> None:
    found = look(
        wise, pl.Series(["oven badan", "oven kedan", "mast oven mast mast badan"]), ["cooking"] * 2 + ["sailing"]
    )
    oven = found.rows.row(by_predicate=(pl.col("word") == "oven") & (pl.col("predicted") == "cooking"), named=True)
    assert (oven["documents"], oven["of"], oven["elsewhere"]) == (2, 2, 1)


def test_the_mean_is_over_all_documents_of_the_class(wise: Classifier) -> None:
    bags = wise.vocabulary.bags(pl.Series(["oven", "oven", "badan"]))
    found = integrated_gradients(wise.network, bags, np.array([1, 1, 1]))
    shown = top_words(wise, found, ["cooking"] * 3, 5)
    assert shown.top["cooking"][0] == ("oven", pytest.approx(found.values[:2].sum() / 3))


def test_a_class_known_by_its_own_name_is_flagged(wise: Classifier, corpus: pl.DataFrame) -> None:
    wise.labels[:2] = ["Télescopes 1", "The Oven"]
    labels = corpus["label"].replace({"cooking": "The Oven", "astronomy": "Télescopes 1"}).to_list()
    found = look(wise, corpus["text"], labels)
    assert found.leaking == ["The Oven"]
    assert found.rows.filter("own_name")["word"].to_list() == ["oven"]
    assert "strongest words: 1 of 3" in found._repr_html_()


def test_without_the_names_of_the_classes_their_documents_are_lost(wise: Classifier, corpus: pl.DataFrame) -> None:
    wise.labels[:] = ["télescope", "oven", "mast"]
    labels = corpus["label"].replace({"cooking": "oven", "astronomy": "télescope", "sailing": "mast"}).to_list()
    found = look(wise, corpus["text"], labels)
    assert (found.right, found.explained) == (30, 30)
    assert found.right_without < 20
    assert f"in the text, {found.right_without}." in repr(found)


def test_labels_are_escaped(wise: Classifier) -> None:
    wise.labels[1] = "<script>alert(1)</script>"
    found = look(wise, pl.Series(["oven", "mast"]), [wise.labels[1], "sailing"])
    assert "<script>" not in found._repr_html_()
    assert "&lt;script&gt;" in found._repr_html_()


def test_a_pair_that_holds_the_name_of_a_class_is_its_name_too(wise: Classifier) -> None:
    vocabulary = Vocabulary(["", "hot oven", "mast"], [0, 2, 1], 4)
    network = Bag(3, 3, width=3).eval()
    with torch.no_grad():
        network.embedding.weight.copy_(torch.eye(3))
        network.output.weight.copy_(torch.eye(3))
        network.output.bias.zero_()
    named = Classifier(network, vocabulary, ["astronomy", "oven", "sailing"], torch.device("cpu"))
    found = look(named, pl.Series(["hot oven", "mast"]), ["oven", "sailing"])
    assert found.leaking == ["oven"]
    assert (found.right, found.right_without) == (2, 1)
