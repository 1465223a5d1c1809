import numpy as np
import polars as pl

from nbpipe.train.twins import Sketches, shingles

WORDS = np.array([f"word{number}" for number in range(3_000)])


def made(number: int, length: int = 300, seed: int = 0) -> list[str]:
    drawn = np.random.default_rng(seed).zipf(1.3, (number, length)) % len(WORDS)
    return [" ".join(words) for words in WORDS[drawn]]


def edited(text: str, share: float, seed: int) -> str:
    chance, words = np.random.default_rng(seed), text.split()
    for place in chance.choice(len(words), round(share * len(words)), replace=False):
        words[place] = f"new{chance.integers(10**6)}"
    return " ".join(words)


def framed(text: str) -> str:
    return f"Draft, printed by the archive\n{text}\nAll rights reserved, page one of nine"


def sketches(*pieces: list[str | None]) -> Sketches:
    kept = Sketches()
    for piece in pieces:
        kept.add(pl.Series(piece, dtype=pl.String))
    return kept


def test_copies_with_a_few_edited_words_a_header_and_a_footer_are_found():
    texts = made(200)
    near = [framed(edited(text, 0.03, seed)) for seed, text in enumerate(texts)]
    groups = sketches(texts, near).groups()
    assert (groups[200:] == np.arange(200)).mean() >= 0.95
    assert len(np.unique(groups[:200])) == 200


def test_texts_that_share_half_their_words_are_no_twins():
    texts = made(200)
    other = [edited(text, 0.3, seed) for seed, text in enumerate(texts)]
    assert sketches(texts, other).groups().tolist() == list(range(400))


def test_white_space_and_case_make_no_difference_to_copies():
    kept = sketches(["Two  Words", "other words here", " two\nwords ", "TWO WORDS"])
    assert kept.copies().tolist() == [0, 1, 0, 0]
    assert kept.groups().tolist() == [0, 1, 0, 0]


def test_texts_shorter_than_a_shingle_are_told_apart():
    assert sketches(["one two", "one", "two one", "one two!"]).groups().tolist() == [0, 1, 2, 0]


def test_the_number_of_a_near_copy_is_no_copy():
    text = made(1)[0]
    kept = sketches([text, edited(text, 0.01, 1)])
    assert kept.copies().tolist() == [0, 1]
    assert kept.groups().tolist() == [0, 0]


def test_texts_without_words_are_twins_only_where_equal_and_visible():
    assert sketches(["!!!", "???", "", " \n", None, None, "!!!"]).groups().tolist() == [0, 1, 2, 3, 4, 5, 0]


def test_near_copies_of_near_copies_are_one_group():
    chain = [made(1)[0]]
    for step in range(12):
        chain.append(edited(chain[-1], 0.02, step))
    assert sketches([chain[0], chain[-1]]).groups().tolist() == [0, 1]
    assert set(sketches(chain).groups()) == {0}


def test_pieces_make_no_difference():
    texts = [*made(30), *made(30), *(edited(text, 0.02, 5) for text in made(30))]
    whole = sketches(texts)
    assert sketches(texts[:7], [], texts[7:40], texts[40:]).groups().tolist() == whole.groups().tolist()
    assert len(whole) == 90


def test_an_order_numbers_the_documents_it_names():
    one, other = made(2)
    kept = sketches([one, other, edited(one, 0.02, 0), other.upper()])
    assert kept.groups(np.array([3, 2, 1, 0])).tolist() == [0, 1, 0, 1]
    assert kept.copies(np.array([2, 1])).tolist() == [0, 1]


def test_a_thousand_variants_of_a_form_are_one_group():
    form = made(1, length=200)[0]
    texts = [edited(form, 0.01, seed) for seed in range(1_000)]
    assert set(sketches(texts).groups()) == {0}


def test_nothing_is_no_group():
    assert sketches().groups().tolist() == []
    assert sketches([]).copies().tolist() == []


def test_shingles_are_three_words_in_a_row_and_never_cross_documents():
    hashes, offsets = shingles(pl.Series(["one two three four", "", "two three four", "one", "Three"]))
    assert offsets.tolist() == [0, 2, 2, 3, 4, 5]
    assert hashes[1] == hashes[2]
    assert len(np.unique(hashes)) == 4


def test_hashes_of_shingles_are_the_same_in_every_process():
    assert shingles(pl.Series(["Ärger"]))[0].tolist() == [15018086632439684236]
