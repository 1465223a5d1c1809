from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from nbpipe.errors import WorkError
from nbpipe.train import pairs, text
from nbpipe.train.text import Counts, Vocabulary, count, count_parts, spans

ODD = [
    "Ab, ab-b İS x\nıab हिन्दी 😀 word",
    "",
    "a b",
    "ΟΔΟΣ ab_ab ab",
    None,
    "x² 中文 e\u0301t\u00a0ab\u2028ab",
    "ab word ab",
]


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
    assert Vocabulary.of(count(series("ab cd", "ab ef", "cd ab")), most=2).words == ["", "ab", "cd"]


def test_the_vocabulary_of_some_documents_is_that_of_their_texts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(text, "_BLOCK", 2)
    texts = series("ab ab cd", "ef", "cd ef", "", "ab gh ef")
    some, alone = Vocabulary.of(count(texts), np.array([4, 0])), Vocabulary.fit(texts[[0, 4]])
    assert (some.words, some.counts, some.documents) == (alone.words, alone.counts, alone.documents)
    assert some.bags(texts[[1, 0]]).weights.tolist() == some.weigh(count(texts)).take(np.array([1, 0])).weights.tolist()


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


def content(counts: Counts) -> tuple[list, ...]:
    sequence = counts.sequence
    ordered = (sequence.words.tolist(), sequence.offsets.tolist()) if sequence else ()
    return counts.words.to_list(), counts.columns.tolist(), counts.times.tolist(), counts.offsets.tolist(), *ordered


@pytest.mark.parametrize("bigrams", [False, True])
def test_counts_are_the_same_however_the_texts_are_cut_into_parts(bigrams: bool, monkeypatch: pytest.MonkeyPatch):
    texts = series(*ODD, *ODD)
    whole = content(count_parts([texts], order=True, bigrams=bigrams))
    monkeypatch.setattr(text, "_PIECE", 5)
    monkeypatch.setattr(text, "_LOOSE", 0)
    monkeypatch.setattr(pairs, "_AT_ONCE", 2)
    parts = [texts[:0], texts[:3], texts[3:4], texts[4:]]
    assert content(count_parts(parts, order=True, bigrams=bigrams)) == whole


def test_no_parts_make_empty_counts():
    counts = count_parts([], order=True, bigrams=True)
    assert (len(counts), len(counts.words), len(counts.sequence)) == (0, 0, 0)


def test_the_sequence_holds_the_words_in_reading_order():
    counts = count_parts([series("cd ab, a cd", None, "ef")], order=True)
    assert counts.words.gather(counts.sequence.words).to_list() == ["cd", "ab", "cd", "ef"]
    assert counts.sequence.offsets.tolist() == [0, 3, 3, 4]
    assert count(series("ab")).sequence is None


def test_taken_counts_take_their_sequence_along():
    taken = count_parts([series("ab cd", "ef", "cd ab")], order=True).take(np.array([2, 0]))
    assert taken.words.gather(taken.sequence.words).to_list() == ["cd", "ab", "ab", "cd"]


def test_tokens_are_rows_of_the_vocabulary_without_unknown_words():
    vocabulary = Vocabulary.fit(series("ab cd"))
    tokens = vocabulary.tokens(count_parts([series("cd zz ab", "zz", "ab")], order=True))
    assert tokens.words.tolist() == [2, 1, 1]
    assert tokens.offsets.tolist() == [0, 2, 2, 3]


def test_pairs_of_two_documents_are_words_and_no_pair_spans_two():
    counts = count_parts([series("ab cd, ef", "ef ab cd ab cd", "gh ef", "ab gh")], bigrams=True)
    assert counts.words.to_list() == ["ab", "ab cd", "cd", "ef", "gh"]
    assert dict(zip(counts.columns[4:8].tolist(), counts.times[4:8].tolist(), strict=True)) == {0: 2, 1: 2, 2: 2, 3: 1}


def test_a_vocabulary_takes_no_pair_that_one_of_its_documents_alone_holds():
    counts = count_parts([series("ab cd", "ab cd ef")], bigrams=True)
    assert Vocabulary.of(counts).words == ["", "ab", "ab cd", "cd", "ef"]
    assert Vocabulary.of(counts.take(np.array([1]))).bigrams is False


def test_a_vocabulary_with_pairs_finds_them_in_a_single_text():
    vocabulary = Vocabulary.of(count_parts([series("ab cd", "ab cd ef")], bigrams=True))
    bags = vocabulary.bags(series("zz ab CD zz ef"))
    assert vocabulary.bigrams
    assert [vocabulary.words[row] for row in bags.words] == ["ab", "ab cd", "cd", "ef"]


def test_spans_of_pairs_go_from_the_first_word_to_the_second():
    found = spans("Ab, x cd ef", bigrams=True)
    assert found == [(0, 2, "ab"), (0, 8, "ab cd"), (6, 8, "cd"), (6, 11, "cd ef"), (9, 11, "ef")]


@pytest.mark.parametrize("page", [page for page in ODD if page])
def test_pairs_in_spans_are_those_of_training(page: str):
    counted = count_parts([series(page, page)], bigrams=True)
    assert sorted({word for _, _, word in spans(page, bigrams=True)}) == counted.words.to_list()


def test_weights_are_those_of_scikit_learn():
    chance = np.random.default_rng(0)
    texts = [" ".join(f"w{number}" for number in chance.zipf(1.5, 60)) + " A_b c." for _ in range(50)]
    reference = TfidfVectorizer(sublinear_tf=True)
    wanted = reference.fit_transform(texts)
    vocabulary = Vocabulary.fit(series(*texts))
    bags = vocabulary.bags(series(*texts))
    assert vocabulary.words[1:] == reference.get_feature_names_out().tolist()
    assert bags.offsets.tolist() == wanted.indptr.tolist()
    wanted.sort_indices()
    assert (bags.words - 1).tolist() == wanted.indices.tolist()
    assert bags.weights == pytest.approx(wanted.data, abs=1e-6)
