"""What `explore` asks of an explained sample, and where it gets one.

Unusual: it asks for little, so that whatever can say this much can be explored: a list of documents, and for each the
words that speak for a class, by a method, as coloured text and as a page with boxes.
"""

from pathlib import Path
from typing import Protocol, runtime_checkable

import polars as pl

from nbpipe.explain.highlight import Highlight
from nbpipe.explain.stage import load_explained
from nbpipe.report.widgets.texts import run_of
from nbpipe.shown import Picture, Sentence


@runtime_checkable
class Reasons(Protocol):
    """An explained sample. listing: path, label, predicted, probability, right, unsure; a row for each document."""

    listing: pl.DataFrame
    labels: list[str]
    methods: list[str]

    def document(self, path: str, label: str | None = None, method: str | None = None) -> Highlight:
        """Return a document's coloured words for a class, the predicted one if None, by a method, the usual if None."""

    def page(self, path: str, label: str | None = None, method: str | None = None) -> Picture | Sentence:
        """Return the page where the reasons stand, its words boxed, or why there is none."""


def reasons_of(given: str | Path | Reasons) -> Reasons:
    """Return what can be explored: itself, or the explained sample of a run folder.

    Raises RequestError and WorkError where the run holds no explanations that can be trusted.
    """
    return given if isinstance(given, Reasons) else load_explained(run_of(given).folder)
