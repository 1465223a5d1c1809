import numpy as np
import pytest
import torch

from nbpipe.train.networks import Attention, Gru, Ordered, combine, flip, peak
from nbpipe.train.windows import Corpus, Piece, Tokens, cut

LENGTHS = [5, 0, 12, 1, 700]


@pytest.fixture
def corpus() -> Corpus:
    words = np.random.default_rng(0).integers(1, 40, sum(LENGTHS)).astype(np.int32)
    return Corpus(Tokens(words, np.concatenate([[0], np.cumsum(LENGTHS)])), torch.device("cpu"))


@pytest.fixture(params=[Gru, Attention])
def network(request: pytest.FixtureRequest) -> Ordered:
    torch.manual_seed(0)
    rarity = torch.linspace(0, 3, 40)
    return request.param(rarity, 3, width=16).eval()


def logits(network: Ordered, corpus: Corpus, *rows: int) -> torch.Tensor:
    windows = cut(corpus.tokens.offsets, np.array(rows), network.longest)
    windows = windows.take(np.argsort(-windows.lengths, kind="stable"))
    return network(corpus.batch(Piece(windows, np.array(rows))))


def test_a_padded_batch_gives_the_logits_of_single_documents(network: Ordered, corpus: Corpus):
    together = logits(network, corpus, 0, 2, 3, 4)
    alone = torch.cat([logits(network, corpus, row) for row in (0, 2, 3, 4)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_a_document_without_words_gets_the_bias(network: Ordered, corpus: Corpus):
    assert torch.equal(logits(network, corpus, 0, 1)[1], network.output.bias)
    assert torch.equal(logits(network, corpus, 1)[0], network.output.bias)


def test_the_order_of_words_matters(network: Ordered, corpus: Corpus):
    words = torch.tensor([[1, 2, 3, 4], [4, 3, 2, 1]])
    there, back = network.windows(words, torch.tensor([4, 4]))
    assert not torch.allclose(there, back, atol=1e-4)


def test_a_document_of_many_windows_gets_their_mean_by_length(network: Ordered, corpus: Corpus):
    windows = cut(corpus.tokens.offsets, np.array([4]), network.longest)
    each = torch.cat(
        [
            network.windows(torch.from_numpy(corpus.tokens.words[start : start + length])[None], torch.tensor([length]))
            for start, length in zip(windows.starts, windows.lengths, strict=True)
        ]
    )
    expected = (each * torch.from_numpy(windows.lengths)[:, None]).sum(0) / 700
    assert len(each) == 3
    assert torch.allclose(logits(network, corpus, 4)[0], expected, atol=1e-5)


def test_vectors_may_be_given_in_place_of_words(network: Ordered):
    words, lengths = torch.tensor([[1, 2, 3]]), torch.tensor([3])
    vectors = network.embed(words).detach().requires_grad_()
    found = network.windows(words, lengths, vectors)
    assert torch.allclose(found, network.windows(words, lengths))
    found.sum().backward()
    assert vectors.grad.abs().sum() > 0


def test_a_window_of_dropped_words_has_finite_logits_and_gradients(network: Ordered):
    network.train()
    network.windows(torch.zeros(2, 3, dtype=torch.int32), torch.tensor([3, 2])).sum().backward()
    assert all(weight.grad is None or bool(weight.grad.isfinite().all()) for weight in network.parameters())


def test_all_weights_but_the_table_are_in_the_groups(network: Ordered):
    grouped = sum(weight.numel() for group in network.groups() for weight in group["params"])
    assert grouped + network.table.numel() == sum(weight.numel() for weight in network.parameters())


def test_windows_are_combined_by_their_lengths():
    found = combine(
        torch.tensor([[1.0], [4.0], [7.0]]), torch.tensor([1, 2, 5]), torch.tensor([0, 0, 2]), 3, torch.tensor([9.0])
    )
    assert found.flatten().tolist() == [3.0, 9.0, 7.0]


def test_peaks_leave_padding_out():
    values = torch.tensor([[[-1.0], [-2.0], [5.0]], [[3.0], [4.0], [5.0]]])
    assert peak(values, torch.tensor([[1, 2, 0], [0, 0, 0]])).flatten().tolist() == [-1.0, 0.0]


def test_only_the_words_are_reversed_not_the_padding():
    values = torch.arange(8.0).reshape(2, 4, 1)
    assert flip(values, torch.tensor([3, 2])).flatten().tolist() == [2, 1, 0, 3, 5, 4, 6, 7]
