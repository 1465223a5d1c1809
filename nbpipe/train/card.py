"""The model card: what the model is, how good it is and is not, and how to load it.

Unusual: labels come from strangers, so whatever they hold stays inside one cell of its table.
"""

import re
from typing import Any

from nbpipe.shown import words


def model_card(metrics: dict[str, Any], sizes: dict[str, Any]) -> str:
    """Return the model card as Markdown. metrics: as in metrics.json; sizes: words and labels of the model."""
    scores = {"bag (this model)": metrics["test"], **metrics["baselines"], "untrained": metrics["untrained"]}
    overall = [(name, values["accuracy"], values["macro_f1"]) for name, values in scores.items()]
    each = [(label, *values.values()) for label, values in metrics["per_class"].items()]
    documents = metrics["documents"]
    return f"""# Document classifier

A bag of words with one hidden layer over TF-IDF weights: {words(sizes["words"])} words,
{words(sizes["labels"])} labels. Made by nbpipe.

## Scores on the test documents

{_table(["model", "accuracy", "macro F1"], overall)}

Learnt from {words(documents["train"])} documents, stopped by {words(documents["validation"])} others, tested on
{words(documents["test"])} that it never saw. Identical texts stand on one side only.
{metrics["verdict"]}

{_table(["label", "precision", "recall", "F1", "test documents"], each)}

## Intended use

Giving documents of the same kind and source as those it learnt from one of the labels above, with a person who looks
at what matters.

## Limits

- It knows one label per document and gives every document one, also a document that belongs to none.
- It sees which words occur, not their order; words it did not learn from count for nothing.
- The scores hold for documents like these. Near copies of a document may stand on both sides of the split.
- Its probabilities are not calibrated.

## How to load it

```python
from pathlib import Path
import polars as pl
from nbpipe.train.model import Classifier

classifier = Classifier.load(Path("model"))
logits = classifier.logits(pl.Series(["the text of a document"]))
label = classifier.labels[int(logits[0].argmax())]
```
"""


def _table(columns: list[str], rows: list[tuple[Any, ...]]) -> str:
    lines = [columns, ["---"] * len(columns), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    """Return a value as text that Markdown does not read as mark-up, on one line."""
    return re.sub(r"([\\`*_\[\]<>|&#~$!])", r"\\\1", " ".join(words(value).split()))
