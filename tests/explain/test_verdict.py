"""The verdict says yes only where every rule holds, and reads otherwise for a model that knows nothing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nbpipe.config import Explain
from nbpipe.explain import faithfulness
from nbpipe.explain.attribute import Attributions
from nbpipe.explain.faithfulness import check_deletion, check_shuffled
from nbpipe.explain.verdict import Judgement, judge
from nbpipe.train.model import Classifier

Ask = Callable[..., Judgement]


@pytest.fixture
def ask(corpus: pl.DataFrame, explain: Callable[..., Attributions], tmp_path: Path) -> Ask:
    """Judge a classifier on the corpus."""

    def run(classifier: Classifier, documents: int = 30, gap: float = 0, **limits: float) -> Judgement:
        few = corpus.head(documents)
        found = explain(classifier, few["pages"].to_list())
        checked = check_shuffled(classifier, found, check_deletion(classifier, found, 3, 0), 0)
        right = np.array([classifier.labels[target] for target in found.targets]) == few["label"].to_numpy()
        guess = few["label"].value_counts()["count"].max() / documents
        return judge(Explain(run=tmp_path, **limits), right, guess, replace(found, gaps=found.gaps + gap), checked)

    return run


def failing(judgement: Judgement) -> list[str]:
    return [rule.name for rule in judgement.rules if not rule.holds]


def test_reasons_of_a_model_that_knows_its_subject_are_believed(wise: Classifier, ask: Ask) -> None:
    judgement = ask(wise)
    assert failing(judgement) == []
    assert judgement.verdict.text.startswith("Yes: without its 3 strongest words")


def test_reasons_of_a_model_that_guesses_are_not(guessing: Classifier, ask: Ask) -> None:
    verdict = ask(guessing).verdict.text
    assert verdict.startswith("No: ")
    assert "not shown to know more than a guess" in verdict


def test_faithful_reasons_of_a_model_without_knowledge_are_not_believed(wise: Classifier, ask: Ask) -> None:
    wise.labels.reverse()
    wise.labels.append(wise.labels.pop(0))
    judgement = ask(wise)
    assert failing(judgement) == ["the model knows more than a guess"]
    assert judgement.verdict.text.startswith("No: ")


def test_attributions_that_miss_the_score_are_not_believed(wise: Classifier, ask: Ask) -> None:
    judgement = ask(wise, gap=0.02)
    assert failing(judgement) == ["attributions add up to the score"]
    assert "miss the score by up to 2." in judgement.verdict.text


def test_reasons_that_ignore_the_weights_are_not_believed(
    wise: Classifier, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faithfulness, "shuffled", lambda network, seed: network)
    assert "models with shuffled weights are not shown to give other reasons" in ask(wise).verdict.text


def test_reasons_no_better_than_random_words_are_not_believed(
    wise: Classifier, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = np.random.default_rng(0)
    monkeypatch.setattr(faithfulness, "strongest", lambda keys, offsets, many: first.random(len(keys)) < 0.1)
    assert "the strongest words matter more than random words" in failing(ask(wise))


@pytest.mark.parametrize("documents", [1, 9])
def test_a_few_documents_are_not_enough_to_believe(wise: Classifier, ask: Ask, documents: int) -> None:
    verdict = ask(wise, documents).verdict.text
    assert verdict.startswith(f"No: too few documents could be checked ({documents} of at least 10)")


def test_every_rule_shows_its_figure(wise: Classifier, ask: Ask) -> None:
    judgement = ask(wise)
    shown = judgement._repr_html_()
    assert len(judgement.rules) == 6
    assert all(rule.measured in shown and rule.needed in shown for rule in judgement.rules)


def test_the_limits_of_the_config_decide(wise: Classifier, ask: Ask) -> None:
    assert failing(ask(wise)) == []
    assert len(failing(ask(wise, least_fall=0.99))) == 2
    assert failing(ask(wise, most_alike=0.001)) == ["shuffled models give other reasons"]


@pytest.mark.parametrize("changed", ["random", "fall", "alike"])
def test_the_whole_interval_must_lie_within_the_limit(
    changed: str, wise: Classifier, explain: Callable[..., Attributions], tmp_path: Path
) -> None:
    found = explain(wise)
    checked = check_shuffled(wise, found, check_deletion(wise, found, 3, 0), 0)
    scattered = np.where(np.arange(30) % 2, 0.95, -0.9)  # mean 0.025, and far from sure
    if changed == "random":
        checked = replace(checked, deletion=replace(checked.deletion, random=checked.deletion.top - scattered))
    else:
        values = scattered if changed == "alike" else checked.deletion.top - scattered
        checked = replace(checked, **{changed: values})
    judgement = judge(Explain(run=tmp_path), np.ones(30, bool), 0.4, found, checked)
    assert len(failing(judgement)) == 1


def test_a_warning_stands_beside_the_answer(wise: Classifier, ask: Ask) -> None:
    verdict = replace(ask(wise), warning="Look closer: a leak.").verdict.text
    assert (verdict[:4], verdict[-20:]) == ("Yes:", "Look closer: a leak.")


def test_occlusion_need_not_add_up(
    wise: Classifier, explain: Callable[..., Attributions], corpus: pl.DataFrame, tmp_path: Path
) -> None:
    found = explain(wise, method="occlusion")
    checked = check_shuffled(wise, found, check_deletion(wise, found, 3, 0), 0)
    judgement = judge(Explain(run=tmp_path), np.ones(30, bool), 0.4, found, checked)
    assert len(judgement.rules) == 5
    assert failing(judgement) == []
