import polars as pl
import pytest
import torch

from nbpipe.config import Train
from nbpipe.errors import WorkError
from nbpipe.train import fit as module
from nbpipe.train.fit import Start, batch_size, fit, hinge, prepare
from nbpipe.train.split import split
from nbpipe.train.stage import read_documents


@pytest.fixture
def start(config: Train) -> Start:
    return prepare(split(read_documents(config).usable, config.seed), config)


def test_training_learns(start: Start):
    training = fit(start)
    assert training.history[-1].loss < training.history[0].loss / 2
    assert training.best.validation_accuracy > 0.9


def test_the_same_seed_gives_the_same_weights(start: Start):
    first, second = (fit(start).classifier.network.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_another_seed_gives_other_weights(start: Start):
    other = prepare(start.parts, start.config.model_copy(update={"seed": 1}))
    assert not torch.equal(start.network().output.weight, other.network().output.weight)


def test_training_stops_when_validation_no_longer_gains(start: Start, monkeypatch: pytest.MonkeyPatch):
    constant = torch.zeros(len(start.parts.rows("validation")), 3)
    monkeypatch.setattr(module, "score", lambda *_: constant)
    training = fit(start)
    assert len(training.history) == 1 + module.PATIENCE
    assert training.best.number == 1


def test_training_is_no_longer_than_asked(start: Start):
    short = prepare(start.parts, start.config.model_copy(update={"epochs": 2}))
    assert len(fit(short).history) <= 2


def test_the_search_knows_no_word_of_validation_and_test(start: Start):
    rows = start.parts.rows("train")
    learnt = set(start.vocabulary.words[1:])
    texts = " ".join(start.parts.documents["text"].gather(rows)).lower().split()
    assert learnt == {word for word in texts if len(word) > 1}


def test_a_step_leaves_the_words_of_other_documents_alone(start: Start):
    network = start.network()
    before = network.embedding.weight.detach().clone()
    bags = start.bags.take(start.parts.rows("train")[:2])
    module._Learner(network, start.device).epoch(bags, torch.tensor([0, 1]), 2)
    changed = (network.embedding.weight != before).any(dim=1).nonzero().flatten().tolist()
    assert set(changed) <= set(bags.words.tolist())
    assert changed


def test_the_hinge_is_zero_beyond_the_margin_and_squared_within():
    assert hinge(torch.tensor([[1.0, -2.0]]), torch.tensor([0])).item() == 0
    assert hinge(torch.tensor([[0.0, 1.0]]), torch.tensor([0])).item() == pytest.approx(1 + 4)


def test_batches_grow_with_the_documents():
    assert [batch_size(documents) for documents in (1, 400, 10**6)] == [8, 20, 512]


def test_documents_without_words_are_refused(config: Train):
    rows = {"path": [str(i) for i in range(6)], "text": list("abcdef"), "label": ["x", "x", "x", "y", "y", "y"]}
    with pytest.raises(WorkError, match="hold no words"):
        prepare(split(pl.DataFrame(rows), 0), config)


def test_expected_and_measured_seconds_are_shown(start: Start):
    assert "seconds an epoch, expected" in repr(start)
    assert "Measured" in repr(fit(start))


def test_the_kept_weights_are_the_mean_of_the_last_two_thirds(start: Start, monkeypatch: pytest.MonkeyPatch):
    seen, train_once = [], module._pass

    def watched(learner: module._Learner, *rest: object) -> float:
        loss = train_once(learner, *rest)
        seen.append(learner.network.output.bias.detach().clone())
        return loss

    monkeypatch.setattr(module, "_pass", watched)
    network = start.network()
    module._learn(start, network, start.bags, start.parts.rows("train"), 3)
    assert torch.allclose(network.output.bias, (seen[1] + seen[2]) / 2)


def test_logits_are_sharpened_by_the_validation_part(start: Start, monkeypatch: pytest.MonkeyPatch):
    texts = start.parts.documents["text"].head(3)
    monkeypatch.setattr(module, "_sharpness", lambda *_: 1.0)
    plain = fit(start).classifier.logits(texts)
    monkeypatch.setattr(module, "_sharpness", lambda *_: 2.0)
    assert torch.allclose(fit(start).classifier.logits(texts), plain * 2)


def test_sure_margins_are_sharpened_and_wrong_ones_are_not():
    margins = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    assert module._sharpness(margins, torch.tensor([0, 1])) == pytest.approx(6, abs=0.01)
    assert module._sharpness(margins, torch.tensor([1, 0])) == pytest.approx(1, abs=0.01)
