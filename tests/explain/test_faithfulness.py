"""The checks tell knowledge from chance."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
import torch

from nbpipe.explain import faithfulness
from nbpipe.explain.attribute import Attributions
from nbpipe.explain.faithfulness import check_deletion, check_shuffled, correlations, interval, shuffled, strongest
from nbpipe.train.model import Classifier

Explain = Callable[..., Attributions]


@pytest.fixture
def found(wise: Classifier, explain: Explain) -> Attributions:
    """The explanations of the corpus, for the predicted classes."""
    return explain(wise)


def test_an_interval_holds_its_mean_and_narrows_with_more_documents() -> None:
    values = np.random.default_rng(0).random(400)
    few, many = interval(values[:20]), interval(values)
    assert few.low < few.mean < few.high
    assert many.high - many.low < few.high - few.low
    assert interval(values) == many


def test_one_document_proves_nothing() -> None:
    assert interval(np.array([0.9])) == (0.9, -1, 1)
    assert interval(np.zeros(0)) == (0, -1, 1)


def test_the_strongest_words_are_taken_document_by_document() -> None:
    keys, offsets = np.array([1.0, 3, 2, 9, 8, 7, 0]), np.array([0, 3, 3, 6, 7])
    chosen = strongest(keys, offsets, np.array([1, 2, 2, 0]))
    assert chosen.tolist() == [False, True, False, True, True, False, False]


def test_the_strongest_words_matter_more_than_random_ones(wise: Classifier, found: Attributions) -> None:
    checked = check_deletion(wise, found, top=3, seed=0)
    assert checked.gain.low > 0.2
    assert interval(checked.only_top).high < interval(checked.only_random).low
    assert list(checked.drops) == ["3 strongest words", "3 random words"]


def test_the_fall_is_what_the_classifier_says_of_the_shortened_text(wise: Classifier, explain: Explain) -> None:
    texts = pl.Series(["oven badan kedan lidan", "oven badan kedan"])
    checked = check_deletion(wise, explain(wise, [[text] for text in texts], [1, 1]), top=1, seed=0)
    before, after = (torch.softmax(wise.logits(t), 1)[:, 1] for t in (texts, texts.str.replace("oven ", "")))
    assert checked.top == pytest.approx((before - after).numpy(), abs=1e-6)


def test_shuffled_models_are_explained_by_the_same_method(
    wise: Classifier, explain: Explain, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = explain(wise, method="occlusion")
    monkeypatch.setattr(faithfulness, "shuffled", lambda network, seed: network)
    assert check_shuffled(wise, found, check_deletion(wise, found, 3, 0), 0).alike == pytest.approx(1)


def test_no_more_than_half_of_a_document_is_removed(wise: Classifier, explain: Explain) -> None:
    found = explain(wise, [["oven mast badan"], ["oven"], [""]], [1, 1, 1])
    checked, one = (check_deletion(wise, found, top, seed=0) for top in (3, 1))
    assert checked.top.tolist() == one.top.tolist()
    assert len(checked.top) == len(checked.random) == 1


@pytest.mark.parametrize("name", ["gru", "attention"])
def test_both_checks_hold_for_networks_over_windows(name: str, make_ordered: Explain, explain: Explain) -> None:
    classifier = make_ordered(name)
    found = explain(classifier)
    checked = check_deletion(classifier, found, top=1, seed=0)
    control = check_shuffled(classifier, found, checked, seed=0)
    assert checked.gain.low > 0.1
    assert control.gain.low > 0.1
    assert abs(control.alike.mean()) < 0.3


def test_random_words_are_drawn_by_the_seed(wise: Classifier, found: Attributions) -> None:
    first, same, other = (check_deletion(wise, found, 3, seed).random for seed in (0, 0, 1))
    assert first.tolist() == same.tolist()
    assert first.tolist() != other.tolist()


def test_shuffling_moves_the_weights_of_a_copy_and_leaves_the_network(wise: Classifier) -> None:
    before = [weights.clone() for weights in wise.network.parameters()]
    copy, again, other = (shuffled(wise.network, seed) for seed in (5, 5, 6))
    for old, kept, moved in zip(before, wise.network.parameters(), copy.parameters(), strict=True):
        assert torch.equal(old, kept)
        assert not torch.equal(old, moved)
        assert torch.equal(old.flatten().sort().values, moved.flatten().sort().values)
    assert torch.equal(copy.embedding.weight, again.embedding.weight)
    assert not torch.equal(copy.embedding.weight, other.embedding.weight)


def test_models_with_shuffled_weights_give_other_reasons(wise: Classifier, found: Attributions) -> None:
    checked = check_shuffled(wise, found, check_deletion(wise, found, 3, seed=0), seed=0)
    assert abs(checked.alike.mean()) < 0.2
    assert checked.gain.low > 0.2
    assert len(checked.drops) == 3


def test_an_explanation_that_ignores_the_weights_is_found_out(
    wise: Classifier, found: Attributions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faithfulness, "shuffled", lambda network, seed: network)
    checked = check_shuffled(wise, found, check_deletion(wise, found, 3, seed=0), seed=0)
    assert checked.alike == pytest.approx(1, abs=0.01)  # the copies' attributions are taken in fewer steps
    assert checked.gain.mean == pytest.approx(0)


def test_correlation_goes_by_rank_within_each_document() -> None:
    left = np.array([1.0, 2, 3, 10, 20, 30, 5, 5, 5, 1])
    right = np.array([1.0, 20, 300, 3, 2, 1, 1, 2, 3, 9])
    assert correlations(left, right, np.array([0, 3, 6, 9, 10, 10])).tolist() == pytest.approx([1, -1, 0])


def test_tables_show_every_figure(wise: Classifier, found: Attributions) -> None:
    checked = check_deletion(wise, found, 3, seed=0)
    assert f"{checked.gain.mean:.3f}" in checked._repr_html_()
    assert "random" in repr(checked)
    assert set(checked.measures) == {"top", "random", "only_top", "only_random"}


def test_networks_without_training_hardly_fall(guessing: Classifier, explain: Explain) -> None:
    assert abs(check_deletion(guessing, explain(guessing), 3, seed=0).gain.mean) < 0.2
