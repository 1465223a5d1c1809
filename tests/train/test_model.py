from pathlib import Path

import polars as pl
import pytest
import torch

from nbpipe.errors import RequestError, WorkError
from nbpipe.train.model import Bag, Classifier, pick_device
from nbpipe.train.text import Vocabulary

TEXTS = pl.Series(["ab cd", "", "unknown", "cd ef ab"])


@pytest.fixture
def classifier() -> Classifier:
    vocabulary = Vocabulary.fit(TEXTS)
    torch.manual_seed(0)
    return Classifier(Bag(len(vocabulary), 2, 8), vocabulary, ["x", "y"], torch.device("cpu"))


def test_a_loaded_classifier_gives_the_same_logits(classifier: Classifier, tmp_path: Path):
    classifier.save(tmp_path)
    loaded = Classifier.load(tmp_path, "cpu")
    assert torch.equal(loaded.logits(TEXTS), classifier.logits(TEXTS))
    assert loaded.labels == ["x", "y"]


def test_padded_and_flat_input_give_the_same_logits(classifier: Classifier):
    network = classifier.network.eval()
    flat = network(torch.tensor([1, 2, 3]), torch.tensor([0.5, 0.5, 1.0]), torch.tensor([0, 2, 3]))
    padded = network(torch.tensor([[1, 2], [3, 0]]), torch.tensor([[0.5, 0.5], [1.0, 0.0]]))
    assert torch.allclose(flat, padded)


def test_logits_can_be_differentiated_by_the_weights(classifier: Classifier):
    weights = torch.tensor([[0.5, 0.5]], requires_grad=True)
    classifier.network.eval()(torch.tensor([[1, 2]]), weights).sum().backward()
    assert weights.grad.abs().sum() > 0


def test_no_texts_have_no_logits(classifier: Classifier):
    assert classifier.logits(pl.Series([], dtype=pl.String)).shape == (0, 2)


def test_an_absent_device_is_refused_with_those_present(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RequestError, match=r"'cuda': not on this machine; accepted here: auto.*cpu"):
        pick_device("cuda")


def test_auto_takes_cuda_before_mps_before_cpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto").type == "mps"


@pytest.mark.parametrize("name", ["weights.safetensors", "config.json", "labels.json", "vocabulary.json"])
def test_a_damaged_model_is_refused(classifier: Classifier, tmp_path: Path, name: str):
    classifier.save(tmp_path)
    (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(WorkError, match="train again"):
        Classifier.load(tmp_path, "cpu")
