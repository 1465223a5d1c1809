"""The explained sample: everything the notebook, the report and the widgets ask of it.

Unusual: what is asked is computed when it is first asked, and kept. A person who looks for another class of one
document, or another method, waits for that document only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import polars as pl

from nbpipe.config import Explain
from nbpipe.errors import RequestError, WorkError, nearest
from nbpipe.explain.agreement import Agreement, check_agreement
from nbpipe.explain.attribute import METHODS, Attributions, attributions
from nbpipe.explain.faithfulness import Control, Deletion, check_deletion, check_shuffled
from nbpipe.explain.highlight import Highlight, excerpts, words_of
from nbpipe.explain.leaks import TopWords, top_words
from nbpipe.explain.nearest import Nearest, Neighbours
from nbpipe.explain.onpage import PAGES, OnPage, Pages, on_pages
from nbpipe.explain.reasons import Mark, Reasons, gather, reading
from nbpipe.explain.review import SHOWN, Case, Review, Side
from nbpipe.explain.sample import Sample
from nbpipe.explain.suspects import Suspects, hunt
from nbpipe.explain.verdict import Judgement, judge
from nbpipe.preprocess.engines import cores
from nbpipe.preprocess.options import Options
from nbpipe.run import Run
from nbpipe.shown import Picture, Sentence, Shown, Table, words
from nbpipe.train.scores import confidence


@dataclass(frozen=True, eq=False, repr=False)
class Explained(Shown):
    """The explained sample; what is asked of it is computed when first asked.

    probabilities: float32 [N, C]; found: what the words add to the score of each document's predicted class.
    """

    sample: Sample
    probabilities: np.ndarray
    found: Attributions
    seconds: float
    _asked: dict[tuple[int, str, str], Attributions] = field(default_factory=dict)

    @property
    def config(self) -> Explain:
        """The parameters it was made with."""
        return self.sample.config

    @property
    def labels(self) -> list[str]:
        """The labels of the model, sorted."""
        return self.sample.classifier.labels

    @property
    def methods(self) -> list[str]:
        """The methods that documents can be explained by, the configured one first."""
        return sorted(METHODS, key=lambda name: name != self.config.method)

    @property
    def predicted(self) -> list[str]:
        """The predicted class of each document, the one that is explained."""
        return [self.labels[target] for target in self.found.targets]

    @cached_property
    def truth(self) -> np.ndarray:
        """Which labels each document holds: bool [N, C]."""
        return self.sample.classifier.truth(self.sample.documents["label"].to_list())

    @property
    def right(self) -> np.ndarray:
        """Whether each document holds the class that is explained: bool [N]."""
        return self.truth[np.arange(len(self.truth)), self.found.targets]

    @property
    def unsure(self) -> np.ndarray:
        """Whether each answer is one that is left to a person: bool [N]."""
        classifier = self.sample.classifier
        return confidence(self.probabilities, classifier.multi) < classifier.threshold

    @cached_property
    def listing(self) -> pl.DataFrame:
        """Every explained document: path, label, predicted, probability, right, unsure."""
        return self.sample.documents.select("path", "label").with_columns(
            predicted=pl.Series(self.predicted, dtype=pl.String),
            probability=pl.Series(self._best, dtype=pl.Float32),
            right=pl.Series(self.right, dtype=pl.Boolean),
            unsure=pl.Series(self.unsure, dtype=pl.Boolean),
        )

    @cached_property
    def deletion(self) -> Deletion:
        """The deletion check: the strongest words removed, against random ones."""
        return check_deletion(self.sample.classifier, self.found, self.config.top, self.config.seed)

    @cached_property
    def control(self) -> Control:
        """The control: the same explanations of models with shuffled weights."""
        return check_shuffled(self.sample.classifier, self.found, self.deletion, self.config.seed)

    @cached_property
    def agreement(self) -> Agreement:
        """The second opinion: another method on the same documents."""
        return check_agreement(self.sample.classifier, self.found, self.methods[1], self.config.top, self.config.seed)

    @cached_property
    def top_words(self) -> TopWords:
        """The strongest words of each predicted class."""
        return top_words(self.sample.classifier, self.found, self.config.top)

    @cached_property
    def suspects(self) -> Suspects:
        """The leak hunt: suspicious words, and what remains without them."""
        documents = list(self.sample.documents.select("path", "pages").iter_rows())
        return hunt(self.sample.classifier, self.found, documents, self.truth, self.config.top)

    @cached_property
    def judgement(self) -> Judgement:
        """The rules of belief, with their figures and the verdict."""
        found = judge(self.config, self.right, float(self.truth.mean(axis=0).max()), self.found, self.control)
        return replace(found, warning=self.suspects.finding.text if self.suspects.leaning else "")

    @property
    def sure(self) -> Highlight | Sentence:
        """The document that was rightly classified with the highest probability."""
        return self._example(self.right, self._best, "No explained document was classified right.")

    @property
    def mistake(self) -> Highlight | Sentence:
        """The document that was wrongly classified with the highest probability."""
        return self._example(~self.right, self._best, "No explained document was classified wrongly.")

    @property
    def undecided(self) -> Highlight | Sentence:
        """The document whose two likeliest classes were nearest to each other."""
        ranked = np.sort(np.pad(self.probabilities, ((0, 0), (1, 0))), axis=1)
        return self._example(np.ones(len(ranked), bool), ranked[:, -2] - ranked[:, -1], "No document was explained.")

    @property
    def mistake_page(self) -> Picture | Sentence:
        """The page of the document in `mistake` on which its strongest reasons stand."""
        return self._page_of(self.mistake)

    def _page_of(self, example: Highlight | Sentence) -> Picture | Sentence:
        return example if isinstance(example, Sentence) else self.page(example.title)

    def document(self, path: str, label: str | None = None, method: str | None = None) -> Highlight:
        """Return any explained document, coloured for one class (the predicted one) by one method (the config's).

        Raises RequestError where there is no such document, label or method.
        """
        number = self._number(path)
        return self._highlight(number, *self._reasons(number, label, method))

    def page(self, path: str, label: str | None = None, method: str | None = None) -> Picture | Sentence:
        """Return the page of a document where the strongest reasons stand, with its words boxed; else say why not."""
        found = self.on_pages([path], label, method, pages=1)[0]
        return (found.pictures or found.said)[0]

    def on_pages(
        self, paths: Sequence[str], label: str | None = None, method: str | None = None, pages: int = PAGES
    ) -> list[OnPage]:
        """Find documents' strongest words on their pages, and draw at most so many pages of each."""
        asked = [(path, *self._reasons(self._number(path), label, method)) for path in paths]
        reasons = [replace(self._facts[path], label=name, marks=marks_of(found, 0)) for path, name, found in asked]
        return on_pages(reasons, self._options, pages, cores())

    @cached_property
    def pages(self) -> Pages:
        """The pages of the documents that are looked at first: the surest right one, and those to review."""
        right = np.flatnonzero(self.right)
        first = right[np.argsort(-self._best[right], kind="stable")][:1].tolist()
        paths = [self.sample.documents["path"][number] for number in first]
        paths += [case.path for case in self.review.cases[:SHOWN]]
        return Pages(self.on_pages(list(dict.fromkeys(paths))))

    @cached_property
    def _facts(self) -> dict[str, Reasons]:
        """What the shards know of the explained documents, by path."""
        rows = [{"path": path, "predicted": "", "words": []} for path in self.sample.documents["path"]]
        return {one.path: one for one in gather(Run(self.config.run), self.sample.shards, rows)}

    @cached_property
    def _options(self) -> Options:
        return reading(self.sample.shards)

    @cached_property
    def review(self) -> Review:
        """The mistakes and the unsure documents, with both sides' reasons and the nearest training documents."""
        wrong, unsure = np.flatnonzero(~self.right), np.flatnonzero(self.right & self.unsure)
        wrong, unsure = wrong[np.argsort(-self._best[wrong])], unsure[np.argsort(self._best[unsure])]
        chosen = np.concatenate([wrong, unsure])
        near, lacking = self._near(chosen)
        cases = [
            Case(
                self.sample.documents["path"][number],
                "right" if self.right[number] else "wrong",
                self._side(number, self.found.targets[number], self.found.take(np.array([number]))),
                self._side(number, self.others[number], self._other(number)),
                found.found,
            )
            for number, found in zip(chosen.tolist(), near, strict=True)
        ]
        return Review(cases, len(self.right), lacking)

    @cached_property
    def others(self) -> np.ndarray:
        """The class to set beside the predicted one: int64 [N], the likeliest true one, else the next likely."""
        shares = np.where(self.truth, self.probabilities + 1, self.probabilities)
        shares[np.arange(len(shares)), self.found.targets] = -1
        return shares.argmax(axis=1)

    @cached_property
    def reviewed(self) -> Attributions:
        """What the words of the documents to review add to the score of `others`, in the order of the sample."""
        chosen = np.flatnonzero(~self.right | self.unsure)
        reading = self.found.reading.take(chosen)
        return attributions(self.sample.classifier, reading, self.others[chosen], self.config.method)

    def _other(self, number: int) -> Attributions:
        chosen = np.flatnonzero(~self.right | self.unsure)
        return self.reviewed.take(np.searchsorted(chosen, [number]))

    def _side(self, number: int, target: int, found: Attributions) -> Side:
        every = words_of(found.occurrences(0), found.reading.names).values()
        listed = sorted(((word.text, word.attribution) for word in every), key=lambda item: -item[1])
        return Side(self.labels[target], float(self.probabilities[number, target]), listed[: self.config.top])

    def _near(self, chosen: np.ndarray) -> tuple[list[Nearest], str]:
        """Return the nearest training documents of some documents, and why there are none."""
        classifier = self.sample.classifier
        inputs = self.found.reading.inputs.take(chosen)
        try:
            known = Neighbours.load(Run(self.config.run).model)
        except WorkError as error:
            return [Nearest([])] * len(chosen), f"{error}"
        return known.nearest(classifier.family.hidden(classifier.network, inputs, classifier.device)), ""

    @property
    def _best(self) -> np.ndarray:
        return self.probabilities.max(axis=1)

    def _number(self, path: str) -> int:
        paths = self.sample.documents["path"].to_list()
        if path not in paths:
            raise RequestError(f"path = {path!r}: not among the explained documents{nearest(path, paths)}")
        return paths.index(path)

    def _reasons(self, number: int, label: str | None, method: str | None) -> tuple[str, Attributions]:
        """Return the class and what was found for it; raise RequestError where label or method are unknown."""
        label, method = label or self.predicted[number], method or self.config.method
        for name, value, known in (("label", label, self.labels), ("method", method, self.methods)):
            if value not in known:
                raise RequestError(f"{name} = {value!r}: unknown{nearest(value, known)} (known: {', '.join(known)})")
        one = np.array([number])
        if (label, method) == (self.predicted[number], self.config.method):
            return label, self.found.take(one)
        key = (number, label, method)
        if key not in self._asked:
            target = np.array([self.labels.index(label)])
            reading = self.found.reading.take(one)
            self._asked[key] = attributions(self.sample.classifier, reading, target, method)
        return label, self._asked[key]

    def _example(self, among: np.ndarray, keys: np.ndarray, none: str) -> Highlight | Sentence:
        if not among.any():
            return Sentence(none)
        number = int(np.where(among, keys, -np.inf).argmax())
        return self._highlight(number, *self._reasons(number, None, None))

    def _highlight(self, number: int, label: str, found: Attributions) -> Highlight:
        path, truth, pages, _ = self.sample.documents.row(number)
        outcome = "right" if self.right[number] else f"wrong, its label is {truth}"
        claim = f"Predicted {self.predicted[number]} with probability {self._best[number]:.2f}: {outcome}."
        places = found.occurrences(0)
        every = words_of(places, found.reading.names)
        strongest = list(every.values())[: self.config.top]
        return Highlight(path, claim, label, strongest, len(every), excerpts(pages, places, every, self.config.top))

    def shown(self) -> list[Table | Sentence]:
        """How many documents were explained, how exactly and how fast."""
        found, many = self.found, len(self.right)
        exact = [
            ("completeness gap, largest", f"{found.gaps.max():.3%}"),
            ("completeness gap, median", f"{np.median(found.gaps):.3%}"),
            ("steps, at most", int(found.steps.max())),
        ]
        rows = [
            ("documents explained", many),
            ("classified right", int(self.right.sum())),
            ("left to a person, as too unsure", int(self.unsure.sum())),
            ("places of known words", len(found.places)),
            ("documents without any known word", int((found.reading.sizes == 0).sum())),
            *(exact if found.method == METHODS[0] else []),
        ]
        rate = words(many / self.seconds)
        return [Table(["explained", ""], rows, f"Measured: {self.seconds:,.1f} s, {rate} documents a second")]


def marks_of(found: Attributions, document: int) -> list[Mark]:
    """Return the places of one document's words (0-based)."""
    page, start, end, row, attribution = found.occurrences(document)
    columns = (page.tolist(), start.tolist(), end.tolist(), found.reading.names.gather(row), attribution.tolist())
    return [Mark(*values) for values in zip(*columns, strict=True)]
