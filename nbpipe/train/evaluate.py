"""Scores on the test part: the untrained network before training, the trained one after it, beside the baselines.

Unusual: nothing is scored alone. Every figure has its interval, every model the same resamples, and the verdict weighs
chance: a model is better than guessing when always giving the commonest answer would score as well with a probability
below 1%; it differs from LinearSVC when the documents that only one of them gets right say so.
"""

import time
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from nbpipe.shown import Link, Sentence, Shown, Table
from nbpipe.train.baselines import Baselines
from nbpipe.train.bootstrap import Bootstrap, bootstrap
from nbpipe.train.calibrate import Calibration, Coverage, calibration, probabilities
from nbpipe.train.fit import Start, Training
from nbpipe.train.neighbours import look
from nbpipe.train.scores import Interval, Scores, against, against_guessing, compared, confidence, decide, joined
from nbpipe.train.shards import read_pages
from nbpipe.train.split import Parts

_MISTAKES = 10
_EXCERPT = 300  # characters


def untrained(start: Start) -> Scores:
    """Score the network before training, on the test part."""
    began, test = time.perf_counter(), start.parts.rows("test")
    logits = start.family.score(start.network(), start.inputs.take(test), start.device).numpy()
    predicted = decide(probabilities(logits, start.parts.multi), start.parts.multi)
    return Scores("untrained", predicted, start.parts.truth[test], time.perf_counter() - began)


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(Shown):
    """The trained model on the test part, beside what it has to beat.

    logits: float32 [N, C] of every usable document, calibrated, in the order of the split's documents; directions:
    float16 [N, P], of their hidden vectors.
    """

    training: Training
    baselines: Baselines
    untrained: Scores
    logits: np.ndarray
    directions: np.ndarray

    @property
    def parts(self) -> Parts:
        """The split it was trained and tested on."""
        return self.training.start.parts

    @property
    def labels(self) -> list[str]:
        """The labels, sorted."""
        return self.parts.labels

    @cached_property
    def probabilities(self) -> np.ndarray:
        """The probability of each label, float32 [N, C], of every usable document."""
        return probabilities(self.logits, self.parts.multi)

    @cached_property
    def confidence(self) -> np.ndarray:
        """How sure the answer to each usable document is: [N]."""
        return confidence(self.probabilities, self.parts.multi)

    @cached_property
    def test(self) -> Scores:
        """The trained model's scores."""
        test, start = self.parts.rows("test"), self.training.start
        predicted = decide(self.probabilities[test], self.parts.multi)
        return Scores(start.config.model, predicted, self.parts.truth[test], start.seconds + self.training.seconds)

    @property
    def models(self) -> list[Scores]:
        """The scores of the model and of all that it is compared with."""
        return [self.test, self.baselines.linear_svc, self.baselines.majority, self.untrained]

    @cached_property
    def bootstrap(self) -> Bootstrap:
        """The scores of all models on resamples of the test documents."""
        return bootstrap(self.models, self.parts.seed)

    @property
    def accuracies(self) -> dict[str, Interval]:
        """The accuracy of each model with its interval, by the model's name."""
        return {name: found["accuracy"] for name, found in self.bootstrap.intervals.items()}

    @property
    def difference(self) -> Sentence:
        """One sentence: is the difference to LinearSVC real?"""
        return self.bootstrap.sentence(self.test.name, "linear_svc")

    @property
    def confusion(self) -> np.ndarray:
        """Counts [C, C]: true labels in rows, predicted ones in columns."""
        return self.test.confusion

    @property
    def per_class(self) -> Table:
        """Precision, recall and F1 of each label, the worst first."""
        return self.test.per_label(self.labels)

    @cached_property
    def calibration(self) -> Calibration:
        """How far confidence and accuracy lie apart on the test documents, before and after calibration."""
        test, temperature = self.parts.rows("test"), self.training.temperature
        return calibration(self.logits[test] * temperature, self.parts.truth[test], self.parts.multi, temperature)

    @cached_property
    def coverage(self) -> Coverage:
        """What the test documents get when unsure ones are left to a person."""
        training, test = self.training, self.parts.rows("test")
        target = training.start.config.target_accuracy
        return Coverage(self.confidence[test], self.test.right, training.classifier.threshold, target)

    @cached_property
    def mistakes(self) -> Table:
        """The test documents that got a wrong answer, the surest first, with the beginning of their texts."""
        test, wrong = self.parts.rows("test"), np.flatnonzero(~self.test.right)
        sure = self.confidence[test]
        top = wrong[np.argsort(-sure[wrong], kind="stable")][:_MISTAKES]
        paths = self.parts.documents["path"].gather(test[top])
        begins = self._begins(paths)
        rows = [
            (self._link(path), *names, share, begins[path])
            for path, names, share in zip(paths, self._answers(top), sure[top].tolist(), strict=True)
        ]
        caption = f"{len(wrong):,} of {len(test):,} test documents got a wrong answer; the surest of these"
        return Table(["path", "label", "predicted", "probability", "its text begins"], rows, caption)

    def _answers(self, places: np.ndarray) -> list[tuple[str, str]]:
        """Return the true and the predicted labels of some test documents, in words."""
        given = zip(self.test.truth[places], self.test.predicted[places], strict=True)
        return [(joined(true, self.labels), joined(predicted, self.labels)) for true, predicted in given]

    def _begins(self, paths: pl.Series) -> dict[str, str]:
        found = read_pages(self.training.start.documents.receipts, paths)
        texts = found["text"].str.replace_all(r"\s+", " ")
        cut = texts.str.len_chars() > _EXCERPT
        begins = texts.str.slice(0, _EXCERPT) + pl.select(pl.when(cut).then(pl.lit(" …")).otherwise(pl.lit("")))[:, 0]
        return dict(zip(found["path"], begins, strict=True))

    def _link(self, path: str) -> Link | str:
        place = self.training.start.documents.link(path)
        return Link(path, place) if place else path

    @property
    def verdict(self) -> Sentence:
        """One sentence: is it better than guessing, and how does it stand against LinearSVC?"""
        guessing = against_guessing(self.test, self.baselines.majority)
        return Sentence(f"{guessing} {against(self.test, self.baselines.linear_svc, 'LinearSVC')}")

    def shown(self) -> list[Table | Sentence]:
        """The scores with their intervals, and whether the difference to LinearSVC is real."""
        return [compared(self.models, self.bootstrap.intervals), self.difference]


def evaluate(training: Training, baselines: Baselines, before: Scores) -> Evaluation:
    """Label every usable document with the trained model, and score the test part."""
    classifier, start = training.classifier, training.start
    inputs = start.family.inputs(classifier.vocabulary, start.documents)
    return Evaluation(training, baselines, before, *look(start.family, classifier.network, inputs, classifier.device))
