"""The baselines are what scikit-learn says, on the same words and the same test documents."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from nbpipe.config import Train
from nbpipe.errors import WorkError
from nbpipe.train.baselines import Baselines, as_table, fit_baselines
from nbpipe.train.corpus import Documents, read_documents
from nbpipe.train.split import Parts, split
from nbpipe.train.text import Vocabulary
from nbpipe.train.words import RULE

MakeRun = Callable[..., Path]
Fit = Callable[..., tuple[Documents, Parts, Baselines]]


@pytest.fixture
def fitted(make_run: MakeRun, tmp_path: Path) -> Fit:
    """Return a function that fits the baselines to texts by path, labelled by folder or by a dictionary."""

    def run(
        texts: dict[str, str], labels: dict[str, str] | None = None, **parameters: object
    ) -> tuple[Documents, Parts, Baselines]:
        if labels:
            file = parameters["labels"] = tmp_path / "labels.csv"
            file.write_text("\n".join(["path,label", *(f"{path},{label}" for path, label in labels.items())]))
        config = Train(run=make_run(texts), **parameters)
        documents = read_documents(config)
        parts = split(documents.usable, config.seed)
        return documents, parts, fit_baselines(documents, parts, config)

    return run


def noisy(few: int, many: int) -> dict[str, str]:
    """Return texts of two labels whose words are mostly shared."""
    chance = np.random.default_rng(0)
    common = [f"common{number}" for number in range(30)]
    return {
        f"{label}/{index}": " ".join(
            [*chance.choice(common, 12), f"own{label}{chance.integers(4)}", f"id{index}{label}"]
        )
        for label, number in (("few", few), ("many", many))
        for index in range(number)
    }


def test_the_majority_names_the_commonest_label_of_what_is_not_test(fitted: Fit):
    _, parts, baselines = fitted(noisy(5, 15))
    assert baselines.majority.predicted.tolist() == [[False, True]] * len(parts.rows("test"))
    assert baselines.majority.accuracy == pytest.approx(0.75)


def test_of_several_labels_the_commonest_set_is_the_majority(fitted: Fit):
    texts = noisy(10, 20)
    labels = {path: "a|b" if path.startswith("many") else "a" for path in texts}
    _, parts, baselines = fitted(texts, labels)
    assert parts.multi
    assert baselines.majority.predicted.all()


def test_linear_svc_is_that_of_scikit_learn(fitted: Fit, made: dict[str, str]):
    _, parts, baselines = fitted(made)
    learn, test = parts.rows("train", "validation"), parts.rows("test")
    texts = np.array([made[path] for path in parts.documents["path"]])
    rule = RULE.replace(r"\p{L}\p{M}\p{N}_", r"\w")
    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=rule).fit(texts[learn])
    model = LinearSVC(random_state=0).fit(vectorizer.transform(texts[learn]), parts.targets[learn])
    expected = model.predict(vectorizer.transform(texts[test]))
    assert baselines.linear_svc.predicted.argmax(axis=1).tolist() == expected.tolist()
    assert baselines.accuracies["linear_svc"] > 0.9


def test_weights_are_the_words_of_the_documents_that_are_learnt(fitted: Fit):
    documents, parts, _ = fitted(noisy(5, 15))
    vocabulary = Vocabulary.of(documents.counts, parts.rows("train", "validation"))
    table = as_table(vocabulary.weigh(documents.counts), len(vocabulary))
    assert table.shape == (20, len(vocabulary))
    assert np.linalg.norm(table.toarray(), axis=1) == pytest.approx(np.ones(20), abs=1e-5)


def test_of_several_labels_each_is_its_own_question(fitted: Fit, made: dict[str, str]):
    labels = {path: f"{path.split('/')[0]}|all" for path in made} | {"cooking/00.txt": "cooking|sky|all"}
    _, parts, baselines = fitted(made, labels)
    assert baselines.linear_svc.accuracy > 0.9
    assert baselines.linear_svc.predicted[
        :, parts.labels.index("all")
    ].all()  # a label of all documents: nothing to ask


def test_balanced_weights_find_more_of_the_rare_label(fitted: Fit):
    texts = noisy(8, 150)
    found = [fitted(texts, weighting=name)[2].linear_svc.by_label(["few", "many"]) for name in ("none", "balanced")]
    assert found[1]["few"]["recall"] > found[0]["few"]["recall"]


def test_documents_without_words_are_refused(fitted: Fit):
    with pytest.raises(WorkError, match="the documents to learn from hold no words"):
        fitted({f"{label}/{index}": "- " * (index + 1) for label in "ab" for index in range(0, 60, 6)})


def test_the_table_shows_both(fitted: Fit):
    shown = repr(fitted(noisy(5, 15))[2])
    assert "majority" in shown
    assert "linear_svc" in shown
