"""The leak hunt suspects words by where they stand, and tells what remains without them."""

from collections.abc import Callable

import numpy as np
import pytest

from nbpipe.explain.attribute import Attributions
from nbpipe.explain.suspects import Suspect, Suspects, hunt
from nbpipe.train.model import Classifier

CLASS, FILE, NUMBER, LINE, EXCLUSIVE, ALONE = range(6)
WORDS = ["kedan", "lidan", "modan", "nudan"]
Hunt = Callable[..., Suspects]


@pytest.fixture
def look(explain: Callable[..., Attributions]) -> Hunt:
    """Hunt in documents: (path, pages) with their labels."""

    def run(classifier: Classifier, documents: list[tuple[str, list[str]]], labels: list[str]) -> Suspects:
        found = explain(classifier, [pages for _, pages in documents])
        return hunt(classifier, found, documents, classifier.truth(labels), 3)

    return run


def test_a_model_that_knows_names_only_falls_without_them(wise: Classifier, look: Hunt) -> None:
    wise.labels[:] = ["télescope", "oven", "mast"]
    documents = [(f"{number}.txt", [f"{name} badan kedan"]) for number, name in enumerate(wise.labels * 3)]
    found = look(wise, documents, wise.labels * 3)
    assert (found.right, found.kinds[CLASS].documents) == (9, 9)
    assert found.kinds[CLASS].right < 6
    assert "names of classes" in found.leaning
    assert f"without names of classes {found.kinds[CLASS].right}" in found.finding.text


def test_words_of_the_file_name_are_suspected(wise: Classifier, look: Hunt) -> None:
    found = look(wise, [("x/oven_7.txt", ["oven badan"]), ("x/other.txt", ["oven kedan"])], ["cooking"] * 2)
    assert (found.kinds[FILE].documents, found.kinds[FILE].words) == (1, ("oven",))


def test_a_line_of_every_document_is_suspected_a_word_of_a_sentence_is_not(wise: Classifier, look: Hunt) -> None:
    documents = [(f"{number}.txt", [f"Oven 200{number}\nbadan {word}"]) for number, word in enumerate(WORDS)]
    found = look(wise, documents, ["cooking"] * 4)
    assert "oven" in found.kinds[LINE].words
    assert "badan" not in found.kinds[LINE].words


def test_a_line_of_every_page_is_suspected(wise: Classifier, look: Hunt) -> None:
    found = look(wise, [("a.txt", [f"The Oven\nbadan {word}" for word in WORDS])], ["cooking"])
    assert "oven" in found.kinds[LINE].words
    assert "kedan" not in found.kinds[LINE].words


@pytest.mark.parametrize("line", ["Page 7", "- 7 -", "7 of 12", "Seite 7 von 12", "7/12"])
def test_page_numbers_are_told_from_other_numbers(line: str, wise: Classifier, look: Hunt) -> None:
    from nbpipe.explain.suspects import _NUMBER, _cut

    assert _NUMBER.fullmatch(_cut(line)[1][0])
    assert not _NUMBER.fullmatch(_cut(f"{line} mast")[1][0])


def test_the_word_that_decides_alone_is_tested(wise: Classifier, look: Hunt) -> None:
    words = {"cooking": "oven", "sailing": "mast", "astronomy": "télescope"}
    found = look(wise, [("a.txt", [f"{word} badan kedan"]) for word in words.values()], list(words))
    assert set(found.kinds[ALONE].words) == set(words.values())
    assert found.kinds[ALONE].right == 1 < found.right == 3
    assert found.facts()[found.kinds[ALONE].kind] == {"documents": 3, "right": 1}


def test_without_a_fall_no_leak_is_said_to_show() -> None:
    kinds = [Suspect("names of classes", 3, ("oven",), 89), Suspect("page numbers", 0, (), 90)]
    assert Suspects(kinds, 90, 100).finding.text.startswith("No leak of these kinds shows: as they are, 90 of 100")


@pytest.mark.parametrize(
    ("before", "after", "explained", "leaning"),
    [(10, 9, 10, False), (10, 8, 10, True), (90, 86, 100, False), (90, 85, 100, True)],
)
def test_a_fall_counts_from_two_documents_and_a_twentieth_on(
    before: int, after: int, explained: int, leaning: bool
) -> None:
    found = Suspects([Suspect("page numbers", 9, (), after)], before, explained)
    assert bool(found.leaning) is leaning


def test_of_a_model_that_guesses_no_leak_can_be_told() -> None:
    found = Suspects([Suspect("page numbers", 9, (), 0)], right=30, explained=100, guess=30)
    assert (found.leaning, found.finding.text[:22]) == ([], "No leak can be told: a")


def test_many_words_of_one_class_alone_are_suspected_together(wise: Classifier, look: Hunt) -> None:
    words = {"cooking": "oven dough", "sailing": "mast sail", "astronomy": "télescope comet"}
    documents = [(f"{name}{at}.txt", [f"{both} badan kedan"]) for name, both in words.items() for at in range(3)]
    found = look(wise, documents, [name for name in words for _ in range(3)])
    assert "oven" in found.kinds[EXCLUSIVE].words
    assert not {"badan", "kedan"} & set(found.kinds[EXCLUSIVE].words)
    assert found.kinds[EXCLUSIVE].right < found.right == 9
    assert found.kinds[EXCLUSIVE].kind in found.leaning


def test_the_words_of_a_mail_header_are_suspected_and_not_those_of_its_text(wise: Classifier, look: Hunt) -> None:
    documents = [(f"{word}.txt", [f"From: oven {word}\nbadan {word}"]) for word in WORDS]
    found = look(wise, documents, ["cooking"] * 4)
    assert "oven" in found.kinds[LINE].words
    assert not {"badan", *WORDS} & set(found.kinds[LINE].words)


def test_documents_without_words_are_no_reason_to_stop(wise: Classifier, look: Hunt) -> None:
    found = look(wise, [("a.txt", [""]), ("b.txt", ["", ""])], ["cooking"] * 2)
    assert [suspect.documents for suspect in found.kinds] == [0] * 6
    assert np.isfinite([suspect.right for suspect in found.kinds]).all()
