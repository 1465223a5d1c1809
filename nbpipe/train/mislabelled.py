"""Which given labels are likely wrong, by confident learning: Northcutt et al. 2021, arXiv:1911.00068.

Unusual: this is the published rule, since the library of its authors is under the AGPL. How many labels are wrong comes
from the confident joint, which of them from the margins of probability. With 5% of the labels of 20ng's and R8's
training parts changed at random, the probabilities of a linear model so find 88% and 97% of the changed ones; two
thirds and 83% of what is doubted was changed. Doubting what stands off the joint's diagonal found 73% and 79%, and of
as many as were changed fewer were right. With many labels a document, each label is a question of its own: yes or no.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nbpipe.shown import Sentence, Shown, Table
from nbpipe.train.scores import joined

_SHOWN = 20


class Doubts(NamedTuple):
    """What one question leaves in doubt. answer: int64 [N], the one suggested; the one given where there is no doubt.

    margin: [N], probability of the given answer less that of the likeliest other; wrong: estimated number of
    wrong ones.
    """

    answer: np.ndarray
    margin: np.ndarray
    wrong: float


def confident_learning(probabilities: np.ndarray, given: np.ndarray) -> Doubts:
    """Doubt given answers, int64 [N], by out-of-fold probabilities [N, K], at most as many as are likely wrong.

    Doubted are the lowest margins among those below 0; suggested is the likeliest other answer.
    """
    rows, wrong = np.arange(len(given)), _count_wrong(probabilities, given)
    others = probabilities.copy()
    others[rows, given] = -1
    margin = probabilities[rows, given] - others.max(axis=1)
    lowest = np.argsort(margin, kind="stable")[: round(wrong)]
    answer, doubted = given.copy(), lowest[margin[lowest] < 0]
    answer[doubted] = others[doubted].argmax(axis=1)
    return Doubts(answer, margin, wrong)


def _count_wrong(probabilities: np.ndarray, given: np.ndarray) -> float:
    """Return the estimated number of wrong answers.

    A document counts for the likeliest answer among those that reach their threshold, the mean probability of an answer
    over documents that were given it. These counts by the answer given are the confident joint; each of its rows is
    scaled to the number of documents given that answer, and what is off the diagonal is wrong.
    """
    number = probabilities.shape[1]
    many = np.bincount(given, minlength=number)
    sums = np.bincount(given, probabilities[np.arange(len(given)), given], minlength=number)
    thresholds = np.where(many > 0, sums / np.maximum(many, 1), np.inf)
    reached = np.where(probabilities >= thresholds - 1e-6, probabilities, -1)  # rounding aside
    confident, answer = reached.max(axis=1) >= 0, reached.argmax(axis=1)
    joint = np.zeros((number, number))
    np.add.at(joint, (given[confident], answer[confident]), 1)
    shares = np.diag(joint) / np.maximum(joint.sum(axis=1), 1)
    return float(many @ np.where(joint.any(axis=1), 1 - shares, 0))


@dataclass(frozen=True, eq=False, repr=False)
class Mislabelled(Shown):
    """Documents whose labels are likely wrong, the likeliest first.

    rows: int64 [M], their positions; given, suggested: bool [M, C]; margin: [M], the lower the surer; share: estimated
    number of wrong labels a document, over `documents` of them. paths: of all documents; labels: sorted; able: whether
    the models that judge know more than a guess.
    """

    rows: np.ndarray
    given: np.ndarray
    suggested: np.ndarray
    margin: np.ndarray
    share: float
    paths: Sequence[str]
    labels: list[str]
    able: bool = True

    @property
    def sentence(self) -> Sentence:
        """One sentence: how many labels are in doubt, and how many are likely wrong."""
        if not self.able:
            return Sentence("No label can be doubted: the models that would judge know no more than a guess.")
        total = len(self.paths)
        return Sentence(
            f"{len(self.rows):,} of {total:,} labelled documents likely have a wrong label; by what the model takes "
            f"for what, about {self.share * total:,.0f} labels are wrong."
        )

    def facts(self) -> dict[str, float]:
        """Return what metrics.json says of it."""
        return {"doubted": len(self.rows), "share": self.share, "documents": len(self.paths)}

    def shown(self) -> list[Table | Sentence]:
        """The documents in most doubt with the label they have and the one suggested, and the sentence."""
        rows = [
            (self.paths[int(row)], joined(given, self.labels), joined(suggested, self.labels), -float(margin))
            for row, given, suggested, margin in zip(self.rows, self.given, self.suggested, self.margin, strict=True)
        ][:_SHOWN]
        caption = f"Labels in doubt, the surest {len(rows)} of {len(self.rows):,}; 1 is surest"
        return [Table(["path", "label", "likelier", "how sure"], rows, caption), self.sentence]


def mislabelled(
    probabilities: np.ndarray, truth: np.ndarray, multi: bool, paths: Sequence[str], labels: list[str]
) -> Mislabelled:
    """Find labels that are likely wrong by probabilities [N, C] of models that did not learn from the document.

    truth: bool [N, C]. With `multi` each label is asked for on its own, a document's margin is that of its label in
    most doubt.
    """
    suggested, margin, wrong = truth.copy(), np.ones(len(truth)), 0.0
    if multi:
        for place in range(truth.shape[1]):
            yes = probabilities[:, place]
            found = confident_learning(np.stack([1 - yes, yes], axis=1), truth[:, place].astype(np.int64))
            suggested[:, place] = found.answer
            margin = np.where(found.answer != truth[:, place], np.minimum(margin, found.margin), margin)
            wrong += found.wrong
    else:
        answer, margin, wrong = confident_learning(probabilities, truth.argmax(axis=1))
        suggested = np.arange(truth.shape[1]) == answer[:, None]
    rows = np.flatnonzero((suggested != truth).any(axis=1))
    rows = rows[np.argsort(margin[rows], kind="stable")]
    return Mislabelled(rows, truth[rows], suggested[rows], margin[rows], wrong / len(truth), paths, labels)


def unable(truth: np.ndarray, paths: Sequence[str], labels: list[str]) -> Mislabelled:
    """Return what models say of labels that themselves know no more than a guess: nothing."""
    none = truth[:0]
    return Mislabelled(np.zeros(0, np.int64), none, none, np.zeros(0), 0.0, paths, labels, able=False)


def folds(units: np.ndarray, strata: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Deal documents to folds: int64 [N], 0 to number - 1; some stay empty where there are fewer units.

    units: int64 [N], documents of one unit share a fold; strata: int64 [N], every fold gets its share of each. A unit
    has the stratum of its first document. Within a stratum the largest unit is dealt first, always to the fold with
    fewest documents of the stratum, then fewest of all. scikit-learn's StratifiedGroupKFold does the same by looking at
    all folds for each unit, which takes it 1 ms a unit.
    """
    _, first, place, sizes = np.unique(units, return_index=True, return_inverse=True, return_counts=True)
    chance = np.random.default_rng(seed)
    stratum = strata[first]
    totals, dealt = [0] * number, np.zeros(len(sizes), dtype=np.int64)
    order = np.lexsort((chance.random(len(sizes)), -sizes, stratum))
    for group in np.split(order, np.flatnonzero(np.diff(stratum[order])) + 1):
        ranks = chance.permutation(number).tolist()
        heap = sorted((0, totals[fold], ranks[fold], fold) for fold in range(number))
        for unit, size in zip(group.tolist(), sizes[group].tolist(), strict=True):
            held, total, rank, fold = heap[0]
            dealt[unit] = fold
            totals[fold] = total + size
            heapq.heapreplace(heap, (held + size, total + size, rank, fold))
    return dealt[place]
