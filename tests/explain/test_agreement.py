"""A second method is asked, of as many documents as can be read."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from nbpipe.explain import agreement
from nbpipe.explain.agreement import check_agreement
from nbpipe.explain.attribute import Attributions
from nbpipe.train.model import Classifier

Explain = Callable[..., Attributions]


def test_a_method_agrees_with_itself(wise: Classifier, explain: Explain) -> None:
    found = check_agreement(wise, explain(wise), "integrated_gradients", 3, seed=0)
    assert found.alike == pytest.approx(1)
    assert found.common == pytest.approx(1)


def test_two_methods_share_the_strongest_words(make_ordered: Callable[[str], Classifier], explain: Explain) -> None:
    classifier = make_ordered("gru")
    found = check_agreement(classifier, explain(classifier), "occlusion", 1, seed=0)
    assert (len(found.common), found.documents) == (30, 30)
    assert found.common.mean() > 0.9
    assert found.measures["common"]["mean"] == found.common.mean()


def test_documents_that_cannot_all_be_read_again_are_drawn(
    make_ordered: Callable[[str], Classifier], explain: Explain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement, "_READ", 0)
    classifier = make_ordered("attention")
    found = explain(classifier)
    first, same, other = (check_agreement(classifier, found, "occlusion", 1, seed).alike for seed in (0, 0, 1))
    assert len(first) == 5
    assert first.tolist() == same.tolist() != other.tolist()


def test_opposite_reasons_do_not_agree(wise: Classifier, explain: Explain) -> None:
    found = explain(wise)
    turned = replace(found, values=-found.values)
    checked = check_agreement(wise, turned, "integrated_gradients", 3, seed=0)
    assert checked.alike == pytest.approx(-1)
    assert checked.common.max() == 0
    assert "on 30 documents and their predicted classes" in repr(checked)
