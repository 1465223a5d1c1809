"""Scores on the test part: the baselines and the untrained network before training, the trained one after it.

Unusual: the verdict weighs chance. A model is better than guessing when always naming the commonest label would score
as well with a probability below 1%; it differs from LinearSVC when the documents only one of them gets right say so.
"""

import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy.stats import binomtest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from nbpipe.errors import WorkError
from nbpipe.shown import Sentence, Shown, Table
from nbpipe.train.fit import Start, Training
from nbpipe.train.model import score
from nbpipe.train.split import Parts

CHANCE, DIFFERENCE = 0.01, 0.05
_MISTAKES = 10


@dataclass(frozen=True, eq=False, repr=False)
class Scores(Shown):
    """What one model said about the test documents, and how much of it is right.

    predicted, targets: int64 [N], positions in the labels. seconds: of fitting and predicting.
    """

    name: str
    predicted: np.ndarray
    targets: np.ndarray
    seconds: float = 0.0

    @property
    def right(self) -> np.ndarray:
        """Whether each document got its label."""
        return self.predicted == self.targets

    @property
    def accuracy(self) -> float:
        """The share of documents that got their label."""
        return float(self.right.mean())

    @property
    def macro_f1(self) -> float:
        """The mean over labels of each label's F1."""
        return float(f1_score(self.targets, self.predicted, average="macro", zero_division=0))

    def facts(self) -> dict[str, float]:
        """The scores as they are written to metrics.json."""
        return {"accuracy": self.accuracy, "macro_f1": self.macro_f1}

    def shown(self) -> list[Table]:
        """Accuracy and macro F1 of this model."""
        return [_scores_table([self])]


def _scores_table(models: list[Scores]) -> Table:
    rows = [(model.name, model.accuracy, model.macro_f1, model.seconds) for model in models]
    return Table(["model", "test accuracy", "macro F1", "seconds"], rows, f"{len(models[0].targets):,} test documents")


@dataclass(frozen=True, eq=False, repr=False)
class Baselines(Shown):
    """What any model has to beat, on the same test documents."""

    majority: Scores
    linear_svc: Scores

    def shown(self) -> list[Table]:
        """Accuracy and macro F1 of the baselines."""
        return [_scores_table([self.majority, self.linear_svc])]


def fit_baselines(parts: Parts) -> Baselines:
    """Fit majority class and scikit-learn's TF-IDF with LinearSVC on all documents that are not for the test.

    Raises WorkError where these documents hold no words.
    """
    began = time.perf_counter()
    learn, test = parts.rows("train", "validation"), parts.rows("test")
    targets, texts = parts.targets, parts.documents["text"]
    commonest = np.bincount(targets[learn]).argmax()
    majority = Scores("majority", np.full(len(test), commonest), targets[test], time.perf_counter() - began)
    began = time.perf_counter()
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True), LinearSVC(random_state=parts.seed))
    try:
        model.fit(texts.gather(learn).to_list(), targets[learn])
    except ValueError as error:
        raise WorkError(f"linear_svc: cannot be fitted ({error}); do the documents hold words?") from None
    predicted = model.predict(texts.gather(test).to_list())
    return Baselines(majority, Scores("linear_svc", predicted, targets[test], time.perf_counter() - began))


def untrained(start: Start) -> Scores:
    """Score the network before training, on the test part."""
    began, test = time.perf_counter(), start.parts.rows("test")
    logits = score(start.network(), start.bags.take(test), start.device)
    return Scores("untrained", logits.argmax(1).numpy(), start.parts.targets[test], time.perf_counter() - began)


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(Shown):
    """The trained model on the test part, beside what it has to beat.

    probabilities: float32 [N, C], of every usable document, in the order of the split's documents.
    """

    training: Training
    baselines: Baselines
    untrained: Scores
    probabilities: np.ndarray

    @property
    def parts(self) -> Parts:
        """The split it was trained and tested on."""
        return self.training.start.parts

    @property
    def labels(self) -> list[str]:
        """The labels, sorted."""
        return self.parts.labels

    @cached_property
    def test(self) -> Scores:
        """The trained model's scores."""
        test = self.parts.rows("test")
        predicted = self.probabilities[test].argmax(axis=1)
        return Scores("bag", predicted, self.parts.targets[test], self.training.start.seconds + self.training.seconds)

    @cached_property
    def confusion(self) -> np.ndarray:
        """Counts [C, C]: true labels in rows, predicted ones in columns."""
        return confusion_matrix(self.test.targets, self.test.predicted, labels=range(len(self.labels)))

    @cached_property
    def by_label(self) -> dict[str, dict[str, Any]]:
        """Precision, recall, F1 and number of test documents of each label."""
        numbers = precision_recall_fscore_support(
            self.test.targets, self.test.predicted, labels=range(len(self.labels)), zero_division=0
        )
        rows = zip(self.labels, *(values.tolist() for values in numbers), strict=True)
        names = ("precision", "recall", "f1", "documents")
        return {label: dict(zip(names, values, strict=True)) for label, *values in rows}

    @property
    def per_class(self) -> Table:
        """Precision, recall and F1 of each label, the worst first."""
        ranked = sorted(self.by_label.items(), key=lambda item: item[1]["f1"])
        rows = [(label, *values.values()) for label, values in ranked]
        return Table(["label", "precision", "recall", "F1", "test documents"], rows, "Labels, the hardest first")

    @property
    def mistakes(self) -> Table:
        """The test documents that got a wrong label, the surest first."""
        test, wrong = self.parts.rows("test"), np.flatnonzero(~self.test.right)
        sure = self.probabilities[test].max(axis=1)
        top = wrong[np.argsort(-sure[wrong], kind="stable")][:_MISTAKES]
        paths, labels = self.parts.documents["path"], self.labels
        said = zip(
            test[top].tolist(), self.test.targets[top], self.test.predicted[top], sure[top].tolist(), strict=True
        )
        rows = [(paths[row], labels[true], labels[predicted], share) for row, true, predicted, share in said]
        caption = f"{len(wrong):,} of {len(test):,} test documents got a wrong label; the surest of these"
        return Table(["path", "label", "predicted", "probability"], rows, caption)

    @property
    def verdict(self) -> Sentence:
        """One sentence: is it better than guessing, and how does it stand against LinearSVC?"""
        return Sentence(f"{_against_guessing(self)} {_against_svc(self)}")

    def shown(self) -> list[Table]:
        """Accuracy and macro F1 beside the baselines and the untrained network."""
        models = [self.test, self.baselines.linear_svc, self.baselines.majority, self.untrained]
        return [_scores_table(models)]


def evaluate(training: Training, baselines: Baselines, before: Scores) -> Evaluation:
    """Label every usable document with the trained model, and score the test part."""
    classifier = training.classifier
    logits = score(classifier.network, classifier.vocabulary.weigh(training.start.counts), classifier.device)
    return Evaluation(training, baselines, before, torch.softmax(logits, dim=1).numpy())


def _against_guessing(evaluation: Evaluation) -> str:
    """Say whether the model beats the commonest label; exact one-sided binomial test."""
    test, guess = evaluation.test, evaluation.baselines.majority.accuracy
    right, total = int(test.right.sum()), len(test.right)
    chance = binomtest(right, total, guess, alternative="greater").pvalue
    answer = "Yes: better" if chance < CHANCE else "No: not shown to be better"
    return (
        f"{answer} than guessing: {right:,} of {total:,} test documents got their label ({test.accuracy:.3f}), "
        f"always naming the commonest label gets {guess:.3f}; such guessing would do as well with a probability of "
        f"{_probability(chance)}."
    )


def _against_svc(evaluation: Evaluation) -> str:
    """Say how the model stands against LinearSVC; McNemar's exact test on the documents one of them gets right."""
    test, other = evaluation.test, evaluation.baselines.linear_svc
    ours, theirs = int((test.right & ~other.right).sum()), int((other.right & ~test.right).sum())
    if ours + theirs == 0:
        return f"No test document tells it from LinearSVC ({other.accuracy:.3f})."
    chance = binomtest(ours, ours + theirs, 0.5).pvalue
    how = "level with" if chance >= DIFFERENCE else "above" if ours > theirs else "below"
    return (
        f"It is {how} LinearSVC ({other.accuracy:.3f}): only it is right on {ours:,} documents, only LinearSVC on "
        f"{theirs:,}; equally good models would differ as much with a probability of {_probability(chance)}."
    )


def _probability(value: float) -> str:
    return "less than 0.001" if value < 0.001 else f"{value:.3f}"
