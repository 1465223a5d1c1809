"""Attributions find what moves the score, add up to it, and stand where their words stand."""

import re
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
import torch
from captum.attr import IntegratedGradients

from nbpipe.explain import attribute
from nbpipe.explain.attribute import Attributions, Occurrences, integrated_gradients, locate
from nbpipe.train.bag import Bag
from nbpipe.train.model import Classifier
from nbpipe.train.pairs import with_pairs
from nbpipe.train.text import Bags, Vocabulary, count_parts

Explain = Callable[[Classifier], Attributions]


@pytest.fixture
def explain(corpus: pl.DataFrame) -> Explain:
    """Explain the corpus' own labels."""

    def run(classifier: Classifier) -> Attributions:
        targets = np.array([classifier.labels.index(label) for label in corpus["label"]])
        return integrated_gradients(classifier.network, classifier.vocabulary.bags(corpus["text"]), targets)

    return run


def each(found: Attributions) -> list[np.ndarray]:
    return np.split(found.values, found.bags.offsets[1:-1])


def test_the_decisive_word_is_the_strongest_of_every_document(
    wise: Classifier, explain: Explain, corpus: pl.DataFrame
) -> None:
    found = explain(wise)
    rows = np.split(found.bags.words, found.bags.offsets[1:-1])
    strongest = [wise.vocabulary.words[row[values.argmax()]] for row, values in zip(rows, each(found), strict=True)]
    decisive = {"astronomy": "télescope", "cooking": "oven", "sailing": "mast"}
    assert strongest == [decisive[label] for label in corpus["label"]]


def test_attributions_add_up_to_the_score(wise: Classifier, explain: Explain, corpus: pl.DataFrame) -> None:
    found = explain(wise)
    logits = wise.logits(pl.concat([corpus["text"], pl.Series("text", [""])])).numpy()
    score = (logits[:-1] - logits[-1])[np.arange(len(corpus)), found.targets]
    sums = np.array([values.sum() for values in each(found)])
    assert found.differences == pytest.approx(score, abs=1e-5)
    assert np.abs(sums - score).max() <= 0.01 * np.abs(score).min()
    assert found.gaps == pytest.approx(np.abs(sums - score) / np.abs(score), abs=1e-5)


def test_attributions_are_those_of_captum_from_the_words_themselves(wise: Classifier, explain: Explain) -> None:
    found = explain(wise)
    first = slice(0, found.bags.offsets[1])
    words, weights = (torch.from_numpy(array[first])[None] for array in (found.bags.words, found.bags.weights))
    expected = IntegratedGradients(lambda w: wise.network(words.expand(len(w), -1), w)).attribute(
        weights, target=int(found.targets[0]), n_steps=int(found.steps[0]), method="riemann_middle"
    )
    assert found.values[first] == pytest.approx(expected[0].numpy(), abs=1e-5)


def test_company_does_not_change_attributions(wise: Classifier, explain: Explain) -> None:
    found = explain(wise)
    for number in (0, 7, 29):
        alone = integrated_gradients(wise.network, found.bags.take(np.array([number])), found.targets[[number]])
        assert alone.values == pytest.approx(each(found)[number], abs=1e-5)


def test_batches_do_not_change_attributions(
    wise: Classifier, explain: Explain, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = explain(wise)
    monkeypatch.setattr(attribute, "_POINTS", 4 * attribute.STEPS)
    assert explain(wise).values == pytest.approx(whole.values, abs=1e-5)


@pytest.fixture
def bent(wise: Classifier) -> Classifier:
    """A classifier whose score bends along the path: its decisive units wake only after a third of it."""
    with torch.no_grad():
        wise.network.bias[:3] = -1
    return wise


def test_steps_are_doubled_until_the_gap_is_small(
    bent: Classifier, explain: Explain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attribute, "STEPS", 2)
    found = explain(bent)
    assert found.gaps.max() <= attribute.GAP
    assert found.steps.max() > 2
    assert set(found.steps) <= {2**power for power in range(1, 13)}


def test_a_gap_that_stays_is_reported(bent: Classifier, explain: Explain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribute, "STEPS", 2)
    monkeypatch.setattr(attribute, "MOST_STEPS", 2)
    assert explain(bent).gaps.max() > attribute.GAP


def test_a_document_without_known_words_has_no_attributions(wise: Classifier) -> None:
    bags = wise.vocabulary.bags(pl.Series(["unheard", "oven oven kelimo", ""]))
    found = integrated_gradients(wise.network, bags, np.array([0, 1, 2]))
    assert np.diff(found.bags.offsets).tolist() == [0, 1, 0]
    assert found.gaps[[0, 2]].tolist() == [0, 0]
    assert np.isfinite(found.values).all()


def test_no_documents_give_nothing(wise: Classifier) -> None:
    found = integrated_gradients(
        wise.network, Bags(*(np.zeros(0, t) for t in ("i8", "f4")), np.zeros(1, "i8")), np.zeros(0, "i8")
    )
    assert (len(found.values), len(found.gaps)) == (0, 0)


def test_places_point_to_their_words(wise: Classifier, explain: Explain, corpus: pl.DataFrame) -> None:
    pages = corpus["pages"].to_list()
    places = locate(explain(wise), pages, wise.vocabulary)
    for number in range(len(pages)):
        mine = places.of(number)
        cut = [pages[number][p][s:e].lower() for p, s, e in zip(mine.page, mine.start, mine.end, strict=True)]
        assert cut == [wise.vocabulary.words[row] for row in mine.row]
        assert "télescope" in cut or "oven" in cut or "mast" in cut


def test_a_word_shares_its_attribution_equally_among_its_places(wise: Classifier) -> None:
    pages = [["Oven, oven", "unheard mast"], ["mast"], ["OVEN"]]
    bags = wise.vocabulary.bags(pl.Series(["\n".join(document) for document in pages]))
    found = integrated_gradients(wise.network, bags, np.array([1, 2, 1]))
    places = locate(found, pages, wise.vocabulary)
    value = dict(zip(bags.words[:2], found.values[:2], strict=True))
    oven, mast = wise.vocabulary.index["oven"], wise.vocabulary.index["mast"]
    assert places.row.tolist() == [oven, oven, mast, mast, oven]
    assert places.attribution[:3] == pytest.approx([value[oven] / 2, value[oven] / 2, value[mast]])
    assert places.attribution[3:] == pytest.approx(found.values[2:])
    assert places.offsets.tolist() == [0, 3, 4, 5]


@pytest.fixture
def paired(corpus: pl.DataFrame) -> Classifier:
    """A classifier of the corpus that also knows pairs of words."""
    torch.manual_seed(3)
    vocabulary = Vocabulary.of(with_pairs(count_parts([corpus["text"]], order=True)))
    network = Bag(len(vocabulary), 3, width=24).eval()
    with torch.no_grad():
        network.embedding.weight.normal_(0, 1)
    return Classifier(network, vocabulary, ["astronomy", "cooking", "sailing"], torch.device("cpu"))


def test_pairs_of_words_stand_where_both_words_do(paired: Classifier, corpus: pl.DataFrame) -> None:
    words, pages = paired.vocabulary.words, corpus["pages"].to_list()
    bags = paired.vocabulary.bags(corpus["text"])
    places = locate(integrated_gradients(paired.network, bags, np.zeros(30, int)), pages, paired.vocabulary)
    texts = [re.sub(r"\W+", " ", pages[0][p][s:e].lower()) for p, s, e in _spans(places.of(0))]
    found = [words[row] for row in places.of(0).row]
    assert any(" " in word for word in found)
    assert all(text in (word, word.split(" ")[0]) for text, word in zip(texts, found, strict=True))


def test_a_pair_over_the_end_of_a_page_stands_where_its_first_word_does(paired: Classifier) -> None:
    pair = next(word for word in paired.vocabulary.words if " " in word)
    first, second = pair.split(" ")
    pages = [[f"x {first.upper()}.", "- 7", f"{second} {first}"]]
    bags = paired.vocabulary.bags(pl.Series(["\n".join(pages[0])]))
    places = locate(integrated_gradients(paired.network, bags, np.zeros(1, int)), pages, paired.vocabulary)
    row = places.row.tolist().index(paired.vocabulary.index[pair])
    assert (places.page[row], places.start[row], places.end[row]) == (0, 2, 2 + len(first))


def test_attributions_of_all_places_add_up_to_the_score(paired: Classifier, corpus: pl.DataFrame) -> None:
    bags = paired.vocabulary.bags(corpus["text"])
    found = integrated_gradients(paired.network, bags, np.zeros(30, int))
    places = locate(found, corpus["pages"].to_list(), paired.vocabulary)
    sums = [places.of(number).attribution.sum() for number in range(30)]
    assert sums == pytest.approx(np.add.reduceat(found.values, found.bags.offsets[:-1]), abs=1e-4)
    assert sums == pytest.approx(found.differences, abs=0.02 * float(np.abs(found.differences).max()))


def _spans(places: Occurrences) -> list[tuple[int, int, int]]:
    return list(zip(places.page, places.start, places.end, strict=True))
