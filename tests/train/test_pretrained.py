import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from nbpipe.errors import RequestError, WorkError
from nbpipe.train import pretrained as module
from nbpipe.train.pretrained import RECIPE, Pretrained, fetch, load, tokenize
from nbpipe.train.sequences import Answers, Learner, score
from nbpipe.train.windows import Corpus

transformers = pytest.importorskip("transformers")
CPU = torch.device("cpu")
TEXTS = pl.Series(["wind sail wind mast", "oven flour bake", "sail " * 50, "", None, "flour oven unheard"])


@pytest.fixture
def folder(tiny_encoder: Path) -> Path:
    """A BERT of two layers that reads 16 tokens, with random weights, and a tokenizer of whole words."""
    return tiny_encoder


def network(folder: Path, frozen: bool = False) -> Pretrained:
    torch.manual_seed(0)
    return Pretrained(*fetch(str(folder)), labels=2, frozen=frozen).eval()


def corpus(network: Pretrained, texts: pl.Series = TEXTS) -> Corpus:
    return Corpus(tokenize(network.tokenizer, texts), CPU)


def learn(network: Pretrained, epochs: int) -> list[float]:
    answers = Answers(torch.tensor([0, 1, 0, 0, 0, 1]), torch.ones(len(TEXTS)))
    learner, rows = Learner(network, corpus(network), answers, replace(RECIPE, warmup=1)), np.array([0, 1, 2, 5])
    orders = map(np.random.default_rng, range(epochs))
    return [float(np.mean([loss.item() for loss, _ in learner.train(learner.plan(rows, order))])) for order in orders]


def test_texts_become_the_tokens_of_the_encoder(folder: Path, monkeypatch: pytest.MonkeyPatch):
    tokenizer = fetch(str(folder))[1]
    tokens = tokenize(tokenizer, TEXTS)
    assert np.diff(tokens.offsets).tolist() == [4, 3, 50, 0, 0, 3]
    assert tokens.words[:7].tolist() == [4, 5, 4, 6, 7, 8, 9]
    monkeypatch.setattr(module, "_TOGETHER", 20)
    assert np.array_equal(tokenize(tokenizer, TEXTS).words, tokens.words)


def test_no_texts_become_no_tokens(folder: Path):
    assert len(tokenize(fetch(str(folder))[1], TEXTS.clear())) == 0


def test_special_tokens_stand_around_every_window(folder: Path):
    made = network(folder)
    assert (made.before, made.after, made.longest) == ([2], [3], 14)
    framed, mask = made._framed(torch.tensor([[4, 5, 6], [7, 0, 0]]), torch.tensor([[3], [1]]))
    assert framed.tolist() == [[2, 4, 5, 6, 3], [2, 7, 3, 0, 0]]
    assert mask.sum(1).tolist() == [5, 3]


def test_a_batch_gives_the_logits_of_single_documents(folder: Path):
    made = network(folder)
    together = score(made, corpus(made))
    alone = [score(made, corpus(made, TEXTS[row : row + 1])) for row in range(len(TEXTS))]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


def test_a_long_document_gets_the_mean_of_its_windows(folder: Path):
    made = network(folder)
    each = [made.windows(torch.full((1, n), 5), torch.tensor([n])) for n in (12, 13, 12, 13)]
    expected = (each[0] * 24 + each[1] * 26) / 50
    assert torch.allclose(score(made, corpus(made, TEXTS[2:3])), expected, atol=1e-5)


def test_a_document_without_words_gets_the_bias(folder: Path):
    made = network(folder)
    assert torch.equal(score(made, corpus(made, TEXTS[3:4]))[0], made.output.bias)


def test_input_vectors_may_be_given_in_place_of_tokens(folder: Path):
    made, words, lengths = network(folder), torch.tensor([[4, 5, 6], [7, 8, 0]]), torch.tensor([3, 2])
    vectors = made.embed(words).detach().requires_grad_()
    found = made.windows(words, lengths, vectors)
    assert torch.allclose(found, made.windows(words, lengths), atol=1e-6)
    found.sum().backward()
    assert vectors.grad[1, 1].abs().sum() > 0
    assert not vectors.grad[1, 2].any()


def test_fine_tuning_moves_the_encoder(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "ENCODER_RATE", 1e-3)
    made = network(folder)
    before = {name: value.clone() for name, value in made.encoder.state_dict().items()}
    losses = learn(made, 30)
    assert losses[-1] < losses[0] * 0.8
    assert any(not torch.equal(before[name], value) for name, value in made.encoder.state_dict().items())


def test_a_frozen_encoder_stays_as_it_is_while_the_rest_learns(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "RATE", 0.05)
    made = network(folder, frozen=True)
    before = {name: value.clone() for name, value in made.encoder.state_dict().items()}
    losses = learn(made, 30)
    assert losses[-1] < losses[0] * 0.8
    assert all(torch.equal(before[name], value) for name, value in made.encoder.state_dict().items())
    assert not made.train().encoder.training
    assert all(weight.grad is None for weight in made.encoder.parameters())


def test_a_saved_network_gives_the_same_logits(folder: Path, tmp_path: Path):
    made = network(folder)
    learn(made, 2)
    made.save(tmp_path)
    again = load(tmp_path)
    assert torch.equal(score(again, corpus(again)), score(made, corpus(made)))
    kept = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert {"weights.safetensors", "encoder/config.json", "encoder/tokenizer.json"} <= kept
    assert not [name for name in kept if name.endswith((".bin", ".pt", ".pkl"))]


def test_damaged_weights_are_an_error(folder: Path, tmp_path: Path):
    network(folder).save(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(WorkError, match="train again"):
        load(tmp_path)


def test_places_of_roberta_start_behind_its_padding(folder: Path):
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.RobertaConfig(vocab_size=10, max_position_embeddings=18, pad_token_id=0, **sizes)
    made = Pretrained(transformers.RobertaModel(config), fetch(str(folder))[1], labels=2).eval()
    assert made.longest == 18 - 1 - 2
    assert score(made, corpus(made)).isfinite().all()


def test_of_an_encoder_with_a_decoder_the_encoder_is_taken(folder: Path, tmp_path: Path):
    config = transformers.T5Config(
        vocab_size=10, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2, pad_token_id=0
    )
    made = Pretrained(transformers.T5Model(config), fetch(str(folder))[1], labels=2).eval()
    made.save(tmp_path)
    again = load(tmp_path)
    assert not [name for name, _ in made.named_parameters() if "decoder" in name]
    assert torch.equal(score(again, corpus(again)), score(made, corpus(made)))


def test_a_folder_that_holds_no_encoder_is_refused(tmp_path: Path):
    with pytest.raises(RequestError, match=r"encoder = .*give a folder with config\.json"):
        fetch(str(tmp_path))


def test_weights_that_are_pickled_are_refused(folder: Path, tmp_path: Path):
    for path in folder.iterdir():
        if path.suffix == ".json":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(RequestError, match="cannot be read"):
        fetch(str(tmp_path))


def test_an_encoder_that_brings_its_own_code_is_refused(folder: Path, tmp_path: Path):
    for path in folder.iterdir():
        os.link(path, tmp_path / path.name)
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(
        '{"model_type": "mine", "auto_map": {"AutoConfig": "mine.C", "AutoModel": "mine.M"}}'
    )
    (tmp_path / "mine.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(RequestError, match="cannot be read"):
        fetch(str(tmp_path))


def test_a_hub_that_cannot_be_reached_is_a_clear_error(monkeypatch: pytest.MonkeyPatch):
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("We couldn't connect to the hub\nmore lines")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", unreachable)
    with pytest.raises(RequestError, match=r"encoder = 'some/encoder': cannot be read \(OSError: We couldn't connect"):
        fetch("some/encoder")


def test_no_encoder_is_refused():
    with pytest.raises(RequestError, match="needs one"):
        fetch("")


def test_missing_transformers_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(RequestError, match=r"pip install 'nbpipe\[pretrained\]'"):
        fetch("some/encoder")
