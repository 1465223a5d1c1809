"""The model card in the form of the Hugging Face hub: what the model is, how good it is and is not, how to load it.

Unusual: nothing in it is written by hand. Head and limits are generated from the figures of the run, and labels and
names come from strangers, so whatever they hold stays inside one cell of its table. No language is named, since nothing
in a run tells which one its documents are in.
"""

import re
from typing import Any

import yaml

from nbpipe.shown import words

DATASET = "the run's test documents"
_WINDOWS = (
    "A long document is read in windows of at most {window} words; its logits are the mean of its windows' logits, "
    "each weighed by its number of words."
)
_FAMILIES = {
    "bag": "A bag of words with one hidden layer over TF-IDF weights of {words} words.",
    "gru": f"A recurrent network (GRU) over the {{words}} words it knows, in their order. {_WINDOWS}",
    "attention": f"A small transformer encoder over the {{words}} words it knows, in their order. {_WINDOWS}",
    "pretrained": f"The pretrained encoder {{encoder}} with a linear layer on top. {_WINDOWS}",
}
_METRICS = {"accuracy": ("accuracy", "accuracy"), "macro_f1": ("f1", "macro F1"), "micro_f1": ("f1", "micro F1")}


def model_card(metrics: dict[str, Any], sizes: dict[str, Any]) -> str:
    """Return the model card as Markdown with a YAML head.

    metrics: as in metrics.json, of which test, baselines, untrained, intervals, calibration, coverage, per_class,
    documents, verdict and difference are told. sizes: family, labels, multi; words for all but pretrained, window for
    all but bag, encoder for pretrained.
    """
    documents = metrics["documents"]
    each = [(label, *values.values()) for label, values in metrics["per_class"].items()]
    return f"""---
{yaml.safe_dump(_head(metrics, sizes), sort_keys=False, allow_unicode=True)}---

# Document classifier

{_family(sizes)} It knows {words(sizes["labels"])} labels. Made by nbpipe.

## Scores on the test documents

{_scores(metrics, sizes)}

In brackets: 95% intervals by bootstrap over the test documents.
{_learnt(metrics)}, tested on {words(documents["test"])} that it never saw.
{metrics["verdict"]}
{metrics["difference"]}

{_table(["label", "precision", "recall", "F1", "test documents"], each)}

## Probabilities and abstaining

{_calibration(metrics["calibration"])}
{_coverage(metrics["coverage"])}

## Intended use

Giving documents of the same kind and source as those it learnt from {"some" if sizes["multi"] else "one"} of the
labels above, with a person who looks at what matters.

## Limits

{_limits(metrics, sizes)}

## How to load it

```python
from pathlib import Path
import polars as pl
from nbpipe.train.model import Classifier

classifier = Classifier.load(Path("model"))
labels, confidence = classifier.answers(pl.Series(["the text of a document"]))
```
"""


def _head(metrics: dict[str, Any], sizes: dict[str, Any]) -> dict[str, Any]:
    """Return what the hub reads: where it belongs, and its scores (model-index)."""
    found = [
        {"type": kind, "value": round(metrics["test"][measure], 4), "name": name}
        for measure, (kind, name) in _METRICS.items()
        if measure in metrics["test"]
    ]
    result = {
        "task": {"type": "text-classification", "name": "Document classification"},
        "dataset": {"type": "documents", "name": DATASET, "split": "test"},
        "metrics": found,
    }
    kind = "multi-label" if sizes["multi"] else "single-label"
    base = {"base_model": sizes["encoder"]} if re.fullmatch(r"[\w.-]+/[\w.-]+", sizes.get("encoder", "")) else {}
    return {
        "library_name": "nbpipe",
        "pipeline_tag": "text-classification",
        "tags": ["nbpipe", "document-classification", kind, sizes["family"]],
        **base,
        "model-index": [{"name": f"nbpipe {sizes['family']}", "results": [result]}],
    }


def _family(sizes: dict[str, Any]) -> str:
    known = {"words": words(sizes.get("words")), "window": words(sizes.get("window"))}
    return _FAMILIES[sizes["family"]].format(**known, encoder=_cell(sizes.get("encoder", "")))


def _scores(metrics: dict[str, Any], sizes: dict[str, Any]) -> str:
    """Return the table of the model and all it is compared with."""
    names = {"test": sizes["family"], **{name: name for name in metrics["baselines"]}, "untrained": "untrained"}
    found = {"test": metrics["test"], **metrics["baselines"], "untrained": metrics["untrained"]}

    def cell(place: str, measure: str, value: float) -> str:
        known = metrics["intervals"].get(names[place], {}).get(measure)
        return f"{value:.3f} ({known['low']:.3f} to {known['high']:.3f})" if known else f"{value:.3f}"

    rows = [
        (names[place] + (" (this model)" if place == "test" else ""), *(cell(place, *fact) for fact in values.items()))
        for place, values in found.items()
    ]
    return _table(["model", *(_METRICS[measure][1] for measure in metrics["test"])], rows)


def _learnt(metrics: dict[str, Any]) -> str:
    documents = metrics["documents"]
    many, held = documents["train"], documents["validation"]
    if metrics.get("epochs", {}).get("again"):
        return f"Learnt from {words(many + held)} documents, {words(held)} of which first said when to stop"
    return f"Learnt from {words(many)} documents, stopped by {words(held)} others"


def _calibration(found: dict[str, float]) -> str:
    return (
        f"Probabilities are calibrated by a temperature of {found['temperature']:.2f}, fitted on the validation "
        f"documents. On the test documents the expected calibration error is {found['ece']:.3f} "
        f"({found['ece_before']:.3f} before); perfectly calibrated ones would show {found['ece_chance']:.3f} by chance."
    )


def _coverage(found: dict[str, Any]) -> str:
    target = f"{found['target']:.1%} right answers"
    if found["threshold"] is None:
        return f"It abstains always: no confidence was shown to reach {target} on the validation documents."
    got = f", of which {found['accuracy']:.1%} are right" if found["accuracy"] is not None else ""
    return (
        f"It abstains below a confidence of {found['threshold']:.3f}, chosen on the validation documents for {target}: "
        f"so it answers {found['share']:.1%} of the test documents{got}."
    )


def _limits(metrics: dict[str, Any], sizes: dict[str, Any]) -> str:
    """Return what it cannot do, as the family and the figures have it."""
    many, family, found = sizes["multi"], sizes["family"], metrics["calibration"]
    lines = [
        "It gives every document one label, also a document that belongs to none."
        if not many
        else "It judges each label on its own, and may give a document none.",
        "The scores hold for documents like these. Copies and near copies stood on one side of the split.",
        "Its probabilities hold for documents like these"
        + ("." if found["ece"] <= 2 * found["ece_chance"] else f", and are off by {found['ece']:.3f} on average."),
    ]
    if family == "bag":
        lines.insert(1, "It sees which words occur, not their order; words it did not learn from count for nothing.")
    elif family != "pretrained":
        lines.insert(1, "Words it did not learn from count for nothing, and no window sees another.")
    else:
        lines.insert(1, "What its encoder learnt before is not known here, and no window sees another.")
    few = [label for label, values in metrics["per_class"].items() if values["documents"] < 10]
    if few:
        lines.append(f"Labels with fewer than 10 test documents: {len(few):,}; their scores say little.")
    return "\n".join(f"- {line}" for line in lines)


def _table(columns: list[str], rows: list[tuple[Any, ...]]) -> str:
    lines = [columns, ["---"] * len(columns), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    """Return a value as text that Markdown does not read as mark-up, on one line."""
    return re.sub(r"([\\`*_\[\]<>|&#~$!])", r"\\\1", " ".join(words(value).split()))
