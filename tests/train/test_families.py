import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from topics import made_texts

from nbpipe.config import Train
from nbpipe.errors import WorkError
from nbpipe.train.corpus import Documents, read_documents
from nbpipe.train.families import FAMILIES, Family, Task, family, restored
from nbpipe.train.networks import Windowed

CPU = torch.device("cpu")
MADE = ["bag", "gru", "attention"]

MakeRun = Callable[..., Path]


@pytest.fixture(params=MADE)
def config(request: pytest.FixtureRequest, make_run: MakeRun) -> Train:
    """A config of each family that is made here."""
    return Train(run=make_run(made_texts(4)), device="cpu", model=request.param)


@pytest.fixture
def documents(config: Train) -> Documents:
    return read_documents(config)


@pytest.fixture
def chosen(config: Train) -> Family:
    return family(config)


def task(documents: Documents, multi: bool = False) -> Task:
    truth = np.arange(len(documents.usable))[:, None] % 3 == np.arange(3)
    return Task(truth, np.ones(len(truth), np.float32), multi)


def test_a_config_gets_the_family_it_names(config: Train, chosen: Family):
    assert chosen.name == config.model
    assert family(config) is chosen
    assert list(FAMILIES) == [*MADE, "pretrained"]
    pretrained = family(config.model_copy(update={"model": "pretrained", "encoder": "some/encoder", "freeze": True}))
    assert (pretrained.name, pretrained.encoder, pretrained.freeze) == ("pretrained", "some/encoder", True)


def test_texts_are_read_as_the_documents_were(documents: Documents, chosen: Family):
    vocabulary = chosen.vocabulary(documents, np.arange(6))
    texts = pl.concat(list(documents.texts())).sort("row")["text"]
    whole, read = chosen.inputs(vocabulary, documents), chosen.read(vocabulary, texts)
    assert len(whole) == len(documents.usable)
    assert whole.words.tolist() == read.words.tolist()
    assert whole.offsets.tolist() == read.offsets.tolist()


def test_only_the_given_documents_make_the_vocabulary(documents: Documents, chosen: Family):
    few, all_ = (chosen.vocabulary(documents, np.arange(number)) for number in (4, 12))
    assert len(few) < len(all_)
    assert few.documents == 4
    least = 1 if chosen.name == "bag" else 2
    assert min(few.counts[1:]) == least


def test_documents_without_words_are_refused(documents: Documents, chosen: Family):
    with pytest.raises(WorkError, match="hold no words"):
        chosen.vocabulary(documents, np.zeros(0, np.int64))


@pytest.mark.parametrize("multi", [False, True])
def test_a_learner_learns_what_its_task_says(documents: Documents, chosen: Family, multi: bool):
    vocabulary, rows = chosen.vocabulary(documents, np.arange(12)), np.arange(2, 12)
    inputs, wanted = chosen.inputs(vocabulary, documents), task(documents, multi)
    torch.manual_seed(0)
    learner = chosen.learner(chosen.network(vocabulary, 3), vocabulary, inputs, wanted)
    before = learner.loss(chosen.score(learner.network, inputs.take(rows), CPU), rows)
    for number in range(6):
        batches = learner.plan(rows, np.random.default_rng(number))
        assert sum(1 for _ in learner.load(batches)) == len(batches)
        assert sum(size for _, size in learner.train(batches)) == len(rows)
    assert learner.loss(chosen.score(learner.network, inputs.take(rows), CPU), rows) < before


def test_the_loss_is_that_of_the_family(documents: Documents, chosen: Family):
    vocabulary = chosen.vocabulary(documents, np.arange(12))
    inputs, logits, rows = chosen.inputs(vocabulary, documents), torch.tensor([[2.0, 1.0, -3.0]]), np.array([4])
    losses = [
        chosen.learner(chosen.network(vocabulary, 3), vocabulary, inputs, task(documents, multi))
        .loss(logits, rows)
        .item()
        for multi in (False, True)
    ]
    signed = torch.tensor([[-2.0, 1.0, 3.0]])  # as far as each label is right; document 4 has the second
    if chosen.name == "bag":
        assert losses == pytest.approx([(1 - signed).clamp_min(0).square().sum().item()] * 2)
    else:
        one = -logits.log_softmax(1)[0, 1].item()
        assert losses == pytest.approx([one, -torch.nn.functional.logsigmoid(signed).sum().item()])


def test_what_is_saved_is_what_is_restored(documents: Documents, chosen: Family, tmp_path: Path):
    vocabulary = chosen.vocabulary(documents, np.arange(12))
    network, inputs = chosen.network(vocabulary, 3), chosen.inputs(vocabulary, documents)
    chosen.save(vocabulary, network, tmp_path)
    facts = json.loads(json.dumps(chosen.facts(network, vocabulary)))
    again, words, other = restored(chosen.name, tmp_path, facts)
    assert again is chosen
    assert words.words == vocabulary.words
    assert torch.equal(chosen.score(other, inputs, CPU), chosen.score(network, inputs, CPU))


def test_parts_of_different_models_do_not_go_together(documents: Documents, chosen: Family, tmp_path: Path):
    vocabulary, other = (chosen.vocabulary(documents, np.arange(number)) for number in (12, 6))
    network = chosen.network(vocabulary, 3)
    chosen.save(other, network, tmp_path)
    with pytest.raises(WorkError, match="differ in size; train again"):
        chosen.load(tmp_path, chosen.facts(network, vocabulary))


def test_the_last_layer_gives_the_logits(documents: Documents, chosen: Family):
    vocabulary = chosen.vocabulary(documents, np.arange(12))
    network, inputs = chosen.network(vocabulary, 3), chosen.inputs(vocabulary, documents)
    plain = chosen.score(network, inputs, CPU)
    with torch.no_grad():
        for parameter in network.output.parameters():
            parameter.div_(2)
    assert torch.allclose(chosen.score(network, inputs, CPU) * 2, plain, atol=1e-6)


def test_the_logits_are_what_the_output_layer_makes_of_the_hidden_vectors(documents: Documents, chosen: Family):
    vocabulary = chosen.vocabulary(documents, np.arange(12))
    network = chosen.network(vocabulary, 3)
    texts = pl.Series(["", *(" ".join(vocabulary.words[1:9] * times) for times in (1, 100)), "unheard of"])
    inputs = chosen.read(vocabulary, texts)
    hidden, logits = (read(network, inputs, CPU) for read in (chosen.hidden, chosen.score))
    assert hidden.shape == (4, network.output.in_features)
    assert torch.allclose(network.output(hidden), logits, atol=1e-5)
    assert chosen.hidden(network, inputs.take(np.arange(0)), CPU).shape == (0, network.output.in_features)


def test_an_epoch_of_a_network_in_order_reads_some_windows_of_a_long_document(documents: Documents, chosen: Family):
    vocabulary = chosen.vocabulary(documents, np.arange(12))
    network = chosen.network(vocabulary, 3)
    assert chosen.most == (chosen.recipe.most * network.longest if isinstance(network, Windowed) else 0)
    texts = pl.Series([" ".join(vocabulary.words[1:9]) + " " + f"{vocabulary.words[1]} " * 5000])
    alone = Task(np.array([[True, False, False]]), np.ones(1, np.float32), False)
    learner = chosen.learner(network, vocabulary, chosen.read(vocabulary, texts), alone)
    if chosen.most:
        (piece,) = learner.plan(np.array([0]), np.random.default_rng(0))
        assert 0.9 * chosen.most < piece.windows.lengths.sum() <= chosen.most


def test_the_pretrained_family_learns_and_comes_back(make_run: MakeRun, encoder: Path, tmp_path: Path):
    config = Train(run=make_run(made_texts(4)), device="cpu", model="pretrained", encoder=str(encoder))
    documents, chosen = read_documents(config), family(config)
    vocabulary = chosen.vocabulary(documents, np.arange(6))
    texts = pl.concat(list(documents.texts())).sort("row")["text"]
    inputs = chosen.inputs(vocabulary, documents)
    assert inputs.words.tolist() == chosen.read(vocabulary, texts).words.tolist()
    torch.manual_seed(0)
    learner = chosen.learner(chosen.network(vocabulary, 3), vocabulary, inputs, task(documents))
    assert sum(size for _, size in learner.train(learner.plan(np.arange(12), np.random.default_rng(0)))) == 12
    network = learner.result()
    chosen.save(vocabulary, network, tmp_path)
    facts = json.loads(json.dumps(chosen.facts(network, vocabulary)))
    assert facts["encoder"] == "encoder"
    again, words, other = restored("pretrained", tmp_path, facts)
    assert torch.equal(again.score(other, again.read(words, texts), CPU), chosen.score(network, inputs, CPU))
    longer = chosen.read(vocabulary, pl.Series(["", texts[0] * 9, texts[1]]))
    hidden = chosen.hidden(network, longer, CPU)
    assert torch.allclose(network.output(hidden), chosen.score(network, longer, CPU), atol=1e-5)


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """A BERT of one layer with random weights, and a tokenizer of the words of the texts."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    folder = tmp_path / "encoder"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(set(" ".join(made_texts(4).values()).split()))]
    plain = Tokenizer(models.WordLevel({word: row for row, word in enumerate(words)}, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    plain.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=plain, **names).save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    transformers.BertModel(
        transformers.BertConfig(vocab_size=len(words), max_position_embeddings=64, **sizes)
    ).save_pretrained(folder)
    return folder
