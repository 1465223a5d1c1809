import numpy as np
import pytest
import torch

from nbpipe.errors import WorkError
from nbpipe.train import sequences as module
from nbpipe.train.networks import Attention, Gru, Ordered
from nbpipe.train.sequences import Answers, Learner, Recipe, score
from nbpipe.train.windows import Batch, Corpus, Tokens

CPU = torch.device("cpu")
PLAIN = Recipe(word_dropout=0.0, warmup=5)
DOCUMENTS, WORDS, LABELS = 60, 50, 3


def made() -> tuple[Corpus, torch.Tensor]:
    """Documents of 0 to 29 words, each label with ten words of its own among twenty that all share."""
    chance = np.random.default_rng(0)
    targets = np.arange(DOCUMENTS) % LABELS
    texts = [
        np.where(chance.random(n) < 0.5, chance.integers(1, 20, n), 20 + 10 * target + chance.integers(0, 10, n))
        for n, target in zip(chance.integers(0, 30, DOCUMENTS), targets, strict=True)
    ]
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts])])
    return Corpus(Tokens(np.concatenate(texts).astype(np.int32), offsets), CPU), torch.from_numpy(targets)


def learner(family: type[Ordered] = Gru, recipe: Recipe = PLAIN, dropout: float = 0.5, multi: bool = False) -> Learner:
    torch.manual_seed(0)
    corpus, targets = made()
    network = family(torch.ones(WORDS), LABELS, width=16, dropout=dropout)
    if multi:
        targets = torch.nn.functional.one_hot(targets).float()
    return Learner(network, corpus, Answers(targets, torch.ones(DOCUMENTS)), recipe)


def learn(learner: Learner, epochs: int, first: int = 1) -> list[float]:
    rows = np.arange(DOCUMENTS)
    orders = [np.random.default_rng([0, n]) for n in range(first, first + epochs)]
    return [float(np.mean([loss.item() for loss, _ in learner.train(learner.plan(rows, order))])) for order in orders]


def weights(learner: Learner) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in learner.network.parameters()])


@pytest.mark.parametrize("family", [Gru, Attention])
@pytest.mark.parametrize("multi", [False, True])
def test_training_learns(family: type[Ordered], multi: bool):
    trained = learner(family, multi=multi)
    losses = learn(trained, 15)
    right = (score(trained.result(), trained.corpus).argmax(1) == made()[1]).float().mean().item()
    assert losses[-1] < losses[0] * 0.8
    assert right > 0.85


@pytest.mark.parametrize("family", [Gru, Attention])
def test_the_same_seed_gives_the_same_weights(family: type[Ordered]):
    first, second = (learner(family, Recipe()) for _ in range(1) for _ in range(2))
    torch.manual_seed(1)
    learn(first, 2)
    torch.manual_seed(1)
    learn(second, 2)
    assert torch.equal(weights(first), weights(second))


@pytest.mark.parametrize("family", [Gru, Attention])
def test_a_restored_state_goes_on_as_if_never_left(family: type[Ordered]):
    unbroken, other = learner(family, Recipe()), learner(family, Recipe())
    pieces = unbroken.plan(np.arange(DOCUMENTS), np.random.default_rng(0))
    torch.manual_seed(3)
    for number, _ in enumerate(unbroken.train(pieces), 1):
        if number == 3:
            state = unbroken.state()
    learn(other, 1)
    other.restore(state)
    list(other.train(pieces[3:]))
    assert torch.equal(weights(unbroken), weights(other))
    assert torch.equal(score(unbroken.result(), unbroken.corpus), score(other.result(), other.corpus))
    ours, theirs = unbroken.state(), other.state()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_step_leaves_the_vectors_of_other_words_alone():
    trained = learner(recipe=Recipe(word_dropout=0.0, average=0.0))
    before = trained.network.table.detach().clone()
    pieces = trained.plan(np.arange(3), np.random.default_rng(0))
    list(trained.train(pieces))
    changed = (trained.network.table != before).any(1).nonzero().flatten().tolist()
    words = trained.corpus.tokens.take(np.arange(3)).words
    assert set(changed) == set(words.tolist())


def test_padding_stays_zero():
    trained = learner(recipe=Recipe(word_dropout=0.5, warmup=1))
    learn(trained, 3)
    assert not trained.network.table[0].any()
    assert not trained.result().table[0].any()


def test_the_mean_of_the_weights_is_exact_though_rows_rest():
    trained = learner(recipe=Recipe(warmup=1, average=0.9))
    mean = [weight.detach().clone() for weight in trained.network.parameters()]
    pieces = [p for n in range(3) for p in trained.plan(np.arange(DOCUMENTS), np.random.default_rng(n))]
    for number, _ in enumerate(trained.train(pieces), 1):
        share = min(0.9, number / (number + 9))
        mean = [share * m + (1 - share) * w.detach() for m, w in zip(mean, trained.network.parameters(), strict=True)]
    found = list(trained.result().parameters())
    assert all(torch.allclose(m, f, atol=1e-5) for m, f in zip(mean, found, strict=True))
    assert not torch.allclose(found[0], trained.network.table)


def tight(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Let a network run out of memory above so many windows, after some work."""
    forward = Gru.forward

    def limited(self: Gru, batch: Batch, vectors: torch.Tensor | None = None) -> torch.Tensor:
        if len(batch.words) > most:
            raise torch.OutOfMemoryError
        return forward(self, batch, vectors)

    monkeypatch.setattr(Gru, "forward", limited)


def test_a_batch_beyond_the_memory_is_taken_in_parts_with_the_same_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    whole, parted = learner(dropout=0.0), learner(dropout=0.0)
    losses = learn(whole, 2)
    tight(monkeypatch, 3)
    assert learn(parted, 2) == pytest.approx(losses, rel=1e-5)
    assert torch.allclose(weights(parted), weights(whole), atol=1e-4)
    assert parted.most <= 4
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "out of memory with 8 documents at once; going on with 4, the steps stay the same"
    assert len(said) <= 2


def test_a_document_beyond_the_memory_is_an_error(monkeypatch: pytest.MonkeyPatch):
    tight(monkeypatch, 0)
    with pytest.raises(WorkError, match="single document"):
        learn(learner(), 1)


def test_scoring_takes_smaller_batches_when_memory_runs_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    network, (corpus, _) = learner().result(), made()
    whole, windows = score(network, corpus), Gru.windows

    def limited(self: Gru, words: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        if words.numel() > 300:
            raise torch.OutOfMemoryError
        return windows(self, words, *rest)

    monkeypatch.setattr(Gru, "windows", limited)
    monkeypatch.setattr(module, "BUDGET", 600)
    assert torch.allclose(score(network, corpus), whole, atol=1e-6)
    assert capsys.readouterr().err == "out of memory; going on with batches of 300 words\n"


def test_scores_come_in_the_order_of_the_documents():
    network, (corpus, _) = learner().result(), made()
    rows = np.array([7, 3, 59, 0])
    some = [Corpus(corpus.tokens.take(part), CPU) for part in (rows, *rows[:, None])]
    mixed, *alone = (score(network, documents) for documents in some)
    assert torch.allclose(mixed, score(network, corpus)[torch.from_numpy(rows)], atol=1e-6)
    assert torch.allclose(mixed, torch.cat(alone), atol=1e-5)


def test_no_documents_have_no_scores():
    none = Corpus(Tokens(np.zeros(0, np.int32), np.zeros(1, np.int64)), CPU)
    assert score(learner().result(), none).shape == (0, LABELS)


def test_documents_without_words_are_learnt_by_the_bias():
    torch.manual_seed(0)
    corpus = Corpus(Tokens(np.zeros(0, np.int32), np.zeros(9, np.int64)), CPU)
    network = Gru(torch.ones(5), 2, width=16)
    trained = Learner(network, corpus, Answers(torch.ones(8, dtype=torch.int64), torch.ones(8)), Recipe(warmup=1))
    list(trained.train(trained.plan(np.arange(8), np.random.default_rng(0))))
    assert (score(network, corpus).argmax(1) == 1).all()


def test_a_document_of_no_weight_is_not_learnt():
    answers = Answers(torch.tensor([0, 1]), torch.tensor([1.0, 0.0]))
    logits = torch.tensor([[2.0, 0.0], [9.0, 0.0]])
    alone = Answers(torch.tensor([0]), torch.ones(1)).loss(logits[:1], torch.tensor([0]))
    assert answers.loss(logits, torch.tensor([0, 1])) == pytest.approx(alone.item())


def test_several_labels_are_judged_one_by_one():
    answers = Answers(torch.tensor([[1.0, 1.0, 0.0]]), torch.ones(1))
    assert answers.loss(torch.zeros(1, 3), torch.tensor([0])).item() == pytest.approx(3 * np.log(2))


def test_batches_grow_with_the_documents():
    assert [Recipe(least_batch=8, most_batch=32).size(n) for n in (1, 1600, 10**6)] == [8, 16, 32]
