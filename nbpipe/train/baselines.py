"""What any model has to beat on the same test documents: the commonest answer, and a linear model.

Unusual: the linear one is scikit-learn's LinearSVC on the very words and weights that a bag reads, so the corpus is not
turned into text a second time, and what differs is the model alone.
"""

import time
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from sklearn.svm import LinearSVC

from nbpipe.config import Train
from nbpipe.shown import Shown, Table
from nbpipe.train.corpus import Documents
from nbpipe.train.families import BAG
from nbpipe.train.scores import Scores, compared, decide
from nbpipe.train.split import Parts
from nbpipe.train.text import Bags


@dataclass(frozen=True, eq=False, repr=False)
class Baselines(Shown):
    """The scores of the baselines on the test part."""

    majority: Scores
    linear_svc: Scores

    @property
    def accuracies(self) -> dict[str, float]:
        """The accuracy of each baseline, by its name."""
        return {model.name: model.accuracy for model in (self.majority, self.linear_svc)}

    def shown(self) -> list[Table]:
        """Accuracy and macro F1 of the baselines."""
        return [compared([self.majority, self.linear_svc])]


def fit_baselines(documents: Documents, parts: Parts, config: Train) -> Baselines:
    """Fit the commonest answer, and TF-IDF with LinearSVC, on all labelled documents that are not for the test.

    Raises WorkError where these documents hold no words.
    """
    began = time.perf_counter()
    learn, test = parts.rows("train", "validation"), parts.rows("test")
    answers, counts = np.unique(parts.truth[learn], axis=0, return_counts=True)
    commonest = np.tile(answers[counts.argmax()], (len(test), 1))
    majority = Scores("majority", commonest, parts.truth[test], time.perf_counter() - began)
    began = time.perf_counter()
    vocabulary = BAG.vocabulary(documents, learn)
    table = as_table(BAG.inputs(vocabulary, documents), len(vocabulary))
    margins = _margins(table[learn], table[test], parts, config)
    predicted = margins > 0 if parts.multi else decide(margins, False)
    return Baselines(majority, Scores("linear_svc", predicted, parts.truth[test], time.perf_counter() - began))


def as_table(bags: Bags, words: int) -> csr_array:
    """Return bags as a sparse table of weights [N, V]."""
    places = (bags.words, bags.offsets.astype(np.int32))  # LinearSVC takes no others
    return csr_array((bags.weights, *places), shape=(len(bags), words))


def _margins(learn: csr_array, test: csr_array, parts: Parts, config: Train) -> np.ndarray:
    """Return how far each test document lies on the side of each label: [N, C]."""
    rows = parts.rows("train", "validation")
    weights, truth = parts.weights(rows, config.weighting), parts.truth[rows]
    margins = np.empty((test.shape[0], truth.shape[1]))
    for label, held in enumerate(truth.T):
        if held.all() or not held.any():  # nothing to tell apart
            margins[:, label] = 1 if held.all() else -1
        else:
            model = LinearSVC(random_state=parts.seed).fit(learn, held, sample_weight=weights)
            margins[:, label] = model.decision_function(test)
    return margins
