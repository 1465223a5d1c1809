"""What a second look at the documents tells: which labels are likely wrong, and whether more documents would help.

Unusual: it is taken by bags, whatever family was trained. They learn in seconds from any part of the documents, so each
document can be judged by models that never saw it, and a training part can be grown; a GPU's hours are not paid twice.
"""

from dataclasses import dataclass

import numpy as np
import torch

from nbpipe.shown import Sentence, Shown, Table
from nbpipe.train.calibrate import fit_temperature, probabilities
from nbpipe.train.families import BAG
from nbpipe.train.fit import Training
from nbpipe.train.growth import SHARES, Growth, growth, subsets
from nbpipe.train.mislabelled import Mislabelled, folds, mislabelled, unable
from nbpipe.train.rounds import Round
from nbpipe.train.scores import Scores, decide, guesses
from nbpipe.train.text import Vocabulary

FOLDS = 3
EPOCHS = 5  # where the family that was trained is no bag


@dataclass(frozen=True, eq=False, repr=False)
class Second(Shown):
    """The labels in doubt, and the scores by the number of documents learnt from."""

    mislabelled: Mislabelled
    growth: Growth

    def shown(self) -> list[Table | Sentence]:
        """Both."""
        return [*self.mislabelled.shown(), *self.growth.shown()]


def look_again(training: Training) -> Second:
    """Judge every labelled document by bags that did not learn from it, and train bags on growing parts."""
    return Second(_doubts(training), _growth(training))


def _doubts(training: Training) -> Mislabelled:
    parts = training.start.parts
    rows = parts.rows("train", "validation", "test")
    truth = parts.truth[rows]
    dealt = folds(parts.documents["unit"].to_numpy()[rows], parts.targets[rows], FOLDS, parts.seed)
    logits = np.zeros(truth.shape, np.float32)
    for fold in np.unique(dealt):
        held = dealt == fold
        logits[held] = _bag(training, rows[~held], rows[held])
    shares = probabilities(logits, parts.multi, fit_temperature(logits, truth, parts.multi))
    paths = parts.documents["path"].gather(rows).to_list()
    able = not guesses(Scores("bag", decide(shares, parts.multi), truth))
    return mislabelled(shares, truth, parts.multi, paths, parts.labels) if able else unable(truth, paths, parts.labels)


def _growth(training: Training) -> Growth:
    parts = training.start.parts
    learn, test = parts.rows("train", "validation"), parts.rows("test")
    units = parts.documents["unit"].to_numpy()[learn]
    chosen = {len(found): learn[found] for found in subsets(units, parts.truth[learn], SHARES, parts.seed)}
    said = [decide(probabilities(_bag(training, rows, test), parts.multi), parts.multi) for rows in chosen.values()]
    return growth(list(chosen), said, parts.truth[test], parts.seed)


def _bag(training: Training, rows: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return the logits [M, C] of the documents `asked`, by a bag that learnt from `rows`."""
    start = training.start
    vocabulary = Vocabulary.of(start.documents.counts, rows)
    if len(vocabulary) == 1:  # no word to learn from
        return np.zeros((len(asked), len(start.parts.labels)), np.float32)
    bags = vocabulary.weigh(start.documents.counts)
    torch.manual_seed(start.config.seed)
    network = BAG.network(vocabulary, len(start.parts.labels))
    learner = BAG.learner(network, vocabulary, bags, start.task)
    Round("second", learner, rows, start.config.seed).epochs(len(training.again) or EPOCHS)
    return BAG.score(network, bags.take(asked), torch.device("cpu")).numpy()
