"""The network, and the classifier that wraps it with its words and labels.

Unusual: a document enters as its own TF-IDF weights, so the network is differentiable by the weight of each word; that
is what explanations use. The embedding of the words is the hidden layer itself.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from nbpipe.audit import as_json
from nbpipe.errors import RequestError, WorkError
from nbpipe.run import write
from nbpipe.train.text import RULE, Bags, Vocabulary

WIDTH, DROPOUT, SPREAD = 128, 0.3, 0.01
BATCH = 512


class Bag(nn.Module):
    """Sum of weighted word vectors, ReLU, dropout, one linear layer: a network with one hidden layer."""

    def __init__(self, words: int, labels: int, width: int = WIDTH, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(words, width, mode="sum", include_last_offset=True)
        self.bias = nn.Parameter(torch.zeros(width))
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, labels)
        with torch.no_grad():
            self.embedding.weight.normal_(0, SPREAD)
            self.embedding.weight[0] = 0  # as padding_idx would, which keeps torch from its fast kernel

    def forward(self, words: Tensor, weights: Tensor, offsets: Tensor | None = None) -> Tensor:
        """Return logits [B, C].

        Flat: words and weights [E] with offsets [B + 1]; or padded: words and weights [B, W], padding word 0.
        """
        if offsets is None:
            offsets = torch.arange(0, words.numel() + 1, words.shape[1], device=words.device)
        hidden = self.embedding(words.reshape(-1), offsets, per_sample_weights=weights.reshape(-1))
        return self.head(hidden)

    def head(self, hidden: Tensor) -> Tensor:
        """Return logits [B, C] from the sums of word vectors [B, width]."""
        return self.output(self.dropout(torch.relu(hidden + self.bias)))


def pick_device(name: str) -> torch.device:
    """Return the device of this name; auto takes CUDA, then MPS, then CPU. Raises RequestError where it is absent."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    found = [device for device, there in present.items() if there]
    if name == "auto":
        return torch.device(found[0])
    if name not in found:
        raise RequestError(f"device = {name!r}: not on this machine; accepted here: {', '.join(['auto', *found])}")
    return torch.device(name)


def batch(bags: Bags, start: int, stop: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return words, weights and offsets of the documents start to stop, on the device."""
    first, last = bags.offsets[start], bags.offsets[stop]
    arrays = (bags.words[first:last], bags.weights[first:last], bags.offsets[start : stop + 1] - first)
    words, weights, offsets = (torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in arrays)
    return words, weights, offsets


@torch.no_grad()
def score(network: Bag, bags: Bags, device: torch.device) -> Tensor:
    """Return the network's logits [N, C] on the CPU, without dropout."""
    network.eval()
    starts = range(0, len(bags), BATCH)
    found = [network(*batch(bags, start, min(start + BATCH, len(bags)), device)).cpu() for start in starts]
    return torch.cat(found) if found else torch.zeros(0, network.output.out_features)


@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained network with the words it knows and the labels it gives, sorted."""

    network: Bag
    vocabulary: Vocabulary
    labels: list[str]
    device: torch.device

    def __repr__(self) -> str:
        return f"classifier of {len(self.labels)} labels, {self.vocabulary!r}, on {self.device.type}"

    def logits(self, texts: pl.Series) -> Tensor:
        """Return the logits [N, C] of texts, on the CPU."""
        return score(self.network, self.vocabulary.bags(texts), self.device)

    def save(self, folder: Path) -> None:
        """Write weights.safetensors, config.json, vocabulary.json and labels.json."""
        state = {name: value.detach().cpu().contiguous() for name, value in self.network.state_dict().items()}
        write(folder / "weights.safetensors", save(state))
        self.vocabulary.save(folder / "vocabulary.json")
        write(folder / "labels.json", as_json(self.labels))
        write(folder / "config.json", as_json(self._sizes()))

    def _sizes(self) -> dict[str, Any]:
        network = self.network
        return {
            "family": "bag",
            "words": network.embedding.num_embeddings,
            "labels": network.output.out_features,
            "width": network.output.in_features,
            "dropout": network.dropout.p,
            "rule": RULE,
        }

    @classmethod
    def load(cls, folder: Path, device: str = "auto") -> Self:
        """Read a classifier from a model folder; raise WorkError where a file is missing or does not fit the others."""
        place = pick_device(device)
        try:
            sizes = json.loads((folder / "config.json").read_bytes())
            labels = json.loads((folder / "labels.json").read_bytes())
            network = Bag(sizes["words"], sizes["labels"], sizes["width"], sizes["dropout"])
            network.load_state_dict(load((folder / "weights.safetensors").read_bytes()))
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise WorkError(
                f"{folder.name}: no model that can be read ({type(error).__name__}: {error}); train again"
            ) from None
        vocabulary = Vocabulary.load(folder / "vocabulary.json")
        if (len(vocabulary), len(labels)) != (sizes["words"], sizes["labels"]):
            raise WorkError(f"{folder.name}: vocabulary, labels and weights differ in size; train again")
        return cls(network.to(place).eval(), vocabulary, labels, place)
