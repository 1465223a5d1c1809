"""The card is what the hub reads, tells the run's figures, and holds no mark-up of strangers."""

from typing import Any

import pytest
import yaml

from nbpipe.train.card import DATASET, model_card

SCORES = {"accuracy": 0.5, "macro_f1": 0.25}
LABEL = {"precision": 1.0, "recall": 0.5, "f1": 0.667, "documents": 4}
SIZES = {"family": "bag", "words": 1200, "labels": 2, "multi": False}
METRICS = {
    "test": SCORES,
    "baselines": {"majority": SCORES},
    "untrained": SCORES,
    "intervals": {"bag": {"accuracy": {"value": 0.5, "low": 0.4, "high": 0.6}}},
    "calibration": {"temperature": 0.5, "ece": 0.02, "ece_before": 0.2, "ece_chance": 0.015},
    "coverage": {"threshold": 0.9, "target": 0.95, "share": 0.8, "accuracy": 0.97},
    "per_class": {"a": LABEL},
    "documents": {"train": 7, "validation": 1, "test": 4},
    "verdict": "Yes: better than guessing.",
    "difference": "The difference is real.",
}


def card(sizes: dict[str, Any] = SIZES, **metrics: Any) -> str:
    return model_card(METRICS | metrics, SIZES | sizes)


def test_the_hub_reads_the_scores():
    data = pytest.importorskip("huggingface_hub").ModelCard(card()).data
    assert (data.library_name, data.pipeline_tag, data.model_name) == ("nbpipe", "text-classification", "nbpipe bag")
    found = [(result.metric_type, result.metric_name, result.metric_value) for result in data.eval_results]
    assert found == [("accuracy", "accuracy", 0.5), ("f1", "macro F1", 0.25)]
    assert {result.dataset_name for result in data.eval_results} == {DATASET}


def test_the_card_holds_the_scores_with_intervals_and_the_verdict():
    assert "| bag (this model) | 0.500 (0.400 to 0.600) | 0.250 |" in card()
    assert "Yes: better than guessing.\nThe difference is real." in card()
    assert "1,200 words. It knows 2 labels." in card()


def test_many_labels_have_a_micro_f1_and_limits_of_their_own():
    found = card({"multi": True}, test=SCORES | {"micro_f1": 0.75})
    head = yaml.safe_load(found.split("---\n")[1])
    assert {"type": "f1", "value": 0.75, "name": "micro F1"} in head["model-index"][0]["results"][0]["metrics"]
    assert "multi-label" in head["tags"]
    assert "may give a document none" in found


@pytest.mark.parametrize("family", ["gru", "attention", "pretrained"])
def test_what_reads_windows_says_by_which_rule(family: str):
    found = card({"family": family, "window": 256, "encoder": "org/encoder"})
    assert "windows of at most 256 words" in found
    assert "each weighed by its number of words" in found
    assert "windows of at most" not in card()


def test_a_pretrained_model_names_what_it_was_made_from_but_no_folder():
    assert "base_model: org/encoder" in card({"family": "pretrained", "encoder": "org/encoder", "window": 256})
    assert "base_model" not in card({"family": "pretrained", "encoder": "my: folder\n- x", "window": 256})


def test_probabilities_are_said_to_be_off_where_they_are():
    assert "off by" not in card()
    assert "off by 0.200 on average" in card(calibration=METRICS["calibration"] | {"ece": 0.2})


@pytest.mark.parametrize(
    ("coverage", "said"),
    [
        ({}, "abstains below a confidence of 0.900, chosen on the validation documents for 95.0% right answers"),
        ({"accuracy": None, "share": 0.0}, "it answers 0.0% of the test documents."),
        ({"threshold": None}, "It abstains always"),
    ],
)
def test_the_card_says_when_it_abstains(coverage: dict[str, Any], said: str):
    assert said in card(coverage=METRICS["coverage"] | coverage)


def test_labels_with_few_test_documents_are_a_limit():
    assert "Labels with fewer than 10 test documents: 1;" in card()
    assert "fewer than 10" not in card(per_class={"a": LABEL | {"documents": 10}})


def test_a_label_stays_in_its_cell():
    found = card(per_class={"a|b\n---\n# <script>": LABEL})
    line = next(line for line in found.splitlines() if "script" in line)
    assert line.startswith(r"| a\|b --- \# \<script\> | 1.000 |")
    assert yaml.safe_load(found.split("---\n")[1])["library_name"] == "nbpipe"
