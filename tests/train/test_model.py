"""A classifier of any family answers the same after it was saved and loaded, and a broken model folder says so."""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file

from nbpipe.config import Train
from nbpipe.errors import RequestError, WorkError
from nbpipe.train.bag import Bag
from nbpipe.train.families import Encoder, PretrainedFamily, family
from nbpipe.train.model import Classifier, pick_device
from nbpipe.train.pretrained import fetch
from nbpipe.train.text import Vocabulary

CPU = torch.device("cpu")
TEXTS = pl.Series(["wind sail", "", "unknown", "oven flour wind", "sail " * 40, None])
Make = Callable[..., Classifier]


@pytest.fixture
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Return a function that makes an untrained classifier of a family."""

    def classifier(name: str, **fields: Any) -> Classifier:
        torch.manual_seed(0)
        if name == "pretrained":
            folder = str(request.getfixturevalue("tiny_encoder"))
            chosen, vocabulary = PretrainedFamily(folder), Encoder(folder, *fetch(folder))
        else:
            chosen, vocabulary = family(Train(run=tmp_path, model=name)), Vocabulary.fit(TEXTS)
        network = chosen.network(vocabulary, 2).eval()
        return Classifier(network, vocabulary, ["x", "y"], CPU, chosen, **fields)

    return classifier


@pytest.fixture
def bag(make: Make, tmp_path: Path) -> Path:
    """The model folder of a bag."""
    make("bag").save(tmp_path / "model")
    return tmp_path / "model"


def change(file: Path, **values: Any) -> None:
    """Set values in a JSON file, take those that are None away."""
    content = json.loads(file.read_bytes()) | values
    file.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


@pytest.mark.parametrize("name", ["bag", "gru", "attention", "pretrained"])
def test_a_loaded_classifier_gives_the_same_logits(make: Make, tmp_path: Path, name: str):
    made = make(name, multi=True, threshold=0.75)
    made.save(tmp_path / "model")
    loaded = Classifier.load(tmp_path / "model", "cpu")
    assert torch.equal(loaded.logits(TEXTS), made.logits(TEXTS))
    assert (loaded.labels, loaded.multi, loaded.threshold) == (["x", "y"], True, 0.75)
    assert (loaded.family.name, loaded.facts) == (name, made.facts)


@pytest.mark.parametrize("name", ["bag", "gru", "attention", "pretrained"])
def test_company_does_not_change_logits(make: Make, name: str):
    made = make(name)
    alone = [made.logits(TEXTS[row : row + 1]) for row in range(len(TEXTS))]
    assert torch.allclose(torch.cat(alone), made.logits(TEXTS), atol=1e-5)
    assert made.logits(TEXTS.clear()).shape == (0, 2)


def test_pairs_of_words_are_read_after_loading(tmp_path: Path):
    vocabulary = Vocabulary(["", "sail", "wind", "wind sail"], [0, 2, 2, 2], 3)
    Classifier(Bag(4, 2, 8), vocabulary, ["x", "y"], CPU).save(tmp_path)
    loaded = Classifier.load(tmp_path, "cpu")
    assert sorted(loaded.read(pl.Series(["wind sail"])).words) == [1, 2, 3]
    assert sorted(loaded.read(pl.Series(["sail wind"])).words) == [1, 2]


def test_the_encoder_is_named_without_its_folder(make: Make, tiny_encoder: Path, tmp_path: Path):
    make("pretrained").save(tmp_path / "model")
    assert make("pretrained").facts["encoder"] == tiny_encoder.name
    assert str(tiny_encoder.parent) not in "".join(p.read_text() for p in (tmp_path / "model").rglob("*.json"))


def test_one_label_is_the_likeliest_and_as_sure_as_its_probability(make: Make):
    made = make("bag")
    labels, sure = made.answers(TEXTS)
    shares = torch.softmax(made.logits(TEXTS), 1).numpy()
    assert labels == [made.labels[row] for row in shares.argmax(1)]
    assert sure == pytest.approx(shares.max(1), abs=1e-6)


def test_several_labels_are_joined_and_as_sure_as_the_least_sure_one(make: Make):
    made = make("bag", multi=True)
    with torch.no_grad():
        made.network.output.weight.zero_()
        made.network.output.bias.copy_(torch.tensor([2.0, 1.0]))
        both = made.answers(TEXTS[:1])
        made.network.output.bias.copy_(torch.tensor([-2.0, -1.0]))
        none = made.answers(TEXTS[:1])
    assert (both[0], none[0]) == (["x|y"], [""])
    assert both[1] == none[1] == pytest.approx(1 / (1 + math.exp(-1)))


def test_a_bar_parts_labels_only_where_there_may_be_several(make: Make):
    assert make("bag", multi=True).truth(["x|y", "", "y"]).tolist() == [[True, True], [False, False], [False, True]]
    single = replace(make("bag"), labels=["x", "x|y"])
    assert single.truth(["x|y", "x"]).tolist() == [[False, True], [True, False]]
    assert single.truth([]).shape == (0, 2)


def test_a_threshold_that_leaves_everything_to_a_person_is_kept(make: Make, tmp_path: Path):
    make("bag", threshold=math.inf).save(tmp_path)
    assert json.loads((tmp_path / "config.json").read_bytes())["threshold"] is None
    assert Classifier.load(tmp_path, "cpu").threshold == math.inf


def test_an_absent_device_is_refused_with_those_present(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RequestError, match=r"'cuda': not on this machine; accepted here: auto.*cpu"):
        pick_device("cuda")


def test_auto_takes_cuda_else_the_cpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto").type == "cpu"
    assert pick_device("mps").type == "mps"


@pytest.mark.parametrize("name", ["weights.safetensors", "config.json", "labels.json", "vocabulary.json"])
@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"5", b"\xff{", None])
def test_a_damaged_file_is_named_as_work_to_do_again(bag: Path, name: str, content: bytes | None):
    (bag / name).unlink()
    if content is not None:
        (bag / name).write_bytes(content)
    with pytest.raises(WorkError, match="train again"):
        Classifier.load(bag, "cpu")


@pytest.mark.parametrize("name", ["family", "multi", "network"])
def test_a_config_without_a_value_is_refused(bag: Path, name: str):
    change(bag / "config.json", **{name: None})
    with pytest.raises(WorkError, match=f"no model that can be read .*{name}.*train again"):
        Classifier.load(bag, "cpu")


@pytest.mark.parametrize(
    "values",
    [
        {"family": "forest"},
        {"family": "gru"},
        {"family": []},
        {"threshold": "high"},
        {"network": {"words": 7, "labels": 2}},
        {"network": {"words": 8, "labels": 2, "width": 128}},
        {"network": {"words": 7, "labels": 3, "width": 128}},
        {"network": {"words": 7, "labels": 2, "width": 64}},
        {"network": {"words": -1, "labels": 2, "width": 128}},
        {"network": {"words": 7, "labels": 2, "width": "wide"}},
    ],
)
def test_a_config_that_does_not_fit_the_weights_is_refused(bag: Path, values: dict[str, Any]):
    change(bag / "config.json", **values)
    with pytest.raises(WorkError, match="train again"):
        Classifier.load(bag, "cpu")


@pytest.mark.parametrize("labels", [["x"], ["x", "y", "z"], {"x": 1, "y": 2}, "xy", [1, 2]])
def test_labels_that_do_not_fit_the_weights_are_refused(bag: Path, labels: Any):
    (bag / "labels.json").write_text(json.dumps(labels))
    with pytest.raises(WorkError, match="train again"):
        Classifier.load(bag, "cpu")


def test_a_vocabulary_of_another_size_is_refused(bag: Path):
    content = json.loads((bag / "vocabulary.json").read_bytes())
    change(bag / "vocabulary.json", words=content["words"][:-1], counts=content["counts"][:-1])
    with pytest.raises(WorkError, match="vocabulary, labels and weights differ in size; train again"):
        Classifier.load(bag, "cpu")


@pytest.mark.parametrize("name", ["bag", "attention", "pretrained"])
def test_truncated_weights_are_refused(make: Make, tmp_path: Path, name: str):
    make(name).save(tmp_path / "model")
    weights = tmp_path / "model" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(WorkError, match="train again"):
        Classifier.load(tmp_path / "model", "cpu")


def test_weights_without_a_tensor_are_refused(bag: Path):
    state = load_file(bag / "weights.safetensors")
    save_file({name: value for name, value in state.items() if name != "output.bias"}, bag / "weights.safetensors")
    with pytest.raises(WorkError, match="train again"):
        Classifier.load(bag, "cpu")


def test_a_missing_encoder_folder_is_refused(make: Make, tmp_path: Path):
    make("pretrained").save(tmp_path / "model")
    (tmp_path / "model" / "encoder" / "config.json").unlink()
    with pytest.raises(WorkError, match="no encoder that can be read"):
        Classifier.load(tmp_path / "model", "cpu")


def test_missing_transformers_say_what_to_install(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make("pretrained").save(tmp_path / "model")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(RequestError, match=r"pip install 'nbpipe\[pretrained\]'"):
        Classifier.load(tmp_path / "model", "cpu")


def test_it_says_what_it_is(make: Make):
    assert repr(make("gru")).startswith("gru classifier of 2 labels, vocabulary of 5 words")
    assert np.isfinite(make("gru").probabilities(TEXTS)).all()
