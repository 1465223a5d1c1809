"""The four model families behind one interface: what they read, what network they are, how it learns, how it is kept.

Unusual: the rest of the stage knows no family. A family is a handful of small methods; documents come to it counted,
and only the pretrained one, whose words are another tokenizer's, goes back to the texts.
"""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from nbpipe.config import Train
from nbpipe.errors import WorkError
from nbpipe.run import write
from nbpipe.train.bag import Bag, BagLearner
from nbpipe.train.bag import hidden as hidden_of_bags
from nbpipe.train.bag import score as score_bags
from nbpipe.train.corpus import Documents
from nbpipe.train.networks import Attention, Gru, Windowed
from nbpipe.train.pretrained import LONGEST, RECIPE, WEIGHTS, Pretrained, fetch, tokenize
from nbpipe.train.pretrained import load as load_pretrained
from nbpipe.train.rounds import Learner, Patience
from nbpipe.train.sequences import Answers, Recipe
from nbpipe.train.sequences import Learner as WindowLearner
from nbpipe.train.sequences import hidden as hidden_of_windows
from nbpipe.train.sequences import score as score_windows
from nbpipe.train.text import Bags, Vocabulary
from nbpipe.train.windows import Corpus
from nbpipe.train.words import Tokens, starts

Inputs = Bags | Tokens
VOCABULARY = "vocabulary.json"


@dataclass(frozen=True)
class Task:
    """What is to be learnt. truth: bool [N, C]; weights: float32 [N], of each document's loss; multi: see Parts."""

    truth: np.ndarray
    weights: np.ndarray
    multi: bool


class Family(Protocol):
    """What the stage asks of a family.

    again: whether the network that is kept learns anew, from training and validation part, for as many epochs as the
    search had; most: words of a document that an epoch reads at most, 0 for all; patience: when the search is over.
    """

    name: str
    again: bool
    most: int
    patience: Patience

    def vocabulary(self, documents: Documents, rows: np.ndarray) -> Any:
        """Return what turns text into inputs, learnt from these usable documents (int64 [M])."""

    def inputs(self, vocabulary: Any, documents: Documents) -> Inputs:
        """Return all usable documents as the network reads them."""

    def read(self, vocabulary: Any, texts: pl.Series) -> Inputs:
        """Return texts as the network reads them."""

    def network(self, vocabulary: Any, labels: int) -> nn.Module:
        """Return an untrained network."""

    def learner(self, network: nn.Module, vocabulary: Any, inputs: Inputs, task: Task) -> Learner:
        """Return what trains the network, on the device where that lies."""

    def score(self, network: nn.Module, inputs: Inputs, device: torch.device) -> Tensor:
        """Return the logits [N, C] of documents on the CPU, without dropout."""

    def hidden(self, network: nn.Module, inputs: Inputs, device: torch.device) -> Tensor:
        """Return on the CPU what the network's output layer sees of documents [N, P], to make their logits of it."""

    def facts(self, network: nn.Module, vocabulary: Any) -> dict[str, Any]:
        """Return as JSON types what the network is made with again, and what the model card tells of it."""

    def save(self, vocabulary: Any, network: nn.Module, folder: Path) -> None:
        """Write weights.safetensors, and what turns text into inputs."""

    def load(self, folder: Path, facts: dict[str, Any]) -> tuple[Any, nn.Module]:
        """Return what turns text into inputs, and the network with its weights."""


class BagFamily:
    """TF-IDF weighted word vectors, summed."""

    name, again, most = "bag", True, 0
    patience = Patience(epochs=1, fall=0.01, learnt=0.5)

    def vocabulary(self, documents: Documents, rows: np.ndarray) -> Vocabulary:
        """Return the words of these documents; raise WorkError where there are none."""
        return _worded(Vocabulary.of(documents.counts, rows))

    def inputs(self, vocabulary: Vocabulary, documents: Documents) -> Bags:
        """Return the documents' weighted words."""
        return vocabulary.weigh(documents.counts)

    def read(self, vocabulary: Vocabulary, texts: pl.Series) -> Bags:
        """Return the texts' weighted words."""
        return vocabulary.bags(texts)

    def network(self, vocabulary: Vocabulary, labels: int) -> Bag:
        """Return an untrained bag."""
        return Bag(len(vocabulary), labels)

    def learner(self, network: Bag, vocabulary: Vocabulary, inputs: Bags, task: Task) -> Learner:
        """Return what trains a bag."""
        return BagLearner(network, inputs, task.truth, task.weights, vocabulary.counts)

    def score(self, network: Bag, inputs: Bags, device: torch.device) -> Tensor:
        """Return the logits [N, C] of documents."""
        return score_bags(network, inputs, device)

    def hidden(self, network: Bag, inputs: Bags, device: torch.device) -> Tensor:
        """Return what the output layer sees of documents [N, P]."""
        return hidden_of_bags(network, inputs, device)

    def facts(self, network: Bag, vocabulary: Vocabulary) -> dict[str, Any]:
        """Return the sizes of the network."""
        return {
            "words": network.embedding.num_embeddings,
            "labels": network.output.out_features,
            "width": network.output.in_features,
        }

    def save(self, vocabulary: Vocabulary, network: Bag, folder: Path) -> None:
        """Write weights and vocabulary."""
        _save(vocabulary, network, folder)

    def load(self, folder: Path, facts: dict[str, Any]) -> tuple[Vocabulary, Bag]:
        """Return the vocabulary and a network of its size; raise WorkError where they do not fit."""
        network = Bag(facts["words"], facts["labels"], facts["width"])
        return _loaded(network, facts, folder)


class _Reader:
    """What families share whose networks read windows. recipe: how they are trained."""

    again, patience = False, Patience(epochs=3, fall=0.001)
    recipe: Recipe

    def learner(self, network: Windowed, vocabulary: Any, inputs: Tokens, task: Task) -> Learner:
        """Return what trains a network over windows."""
        truth = torch.from_numpy(task.truth)
        answers = Answers(truth.float() if task.multi else truth.int().argmax(1), torch.from_numpy(task.weights))
        return WindowLearner(network, Corpus(inputs, network.output.weight.device), answers, self.recipe)

    def score(self, network: Windowed, inputs: Tokens, device: torch.device) -> Tensor:
        """Return the logits [N, C] of documents."""
        return score_windows(network, Corpus(inputs, device))

    def hidden(self, network: Windowed, inputs: Tokens, device: torch.device) -> Tensor:
        """Return what the output layer sees of documents [N, P]."""
        return hidden_of_windows(network, Corpus(inputs, device))


@dataclass(frozen=True)
class OrderedFamily(_Reader):
    """A network over the words in their order, made here."""

    name: str
    kind: type[Gru] | type[Attention]
    recipe = Recipe()

    @property
    def most(self) -> int:
        """The words of a document that an epoch reads at most."""
        return self.recipe.most * self.kind.longest

    def vocabulary(self, documents: Documents, rows: np.ndarray) -> Vocabulary:
        """Return the words of at least two of these documents; raise WorkError where there are none."""
        return _worded(Vocabulary.of(documents.counts, rows, least=2))

    def inputs(self, vocabulary: Vocabulary, documents: Documents) -> Tokens:
        """Return the documents' known words in reading order."""
        return vocabulary.tokens(documents.counts)

    def read(self, vocabulary: Vocabulary, texts: pl.Series) -> Tokens:
        """Return the texts' known words in reading order."""
        return vocabulary.tokens(vocabulary.count([texts], order=True))

    def network(self, vocabulary: Vocabulary, labels: int) -> Windowed:
        """Return an untrained network."""
        return self.kind(torch.from_numpy(vocabulary.idf), labels)

    def facts(self, network: Windowed, vocabulary: Vocabulary) -> dict[str, Any]:
        """Return the sizes of the network."""
        return {
            "words": network.embedding.num_embeddings,
            "labels": network.output.out_features,
            "width": network.embedding.embedding_dim,
            "dropout": network.dropout.p,
            "window": network.longest,
        }

    def save(self, vocabulary: Vocabulary, network: Windowed, folder: Path) -> None:
        """Write weights and vocabulary."""
        _save(vocabulary, network, folder)

    def load(self, folder: Path, facts: dict[str, Any]) -> tuple[Vocabulary, Windowed]:
        """Return the vocabulary and a network of its size; raise WorkError where they do not fit."""
        network = self.kind(torch.zeros(facts["words"]), facts["labels"], facts["width"], facts["dropout"])
        return _loaded(network, facts, folder)


@dataclass(frozen=True, eq=False)
class Encoder:
    """A pretrained encoder as it was found, and its tokenizer: what the pretrained family has for a vocabulary."""

    name: str
    model: Any
    tokenizer: Any

    def __len__(self) -> int:
        return len(self.tokenizer)

    def __repr__(self) -> str:
        return f"the {len(self):,} tokens of {Path(self.name).name}"


@dataclass(frozen=True)
class PretrainedFamily(_Reader):
    """An encoder that others have trained. encoder: a folder or the hub's id; freeze: it stays as it is."""

    encoder: str = ""
    freeze: bool = False
    name, recipe, most = "pretrained", RECIPE, RECIPE.most * LONGEST

    def vocabulary(self, documents: Documents, rows: np.ndarray) -> Encoder:
        """Return the encoder; raise RequestError where it is not found or cannot be read safely."""
        return Encoder(self.encoder, *fetch(self.encoder))

    def inputs(self, vocabulary: Encoder, documents: Documents) -> Tokens:
        """Return the documents' tokens."""
        rows, found = list[np.ndarray](), list[Tokens]()
        for piece in documents.texts():
            rows.append(piece["row"].to_numpy())
            found.append(tokenize(vocabulary.tokenizer, piece["text"]))
        lengths = np.concatenate([np.diff(tokens.offsets) for tokens in found])
        whole = Tokens(np.concatenate([tokens.words for tokens in found]), starts(lengths))
        return whole.take(np.argsort(np.concatenate(rows)))

    def read(self, vocabulary: Encoder, texts: pl.Series) -> Tokens:
        """Return the texts' tokens."""
        return tokenize(vocabulary.tokenizer, texts)

    def network(self, vocabulary: Encoder, labels: int) -> Pretrained:
        """Return the encoder with an untrained layer on top."""
        return Pretrained(deepcopy(vocabulary.model), vocabulary.tokenizer, labels, self.freeze)

    def facts(self, network: Pretrained, vocabulary: Encoder) -> dict[str, Any]:
        """Return its sizes and the name of the encoder."""
        name = Path(self.encoder).name if Path(self.encoder).is_absolute() else self.encoder
        return {"labels": network.output.out_features, "window": network.longest, "encoder": name}

    def save(self, vocabulary: Encoder, network: Pretrained, folder: Path) -> None:
        """Write weights, the encoder's config and its tokenizer."""
        network.save(folder)

    def load(self, folder: Path, facts: dict[str, Any]) -> tuple[Encoder, Pretrained]:
        """Return the encoder and the network, without asking a hub."""
        network = load_pretrained(folder)
        return Encoder(facts["encoder"], network.encoder, network.tokenizer), network


def _worded(vocabulary: Vocabulary) -> Vocabulary:
    if len(vocabulary) == 1:
        raise WorkError("the documents to learn from hold no words, so there is nothing to tell labels by")
    return vocabulary


def _save(vocabulary: Vocabulary, network: nn.Module, folder: Path) -> None:
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    write(folder / WEIGHTS, save(state))
    vocabulary.save(folder / VOCABULARY)


def _loaded(network: nn.Module, facts: dict[str, Any], folder: Path) -> tuple[Vocabulary, Any]:
    """Return the vocabulary, and the network with its weights; raise WorkError where they do not fit."""
    network.load_state_dict(load((folder / WEIGHTS).read_bytes()))
    vocabulary = Vocabulary.load(folder / VOCABULARY)
    if len(vocabulary) != facts["words"]:
        raise WorkError(f"{folder.name}: vocabulary, labels and weights differ in size; train again")
    return vocabulary, network


BAG = BagFamily()
_MADE = {"bag": BAG, "gru": OrderedFamily("gru", Gru), "attention": OrderedFamily("attention", Attention)}
FAMILIES = (*_MADE, "pretrained")


def family(config: Train) -> Family:
    """Return the family that a config asks for."""
    return _MADE.get(config.model) or PretrainedFamily(str(config.encoder), config.freeze)


def restored(name: str, folder: Path, facts: dict[str, Any]) -> tuple[Family, Any, nn.Module]:
    """Return the family of a model folder, what turns text into inputs, and the network with its weights."""
    found = _MADE.get(name) or PretrainedFamily(facts["encoder"])
    return found, *found.load(folder, facts)
