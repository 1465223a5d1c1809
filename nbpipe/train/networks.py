"""Networks that read words in order: one recurrent, one with attention; their windows make a document's logits.

Unusual: the vectors of words stand beside what the network made of them, both pooled over the window and weighed by the
words' rarity, so that a few hundred documents are enough to learn from. Word 0 is padding and is seen by nothing; a
word that is dropped while training becomes word 0.
"""

from typing import Any

import torch
from torch import Tensor, nn

from nbpipe.train.windows import Batch

RATE = 2e-3
WIDTH, DROPOUT, SPREAD = 128, 0.5, 0.1
LONGEST = 256
HEADS, LAYERS, FF = 2, 1, 2


class Windowed(nn.Module):
    """What networks that read windows share.

    The rule: a document's logits are the mean of its windows' logits, each weighed by its number of words; a document
    without words gets the bias of the output. longest: words a window; half: bf16 while training on CUDA; table: the
    word vectors of which a step touches only those of its batch, None where all weights are alike.
    """

    longest: int
    half = True
    table: nn.Parameter | None = None
    dropout: nn.Dropout
    output: nn.Linear

    def forward(self, batch: Batch, vectors: Tensor | None = None) -> Tensor:
        """Return the documents' logits [B, C]; vectors [W, L, H] stand for those of the batch's words."""
        logits = self.windows(batch.words, batch.lengths, vectors)
        return combine(logits, batch.lengths, batch.owners, len(batch.rows), self.output.bias)

    def embed(self, words: Tensor) -> Tensor:
        """Return the vectors [W, L, H] of words [W, L]."""
        raise NotImplementedError

    def windows(self, words: Tensor, lengths: Tensor, vectors: Tensor | None = None) -> Tensor:
        """Return the logits [W, C] of windows: words [W, L] up to lengths [W] (CPU), or their vectors [W, L, H]."""
        if not len(words):
            return self.output.bias.new_zeros(0, self.output.out_features)
        return self.output(self.dropout(self.pooled(words, lengths, vectors)))

    def pooled(self, words: Tensor, lengths: Tensor, vectors: Tensor | None = None) -> Tensor:
        """Return what the linear layer sees [W, P] of one window or more, given as to `windows`."""
        raise NotImplementedError

    def groups(self) -> list[dict[str, Any]]:
        """Return the parameters beside the table, with their rates, as torch's optimizers take them."""
        raise NotImplementedError


class Ordered(Windowed):
    """What the networks made here share: vectors of words, what a window's vectors become, one linear layer.

    rarity: float32 [V], each word's weight where a window is summed up; row 0 is padding, which weighs nothing.
    pooled: how many numbers the linear layer sees.
    """

    longest = LONGEST

    def __init__(self, rarity: Tensor, labels: int, width: int, pooled: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(rarity), width, padding_idx=0)
        self.register_buffer("rarity", rarity.clone())
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(pooled, labels)
        with torch.no_grad():
            self.embedding.weight.normal_(0, SPREAD)
            self.embedding.weight[0] = self.rarity[0] = 0

    @property
    def table(self) -> nn.Parameter:
        """The word vectors [V, H]."""
        return self.embedding.weight

    def groups(self) -> list[dict[str, Any]]:
        """Return the parameters beside the table, with their rate."""
        return [{"params": [weight for weight in self.parameters() if weight is not self.table], "lr": RATE}]

    def embed(self, words: Tensor) -> Tensor:
        """Return the vectors [W, L, H] of words [W, L]."""
        return self.embedding(words)

    def pooled(self, words: Tensor, lengths: Tensor, vectors: Tensor | None = None) -> Tensor:
        """Return what the linear layer sees [W, P] of one window or more, given as to `windows`."""
        return self.read(self.embed(words) if vectors is None else vectors, words, lengths)

    def read(self, vectors: Tensor, words: Tensor, lengths: Tensor) -> Tensor:
        """Return what the linear layer sees of each window [W, P]."""
        raise NotImplementedError

    def pool(self, vectors: Tensor, states: Tensor, words: Tensor) -> Tensor:
        """Return means of vectors [W, L, H] and states [W, L, S] by rarity, and the states' maxima: [W, H + 2 S]."""
        weights = self.rarity[words].to(states.dtype)
        shares = (weights / weights.sum(1, keepdim=True).clamp_min(1e-6))[:, None]
        mean = torch.bmm(shares, torch.cat([vectors.to(states.dtype), states], 2)).squeeze(1)
        return torch.cat([mean, peak(states, words)], 1)


def combine(values: Tensor, lengths: Tensor, owners: Tensor, documents: int, nothing: Tensor) -> Tensor:
    """Return what documents have [B, C]: the mean of their windows' values [W, C] by lengths [W].

    values: such as logits; nothing: [C], what a document without windows has.
    """
    values = values.float()
    weights = lengths.to(values.device, values.dtype)
    total = weights.new_zeros(documents).index_add_(0, owners, weights)
    shares = weights / total[owners]
    mean = torch.zeros(documents, values.shape[1], dtype=values.dtype, device=values.device)
    mean = mean.index_add(0, owners, values * shares[:, None])
    return torch.where(total[:, None] > 0, mean, nothing.to(values.dtype))


def peak(values: Tensor, words: Tensor) -> Tensor:
    """Return the maximum over a window's words [W, H] of values [W, L, H], 0 where all are padding."""
    low = torch.finfo(values.dtype).min
    found = values.masked_fill((words == 0)[:, :, None], low).amax(1)
    return found.masked_fill(found == low, 0)


def flip(values: Tensor, lengths: Tensor) -> Tensor:
    """Return windows [W, L, H] with the first `lengths` [W] words of each in reverse order, the rest as it is."""
    steps = torch.arange(values.shape[1], device=values.device)
    ends = lengths.to(values.device)[:, None]
    places = torch.where(steps < ends, ends - 1 - steps, steps)
    return values.gather(1, places[:, :, None].expand_as(values))


class Gru(Ordered):
    """A recurrent network over the words in both directions."""

    half = False  # what is carried over hundreds of words should not be rounded at each

    def __init__(self, rarity: Tensor, labels: int, width: int = WIDTH, dropout: float = DROPOUT) -> None:
        super().__init__(rarity, labels, width, 2 * width, dropout)
        self.onward = nn.GRU(width, width // 4, batch_first=True)
        self.back = nn.GRU(width, width // 4, batch_first=True)

    def read(self, vectors: Tensor, words: Tensor, lengths: Tensor) -> Tensor:
        """Return what the linear layer sees of each window [W, P]."""
        inputs = self.dropout(vectors)
        back = flip(self.back(flip(inputs, lengths))[0], lengths)
        return self.pool(vectors, torch.cat([self.onward(inputs)[0], back], 2), words)


class Attention(Ordered):
    """A small transformer encoder with learnt positions."""

    def __init__(
        self, rarity: Tensor, labels: int, width: int = WIDTH, dropout: float = DROPOUT, layers: int = LAYERS
    ) -> None:
        super().__init__(rarity, labels, width, 2 * width, dropout)
        inner = width // 2
        self.inlet = nn.Linear(width, inner)
        self.positions = nn.Parameter(torch.randn(self.longest, inner) * SPREAD)
        layer = nn.TransformerEncoderLayer(inner, HEADS, FF * inner, 0.0, "gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(inner), enable_nested_tensor=False)

    def read(self, vectors: Tensor, words: Tensor, lengths: Tensor) -> Tensor:
        """Return what the linear layer sees of each window [W, P]."""
        hidden = self.inlet(self.dropout(vectors)) + self.positions[: words.shape[1]]
        padding = words == 0
        padding = padding & ~padding.all(1, keepdim=True)  # some kernels make NaN of a window that is all padding
        return self.pool(vectors, self.encoder(hidden, src_key_padding_mask=padding), words)
