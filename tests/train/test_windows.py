import numpy as np
import pytest
import torch

from nbpipe.train import windows as module
from nbpipe.train.windows import Corpus, Piece, Tokens, by_length, cut, deal, draw

CPU = torch.device("cpu")


def tokens(*lengths: int) -> Tokens:
    """Documents of these lengths; the words are numbered from 1 on."""
    return Tokens(np.arange(1, sum(lengths) + 1, dtype=np.int32), np.concatenate([[0], np.cumsum(lengths)]))


def chance() -> np.random.Generator:
    return np.random.default_rng(0)


def test_taken_documents_keep_their_words():
    taken = tokens(2, 0, 3).take(np.array([2, 1, 0]))
    assert taken.words.tolist() == [3, 4, 5, 1, 2]
    assert taken.offsets.tolist() == [0, 3, 3, 5]


def test_a_long_document_is_cut_into_windows_of_nearly_equal_length():
    windows = cut(tokens(3, 11).offsets, np.array([0, 1]), 4)
    assert windows.lengths.tolist() == [3, 3, 4, 4]
    assert windows.starts.tolist() == [0, 3, 6, 10]
    assert windows.owners.tolist() == [0, 1, 1, 1]


def test_a_document_without_words_has_no_window():
    windows = cut(tokens(2, 0, 2).offsets, np.arange(3), 4)
    assert windows.owners.tolist() == [0, 2]
    assert windows.documents == 3


def test_windows_of_a_document_of_a_million_words_cover_it():
    windows = cut(tokens(3_000_001).offsets, np.array([0]), 256)
    assert np.array_equal(windows.starts[1:], (windows.starts + windows.lengths)[:-1])
    assert windows.lengths.sum() == 3_000_001
    assert set(windows.lengths) <= {255, 256}


def test_few_windows_of_a_long_document_are_drawn_and_all_of_a_short_one():
    windows = cut(tokens(400, 8).offsets, np.arange(2), 4)
    drawn = draw(windows, 3, chance())
    assert drawn.owners.tolist() == [0, 0, 0, 1, 1]
    assert drawn.starts.tolist() != draw(windows, 3, np.random.default_rng(1)).starts.tolist()


def test_every_document_is_dealt_once():
    corpus = tokens(*range(50))
    pieces = deal(cut(corpus.offsets, np.arange(50), 9), np.arange(100, 150), 8, chance())
    assert sorted(np.concatenate([piece.rows for piece in pieces])) == list(range(100, 150))
    assert {len(piece.rows) for piece in pieces} == {8, 2}
    for piece in pieces:
        length = np.bincount(piece.windows.owners, piece.windows.lengths, minlength=len(piece.rows))
        assert length.tolist() == (piece.rows - 100).tolist()


def test_documents_of_similar_length_stand_together():
    lengths = chance().integers(1, 200, 400)
    corpus = tokens(*lengths)
    pieces = deal(cut(corpus.offsets, np.arange(400), 256), np.arange(400), 20, chance())
    padded = sum(piece.windows.lengths.max() * len(piece.windows) for piece in pieces)
    assert padded < 1.1 * lengths.sum()


def test_the_order_of_batches_is_random_and_repeats_with_the_seed():
    windows = cut(tokens(*range(1, 200)).offsets, np.arange(199), 256)
    first, again, other = (
        [piece.rows.tolist() for piece in deal(windows, np.arange(199), 8, np.random.default_rng(seed))]
        for seed in (0, 0, 1)
    )
    assert first == again != other
    assert first != sorted(first, key=max)


def test_a_batch_holds_the_words_of_its_windows_and_zeros_behind_them():
    corpus = Corpus(tokens(2, 3), CPU)
    piece = deal(cut(corpus.tokens.offsets, np.arange(2), 4), np.arange(2), 2, chance())[0]
    batch = corpus.batch(piece)
    assert batch.words.tolist() == [[3, 4, 5], [1, 2, 0]]
    assert batch.rows[batch.owners.numpy()].tolist() == [1, 0]


def test_the_distinct_words_of_a_batch_give_its_words_back():
    corpus = Corpus(Tokens(np.array([7, 3, 7, 9, 3], np.int32), np.array([0, 3, 5])), CPU)
    piece = deal(cut(corpus.tokens.offsets, np.arange(2), 4), np.arange(2), 2, chance())[0]
    batch = corpus.batch(piece, distinct=True)
    assert batch.distinct.tolist() == [0, 3, 7, 9]
    assert torch.equal(batch.distinct[batch.places], batch.words)


def test_parts_of_a_batch_hold_its_documents_in_order():
    corpus = Corpus(tokens(5, 9, 1, 0, 3), CPU)
    piece = Piece(cut(corpus.tokens.offsets, np.arange(5), 4), np.arange(10, 15))
    parts = corpus.batch(piece, distinct=True).parts(2)
    assert [part.rows.tolist() for part in parts] == [[10, 11], [12, 13], [14]]
    words = [sorted(part.words[part.words > 0].tolist()) for part in parts]
    assert words == [list(range(1, 15)), [15], [16, 17, 18]]
    assert torch.equal(parts[1].distinct[parts[1].places], parts[1].words)


def test_documents_without_words_make_a_batch_without_windows():
    corpus = Corpus(tokens(0, 0), CPU)
    batch = corpus.batch(Piece(cut(corpus.tokens.offsets, np.arange(2), 4), np.arange(2)), distinct=True)
    assert len(batch.words) == 0
    assert len(batch.rows) == 2


def test_batches_to_score_stay_within_the_budget_and_cover_all_windows():
    windows = cut(tokens(*range(1, 60)).offsets, np.arange(59), 50)
    places = list(by_length(windows, 100))
    assert all(windows.lengths[place].max() * len(place) <= 100 for place in places)
    assert sorted(np.concatenate(places)) == list(range(len(windows)))


def test_a_window_above_the_budget_makes_a_batch_alone():
    windows = cut(tokens(30, 30).offsets, np.arange(2), 50)
    assert [len(place) for place in by_length(windows, 10)] == [1, 1]


def test_words_are_copied_batch_by_batch_where_they_do_not_fit(monkeypatch: pytest.MonkeyPatch):
    corpus = Corpus(tokens(2, 3), CPU)
    piece = Piece(cut(corpus.tokens.offsets, np.arange(2), 4), np.arange(2))
    there = corpus.batch(piece).words
    monkeypatch.setattr(corpus, "resident", False)
    assert torch.equal(corpus.batch(piece).words, there)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("share", [0.25, 0.0])
def test_batches_on_a_gpu_are_those_of_the_cpu(share: float, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "SHARE", share)
    corpus = tokens(*range(200))
    pieces = deal(cut(corpus.offsets, np.arange(200), 50), np.arange(200), 8, chance())
    here, there = (Corpus(corpus, torch.device(name)).batches(pieces, distinct=True) for name in ("cpu", "cuda"))
    for one, other in zip(here, there, strict=True):
        assert torch.equal(one.words, other.words.cpu())
        assert torch.equal(one.distinct, other.distinct.cpu())
