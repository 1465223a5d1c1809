"""The strongest words of each class, and whether they are its own name."""

from collections.abc import Callable

import polars as pl
import pytest
import torch

from nbpipe.explain.attribute import Attributions
from nbpipe.explain.leaks import TopWords, own_names, top_words
from nbpipe.train.bag import Bag
from nbpipe.train.model import Classifier
from nbpipe.train.text import Vocabulary

Look = Callable[..., TopWords]


@pytest.fixture
def look(explain: Callable[..., Attributions]) -> Look:
    """Return the strongest words of documents that are given by their texts, without them of the corpus."""

    def run(classifier: Classifier, texts: list[str] | None = None, top: int = 3) -> TopWords:
        return top_words(classifier, explain(classifier, texts and [[text] for text in texts]), top)

    return run


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


def test_each_class_shows_its_decisive_word_first(wise: Classifier, look: Look) -> None:
    found = look(wise)
    assert {label: words[0][0] for label, words in found.top.items()} == {
        "astronomy": "télescope",
        "cooking": "oven",
        "sailing": "mast",
    }
    assert found.leaking == []


def test_words_are_counted_in_the_class_and_elsewhere(wise: Classifier, look: Look) -> None:
    found = look(wise, ["oven badan", "oven kedan", "mast oven mast mast badan"])
    oven = found.rows.row(by_predicate=(pl.col("word") == "oven") & (pl.col("predicted") == "cooking"), named=True)
    assert (oven["documents"], oven["of"], oven["elsewhere"]) == (2, 2, 1)


def test_the_mean_is_over_all_documents_of_the_class(wise: Classifier, explain: Callable[..., Attributions]) -> None:
    found = explain(wise, [["oven"], ["oven"], ["badan"]], [1, 1, 1])
    assert top_words(wise, found, 5).top["cooking"][0] == ("oven", pytest.approx(found.values[:2].sum() / 3))


def test_a_class_known_by_its_own_name_is_flagged(wise: Classifier, look: Look) -> None:
    wise.labels[:2] = ["Télescopes 1", "The Oven"]
    found = look(wise)
    assert found.leaking == ["The Oven"]
    assert found.rows.filter("own_name")["word"].to_list() == ["oven"]
    assert "strongest words: 1 of 3" in found._repr_html_()


def test_labels_are_escaped(wise: Classifier, look: Look) -> None:
    wise.labels[1] = "<script>alert(1)</script>"
    found = look(wise, ["oven", "mast"])
    assert "<script>" not in found._repr_html_()
    assert "&lt;script&gt;" in found._repr_html_()


def test_a_pair_that_holds_the_name_of_a_class_is_its_name_too(look: Look) -> None:
    vocabulary = Vocabulary(["", "hot oven", "mast"], [0, 2, 1], 3)
    network = Bag(3, 3, width=3).eval()
    with torch.no_grad():
        network.embedding.weight.copy_(torch.eye(3))
        network.output.weight.copy_(torch.eye(3))
        network.output.bias.zero_()
    named = Classifier(network, vocabulary, ["astronomy", "oven", "sailing"], torch.device("cpu"))
    assert look(named, ["hot oven", "mast"]).leaking == ["oven"]
