"""Attributions find what moves the score, add up to it, and are the same in any company."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from captum.attr import IntegratedGradients

from nbpipe.explain import bags, windows
from nbpipe.explain.attribute import Attributions, integrated_gradients
from nbpipe.explain.faithfulness import correlations
from nbpipe.explain.reading import read, read_answers
from nbpipe.train.model import Classifier

Explain = Callable[..., Attributions]
DECISIVE = {"astronomy": "télescope", "cooking": "oven", "sailing": "mast"}


@pytest.fixture(params=["bag", "gru", "attention"])
def taught(request: pytest.FixtureRequest, wise: Classifier, make_ordered: Callable[[str], Classifier]) -> Classifier:
    """A classifier of each family that knows the corpus."""
    return wise if request.param == "bag" else make_ordered(request.param)


def lead(classifier: Classifier, found: Attributions) -> np.ndarray:
    """Return how much each logit counts in the score: 1 for the class, its rivals by their probability against it."""
    shares = read_answers(classifier, found.reading.inputs)
    own = np.arange(shares.shape[1]) == found.targets[:, None]
    return np.where(own, 1, -shares / np.where(own, 0, shares).sum(1, keepdims=True)).astype(np.float32)


def each(found: Attributions) -> list[np.ndarray]:
    return np.split(found.values, found.reading.offsets[1:-1])


@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion"])
def test_the_decisive_word_is_the_strongest_of_every_document(
    taught: Classifier, explain: Explain, corpus: pl.DataFrame, method: str
) -> None:
    found = explain(taught, method=method)
    words = [found.reading.names.gather(part) for part in np.split(found.reading.words, found.reading.offsets[1:-1])]
    strongest = [own[int(values.argmax())] for own, values in zip(words, each(found), strict=True)]
    assert strongest == [DECISIVE[label] for label in corpus["label"]]


def test_attributions_add_up_to_the_score(any_family: Classifier, explain: Explain) -> None:
    found = explain(any_family)
    sums = np.array([values.sum() for values in each(found)])
    assert found.gaps.max() <= 0.01
    assert np.abs(sums - found.differences).max() <= 0.0101 * max(0.01, np.abs(found.differences).max())
    places = np.bincount(found.reading.owners[found.reading.places.entry], found.places)
    assert places == pytest.approx(sums, abs=1e-4)


def test_the_score_of_a_bag_is_that_above_no_words(wise: Classifier, explain: Explain, corpus: pl.DataFrame) -> None:
    found = explain(wise)
    logits = wise.logits(pl.concat([corpus["text"], pl.Series("text", [""])])).numpy()
    assert found.differences == pytest.approx((lead(wise, found) * (logits[:-1] - logits[-1])).sum(1), abs=1e-5)


def test_the_score_over_windows_is_that_above_blank_words(
    make_ordered: Callable[[str], Classifier], explain: Explain, corpus: pl.DataFrame
) -> None:
    found, classifier = explain(make_ordered("attention")), make_ordered("attention")
    weights = lead(classifier, found)
    score = (classifier.logits(corpus["text"]).numpy() * weights).sum(1) - found.differences
    first, blank = found.reading.inputs.words[:44], 0.0
    for start, end in ((0, 14), (14, 29), (29, 44)):
        tokens, length = torch.from_numpy(first[start:end])[None], torch.tensor([end - start])
        nothing = torch.zeros(1, end - start, classifier.network.embedding.embedding_dim)
        logits = classifier.network.windows(tokens, length, nothing)[0].detach().numpy()
        blank += float(logits @ weights[0]) * (end - start) / 44
    assert score[0] == pytest.approx(blank, abs=1e-4)


def test_attributions_of_a_bag_are_those_of_captum_from_the_words_themselves(
    wise: Classifier, explain: Explain
) -> None:
    found = explain(wise)
    inputs, first = found.reading.inputs, slice(0, found.reading.offsets[1])
    words, weights = (torch.from_numpy(array[first])[None] for array in (inputs.words, inputs.weights))
    score = torch.from_numpy(lead(wise, found)[0])
    expected = IntegratedGradients(lambda w: wise.network(words.expand(len(w), -1), w) @ score).attribute(
        weights, n_steps=int(found.steps[0]), method="riemann_middle"
    )
    assert found.values[first] == pytest.approx(expected[0].numpy(), abs=1e-5)


@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion"])
def test_company_does_not_change_attributions(
    any_family: Classifier, explain: Explain, corpus: pl.DataFrame, method: str
) -> None:
    whole, pages = explain(any_family, method=method), corpus["pages"].to_list()
    for number in (0, 7, 29):
        alone = explain(any_family, [pages[number]], whole.targets[[number]], method)
        assert alone.values == pytest.approx(each(whole)[number], abs=2e-5)


@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion"])
def test_batches_do_not_change_attributions(
    any_family: Classifier, explain: Explain, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = explain(any_family, method=method)
    monkeypatch.setattr(bags, "_POINTS", 4 * bags.STEPS)
    monkeypatch.setattr(bags, "_ENTRIES", 7)
    monkeypatch.setattr(windows, "_NUMBERS", 128 * 64)
    assert explain(any_family, method=method).values == pytest.approx(whole.values, abs=2e-5)


def test_occlusion_is_what_the_classifier_says_without_the_word(any_family: Classifier, explain: Explain) -> None:
    found = explain(any_family, [["oven badan, kedan lidan oven"], ["mast kedan"]], [1, 2], "occlusion")
    for entry, owner in enumerate(found.reading.owners):
        rest = found.reading.without(np.arange(len(found.values)) == entry)
        logits = [
            any_family.family.score(any_family.network, inputs, any_family.device)[owner].numpy()
            for inputs in (found.reading.inputs, rest)
        ]
        assert found.values[entry] == pytest.approx((logits[0] - logits[1]) @ lead(any_family, found)[owner], abs=1e-4)


@pytest.mark.parametrize("name", ["gru", "attention"])
def test_both_methods_agree_on_what_a_family_has_learnt(
    name: str, make_ordered: Callable[[str], Classifier], explain: Explain
) -> None:
    first, second = (explain(make_ordered(name), method=method) for method in ("integrated_gradients", "occlusion"))
    assert correlations(first.values, second.values, first.reading.offsets).mean() > 0.4


def test_a_word_of_a_bag_shares_its_attribution_equally_among_its_places(wise: Classifier, explain: Explain) -> None:
    found = explain(wise, [["Oven, oven", "unheard mast"], ["mast"], ["OVEN"]], [1, 2, 1])
    names = found.reading.names.gather(found.reading.words[found.reading.places.entry]).to_list()
    value = dict(zip(found.reading.names.gather(found.reading.words[:2]), found.values[:2], strict=True))
    assert names == ["oven", "oven", "mast", "mast", "oven"]
    assert found.places[:3] == pytest.approx([value["oven"] / 2, value["oven"] / 2, value["mast"]])
    assert found.places[3:] == pytest.approx(found.values[2:])


def test_the_places_of_a_word_that_is_read_in_order_have_numbers_of_their_own(
    make_ordered: Callable[[str], Classifier], explain: Explain
) -> None:
    found = explain(make_ordered("gru"), [["oven badan oven kedan kedan oven"]], [1])
    own = found.places[found.reading.places.entry == found.reading.places.entry[0]]
    assert len(set(own.tolist())) == 3


@pytest.fixture
def bent(wise: Classifier) -> Classifier:
    """A classifier whose score bends along the path: its decisive units wake only after a third of it."""
    with torch.no_grad():
        wise.network.bias[:3] = -1
    return wise


@pytest.mark.parametrize("name", ["bag", "gru"])
def test_steps_are_doubled_until_the_gap_is_small(
    name: str, bent: Classifier, make_ordered: Callable, explain: Explain, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = bags if name == "bag" else windows
    monkeypatch.setattr(kind, "STEPS", 2)
    found = explain(bent if name == "bag" else make_ordered(name))
    assert found.gaps.max() <= bags.GAP
    assert found.steps.max() > 2
    assert set(found.steps) <= {2**power for power in range(1, 13)}


@pytest.mark.parametrize("name", ["bag", "gru"])
def test_a_gap_that_stays_is_reported(
    name: str, bent: Classifier, make_ordered: Callable, explain: Explain, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = bags if name == "bag" else windows
    monkeypatch.setattr(kind, "STEPS", 2)
    monkeypatch.setattr(kind, "MOST_STEPS", 2)
    assert explain(bent if name == "bag" else make_ordered(name)).gaps.max() > bags.GAP


@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion"])
def test_a_document_without_known_words_has_no_attributions(
    any_family: Classifier, explain: Explain, method: str
) -> None:
    found = explain(any_family, [[""], ["oven oven"], ["", ""]], [0, 1, 2], method)
    assert found.reading.sizes.tolist() == [0, 1, 0]
    assert np.isfinite(found.values).all()
    if method == "integrated_gradients":
        assert (found.gaps[[0, 2]].tolist(), found.differences[[0, 2]].tolist()) == ([0, 0], [0, 0])


@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion"])
def test_no_documents_give_nothing(any_family: Classifier, explain: Explain, method: str) -> None:
    found = explain(any_family, [], [], method)
    assert (len(found.values), len(found.gaps)) == (0, 0)


def test_a_few_steps_are_taken_where_exactness_is_not_asked(
    make_ordered: Callable[[str], Classifier], corpus: pl.DataFrame
) -> None:
    classifier = make_ordered("attention")
    reading = read(classifier, corpus)
    targets = read_answers(classifier, reading.inputs).argmax(axis=1)
    rough = integrated_gradients(classifier, reading, targets, exact=False)
    assert set(rough.steps) == {windows.FEW_STEPS}


def test_some_documents_are_taken_with_what_was_found(taught: Classifier, explain: Explain) -> None:
    whole = explain(taught)
    some = whole.take(np.array([3, 20]))
    assert some.values.tolist() == [*each(whole)[3], *each(whole)[20]]
    assert some.occurrences(1).attribution.tolist() == whole.occurrences(20).attribution.tolist()
    assert some.gaps.tolist() == whole.gaps[[3, 20]].tolist()


def test_with_several_labels_a_document_the_score_is_the_logit_alone(
    wise: Classifier, explain: Explain, corpus: pl.DataFrame
) -> None:
    many = replace(wise, multi=True)
    logits = many.logits(pl.concat([corpus["text"], pl.Series("text", [""])])).numpy()
    found = explain(many)
    assert found.differences == pytest.approx((logits[:-1] - logits[-1])[np.arange(30), found.targets], abs=1e-5)
