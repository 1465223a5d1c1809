import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nbpipe.train.bag import Bag, BagLearner, Batch, batch_size, flat, hinge, score
from nbpipe.train.text import Bags, Vocabulary

CPU = torch.device("cpu")
DOCUMENTS = 40
ROWS = np.arange(DOCUMENTS)


@pytest.fixture
def bags() -> Bags:
    texts = pl.Series([f"{'left' if number % 2 else 'right'} ab{number % 3} cd{number % 5}" for number in ROWS])
    return Vocabulary.fit(texts).bags(texts)


@pytest.fixture
def truth() -> np.ndarray:
    return ROWS[:, None] % 2 == [[0, 1]]


def learner(bags: Bags, truth: np.ndarray, seed: int = 0, weights: np.ndarray | None = None) -> BagLearner:
    torch.manual_seed(seed)
    counts = np.bincount(bags.words, minlength=5)
    weights = np.ones(len(truth), np.float32) if weights is None else weights
    return BagLearner(Bag(len(counts), truth.shape[1], 6), bags, truth, weights, counts.tolist())


def learn(made: BagLearner, epochs: int, first: int = 0) -> list[float]:
    """Train, and return the mean of the steps' losses of each epoch."""
    orders = (np.random.default_rng(number) for number in range(first, first + epochs))
    return [float(np.mean([loss.item() for loss, _ in made.train(made.plan(ROWS, order))])) for order in orders]


def table(made: BagLearner) -> Tensor:
    return made.network.embedding.weight.detach()


def test_training_learns(bags: Bags, truth: np.ndarray):
    made = learner(bags, truth)
    losses = learn(made, 40)
    assert losses[-1] < losses[0] / 10
    assert (score(made.result(), bags, CPU).argmax(1).numpy() == truth.argmax(1)).all()


def test_several_labels_of_a_document_are_learnt(bags: Bags):
    truth = np.stack([ROWS % 2 == 0, ROWS % 3 == 0], axis=1)
    made = learner(bags, truth)
    learn(made, 30)
    assert ((score(made.network, bags, CPU) > 0).numpy() == truth).all()


def test_an_epoch_reads_each_document_once_in_batches(bags: Bags, truth: np.ndarray):
    made = learner(bags, truth)
    first, second = (made.plan(ROWS[5:], np.random.default_rng(number)) for number in (0, 1))
    assert [len(rows) for rows in first] == [8, 8, 8, 8, 3]
    assert np.sort(np.concatenate(first)).tolist() == ROWS[5:].tolist()
    assert np.concatenate(first).tolist() != np.concatenate(second).tolist()
    assert [size for _, size in made.train(first)] == [8, 8, 8, 8, 3]


def test_word_vectors_move_along_the_gradient_that_autograd_finds(bags: Bags, truth: np.ndarray):
    made = learner(bags, truth)
    (batch,) = made.load([ROWS[:7]])
    vectors, wanted = made.network.embedding.weight, torch.from_numpy(truth[:7])
    hinge(made.network(batch.words, batch.weights, batch.offsets), wanted).backward()
    before, slopes = vectors.detach().clone(), vectors.grad[batch.rows]
    made.step(batch, wanted)
    moved = (vectors.detach() - before)[batch.rows]
    assert torch.allclose(moved, -7 * torch.from_numpy(made.rates)[batch.rows, None] * slopes, atol=1e-6)


def test_rare_words_learn_faster(bags: Bags, truth: np.ndarray):
    made = BagLearner(Bag(4, 2), bags, truth, np.ones(DOCUMENTS, np.float32), [0, 1, 100, 10])
    assert made.rates[1] > made.rates[3] > made.rates[2] > 0


def test_a_step_leaves_the_words_of_other_documents_alone(bags: Bags, truth: np.ndarray):
    made = learner(bags, truth)
    before = table(made).clone()
    list(made.train([ROWS[[1]]]))
    moved = (table(made) != before).any(1).nonzero().flatten().tolist()
    assert moved == sorted(set(bags.take(ROWS[[1]]).words.tolist()))


def test_a_document_of_weight_zero_teaches_nothing(bags: Bags, truth: np.ndarray):
    weights = np.ones(DOCUMENTS, np.float32)
    weights[20:] = 0
    turned = np.where(ROWS[:, None] < 20, truth, ~truth)
    one, other, even = learner(bags, truth, 0, weights), learner(bags, turned, 0, weights), learner(bags, turned)
    for made in (one, other, even):
        learn(made, 1)
    assert torch.equal(table(one), table(other))
    assert not torch.equal(table(one), table(even))


def test_a_learner_that_is_restored_goes_on_bit_for_bit(bags: Bags, truth: np.ndarray):
    unbroken, resumed = learner(bags, truth), learner(bags, truth, seed=1)
    learn(unbroken, 2)
    state = {name: value.clone() for name, value in unbroken.state().items()}
    resumed.restore(state)
    assert learn(unbroken, 2, first=2) == learn(resumed, 2, first=2)
    ends = unbroken.state(), resumed.state()
    assert ends[0].keys() == ends[1].keys() == state.keys()
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in state)
    assert not any(torch.equal(ends[0][name], state[name]) for name in state)


def test_a_learner_that_has_not_begun_can_be_restored(bags: Bags, truth: np.ndarray):
    one, other = learner(bags, truth), learner(bags, truth, seed=1)
    other.restore(one.state())
    assert learn(one, 2) == learn(other, 2)


def test_a_restored_state_is_a_copy(bags: Bags, truth: np.ndarray):
    one, other = learner(bags, truth), learner(bags, truth, seed=1)
    learn(one, 1)
    other.restore(one.state())
    before = table(one).clone()
    learn(other, 1)
    assert torch.equal(table(one), before)


def test_the_loss_of_logits_is_that_of_training_without_weights(bags: Bags, truth: np.ndarray):
    made = learner(bags, truth)
    logits = score(made.network, bags, CPU)[5:13]
    (loss, _), *_ = made.train([ROWS[5:13]])
    weighted = learner(bags, truth, 0, np.linspace(0, 2, DOCUMENTS, dtype=np.float32))
    assert weighted.loss(logits, ROWS[5:13]).item() == pytest.approx(loss.item(), rel=1e-5)


def test_documents_without_words_change_no_vector():
    empty = Bags(np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(9, np.int64))
    made = learner(empty, np.eye(2, dtype=bool)[np.arange(8) % 2])
    before = table(made).clone()
    ((loss, documents),) = made.train([np.arange(8)])
    assert np.isfinite(loss.item())
    assert documents == 8
    assert torch.equal(table(made), before)


def test_threads_of_torch_are_left_as_they_were(bags: Bags, truth: np.ndarray):
    made, seen = learner(bags, truth), []
    torch.set_num_threads(2)
    for _ in made.train([ROWS[:8], ROWS[8:]]):
        seen.append(torch.get_num_threads())
    seen.append(torch.get_num_threads())
    broken_off = made.train([ROWS[:8], ROWS[8:]])
    next(broken_off)
    broken_off.close()
    seen.append(torch.get_num_threads())
    torch.set_num_threads(1)
    assert seen == [1, 1, 2, 2]


def test_scores_are_those_of_single_documents(bags: Bags, truth: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    network = learner(bags, truth).network
    whole = score(network, bags, CPU)
    alone = torch.cat([network(*flat(bags.take(ROWS[[row]]), CPU)).detach() for row in ROWS])
    monkeypatch.setattr("nbpipe.train.bag.MOST_BATCH", 7)
    assert torch.allclose(whole, alone, atol=1e-6)
    assert torch.allclose(score(network, bags, CPU), alone, atol=1e-6)
    assert score(network, bags.take(ROWS[:0]), CPU).shape == (0, 2)


def test_padded_and_flat_input_give_the_same_logits(bags: Bags, truth: np.ndarray):
    network, two = learner(bags, truth).network, bags.take(ROWS[:2])
    words, weights, offsets = flat(two, CPU)
    padded = [functional.pad(x.reshape(2, 3), (0, 2)) for x in (words, weights)]
    assert offsets.tolist() == [0, 3, 6]
    assert torch.allclose(network(*padded), network(words, weights, offsets), atol=1e-6)


def test_a_batch_is_the_same_seen_from_documents_and_from_words(bags: Bags):
    batch = Batch.of(bags.take(ROWS[:5]), np.ones(20, np.float32), CPU)
    by_document = torch.zeros(5, 20)
    owners = torch.repeat_interleave(torch.arange(5), batch.offsets.diff())
    by_document[owners, batch.words.long()] = batch.weights
    by_word = torch.zeros(5, 20)
    by_word[batch.documents.long(), torch.repeat_interleave(batch.rows, batch.starts.diff())] = batch.shares
    assert torch.equal(by_document, by_word)
    assert batch.rows.tolist() == by_document.any(0).nonzero().flatten().tolist()


def test_the_hinge_loss_counts_each_label_by_itself():
    logits, truth = torch.tensor([[2.0, -0.5], [0.0, 1.0]]), torch.tensor([[True, False], [False, False]])
    assert hinge(logits, truth).item() == pytest.approx((0.25 + 1 + 4) / 2)
    assert hinge(logits, truth, torch.tensor([2.0, 0.0])).item() == pytest.approx(0.25)


def test_batches_grow_with_the_corpus():
    assert [batch_size(documents) for documents in (3, 1000, 50_000)] == [8, 50, 512]
