from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nbpipe.errors import WorkError
from nbpipe.train.text import Vocabulary, count, spans


def series(*texts: str | None) -> pl.Series:
    return pl.Series(texts, dtype=pl.String)


def test_words_are_runs_of_two_characters_or_more_in_lower_case():
    assert count(series("A Bee, x2 b-cd C_d")).words.to_list() == ["bee", "c_d", "cd", "x2"]


def test_every_document_keeps_its_own_counts():
    counts = count(series("ab ab cd", None, "", "cd"))
    assert counts.offsets.tolist() == [0, 2, 2, 2, 3]
    assert counts.times.tolist() == [2, 1, 1]


def test_taken_counts_are_those_of_the_taken_texts():
    taken, alone = count(series("ab ab cd", "ef", "cd ef")).take(np.array([2, 0])), count(series("cd ef", "ab ab cd"))
    words = [taken.words[column] for column in taken.columns.tolist()]
    assert words == [alone.words[column] for column in alone.columns.tolist()]
    assert taken.times.tolist() == alone.times.tolist()


@pytest.mark.parametrize("page", ["Ab, ab-b İS x\nıab हिन्दी 😀 word", "", "a b", "ΟΔΟΣ ab_ab ab"])
def test_spans_find_the_words_of_training_where_they_stand(page: str):
    found = spans(page)
    assert sorted({word for _, _, word in found}) == count(series(page)).words.to_list()
    assert all(page[start:end].lower() == word for start, end, word in found)
    assert sum(count(series(page)).times) == len(found)
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(found))


def test_weights_of_a_document_have_length_one():
    texts = series("ab ab cd ef", "cd", "ef gh")
    bags = Vocabulary.fit(texts).bags(texts)
    lengths = np.add.reduceat(bags.weights**2, bags.offsets[:-1])
    assert lengths == pytest.approx(np.ones(3))


def test_a_rare_word_weighs_more_than_a_common_one():
    vocabulary = Vocabulary.fit(series("common rare", "common", "common"))
    assert vocabulary.idf[vocabulary.index["rare"]] > vocabulary.idf[vocabulary.index["common"]]
    assert vocabulary.idf[0] == 0


def test_unknown_words_make_an_empty_bag():
    bags = Vocabulary.fit(series("ab cd")).bags(series("zz yy", "ab"))
    assert bags.offsets.tolist() == [0, 0, 1]
    assert bags.words.tolist() == [1]


def test_the_most_frequent_words_are_kept():
    assert Vocabulary.fit(series("ab cd", "ab ef", "cd ab"), most=2).words == ["", "ab", "cd"]


def test_a_saved_vocabulary_gives_the_same_weights(tmp_path: Path):
    texts = series("ab cd", "é ab çd")
    vocabulary = Vocabulary.fit(texts)
    vocabulary.save(tmp_path / "vocabulary.json")
    loaded = Vocabulary.load(tmp_path / "vocabulary.json").bags(texts)
    assert loaded.weights.tobytes() == vocabulary.bags(texts).weights.tobytes()


def test_a_vocabulary_of_another_rule_is_refused(tmp_path: Path):
    path = tmp_path / "vocabulary.json"
    Vocabulary.fit(series("ab")).save(path)
    path.write_text(path.read_text().replace("{2,}", "{3,}"))
    with pytest.raises(WorkError, match="another version"):
        Vocabulary.load(path)
