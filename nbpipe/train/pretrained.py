"""Any Hugging Face sequence encoder, fine-tuned or frozen, behind the same windows as the networks made here.

Unusual: the words are the tokens of the encoder's own tokenizer, and a window gets the special tokens around it only
when it is read. No code that comes with an encoder is run and no pickle is read: safetensors only. A trained encoder is
kept with its tokenizer in the model folder, so that it is read again without a network.
"""

from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import numpy as np
import polars as pl
import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor, nn

from nbpipe.copies import put_folder
from nbpipe.errors import RequestError, WorkError
from nbpipe.run import write
from nbpipe.train.networks import RATE, Windowed
from nbpipe.train.sequences import Recipe
from nbpipe.train.words import Tokens

ENCODER_RATE, DROPOUT = 2e-5, 0.1
LONGEST = 512  # tokens a window, where the encoder could read more: the cost of attention grows with the square
RECIPE = Recipe(decay=0.01, smoothing=0.0, word_dropout=0.0, most_batch=16, average=0.0)
ENCODER, WEIGHTS = "encoder", "weights.safetensors"
_TOGETHER = 2_000_000  # characters that are cut into tokens at once
_SAFE = {"trust_remote_code": False}
_SAMPLE = "a b c 1 ."
_FAILURES = (OSError, ValueError, ImportError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError)


class Pretrained(Windowed):
    """A pretrained encoder, the mean of its last states over a window, dropout, one linear layer.

    model: a transformers model; of one with a decoder only the encoder is taken. tokenizer: its fast tokenizer.
    frozen: the encoder stays as it is, and only the linear layer learns.
    """

    def __init__(self, model: Any, tokenizer: Any, labels: int, frozen: bool = False) -> None:
        super().__init__()
        self.config, self.tokenizer, self.frozen = model.config, tokenizer, frozen
        self.encoder = model.get_encoder() if model.config.is_encoder_decoder else model
        self.encoder.requires_grad_(not frozen)
        self.dropout = nn.Dropout(DROPOUT)
        self.output = nn.Linear(self.config.hidden_size, labels)
        self.before, self.after = _special(tokenizer)
        self.longest = _room(self.encoder, tokenizer) - len(self.before) - len(self.after)

    def groups(self) -> list[dict[str, Any]]:
        """Return the linear layer, and the encoder with its lower rate unless it is frozen."""
        head = {"params": list(self.output.parameters()), "lr": RATE}
        return [head] if self.frozen else [head, {"params": list(self.encoder.parameters()), "lr": ENCODER_RATE}]

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a frozen encoder stays without dropout."""
        super().train(mode)
        self.encoder.train(mode and not self.frozen)
        return self

    def embed(self, words: Tensor) -> Tensor:
        """Return the encoder's input vectors [W, L, H] of tokens [W, L]."""
        return self.encoder.get_input_embeddings()(words)

    def pooled(self, words: Tensor, lengths: Tensor, vectors: Tensor | None = None) -> Tensor:
        """Return what the linear layer sees [W, P] of windows: tokens [W, L] up to lengths [W], or input vectors."""
        inputs, mask = self._framed(words.long(), lengths.to(words.device)[:, None])
        given = {"input_ids": inputs}
        if vectors is not None:
            first, last = len(self.before), len(self.before) + words.shape[1]
            given = {"inputs_embeds": _inserted(self.embed(inputs), vectors, lengths, slice(first, last))}
        states = self.encoder(**given, attention_mask=mask).last_hidden_state
        shares = (mask / mask.sum(1, keepdim=True)).to(states.dtype)
        return torch.bmm(shares[:, None], states).squeeze(1)

    def _framed(self, words: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
        """Return windows with the special tokens around them, and where they are not padding; both int64 [W, S]."""
        first, last = len(self.before), len(self.after)
        fill = self.tokenizer.pad_token_id or 0
        framed = nn.functional.pad(words, (first, last), value=fill)
        framed[:, :first] = torch.tensor(self.before, dtype=torch.long, device=words.device)
        steps = torch.arange(framed.shape[1], device=words.device)
        framed.masked_fill_(steps >= first + ends, fill)
        for place, token in enumerate(self.after):
            framed.masked_fill_(steps == first + ends + place, token)
        return framed, (steps < first + ends + last).long()

    def save(self, folder: Path) -> None:
        """Write weights.safetensors, and the encoder's config and tokenizer below encoder/."""
        (folder / ENCODER).mkdir(parents=True, exist_ok=True)
        self.config.save_pretrained(folder / ENCODER)
        self.tokenizer.save_pretrained(folder / ENCODER)
        put_folder(folder / ENCODER)
        state = {name: value.detach().cpu().clone().contiguous() for name, value in self.state_dict().items()}
        write(folder / WEIGHTS, safetensors.save(state))


def _inserted(all_vectors: Tensor, vectors: Tensor, lengths: Tensor, where: slice) -> Tensor:
    """Return input vectors [W, S, H] with those of the windows' own tokens [W, L, H] in their places."""
    own = torch.arange(vectors.shape[1], device=vectors.device) < lengths.to(vectors.device)[:, None]
    middle = torch.where(own[:, :, None], vectors, all_vectors[:, where])
    return torch.cat([all_vectors[:, : where.start], middle, all_vectors[:, where.stop :]], 1)


def _special(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return the special tokens that the tokenizer puts before and behind a text."""
    found = tokenizer.backend_tokenizer.encode(_SAMPLE)
    own = [place for place, special in enumerate(found.special_tokens_mask) if not special]
    if not own:
        raise ValueError("the tokenizer finds no token in plain text")
    return found.ids[: own[0]], found.ids[own[-1] + 1 :]


def _room(encoder: nn.Module, tokenizer: Any) -> int:
    """Return how many tokens the encoder reads at once, special ones among them."""
    most = getattr(encoder.config, "max_position_embeddings", None) or LONGEST
    tables = [module for name, module in encoder.named_modules() if name.endswith("position_embeddings")]
    # RoBERTa and its kin number places from behind the padding's own number
    behind = max(
        (table.padding_idx + 1 for table in tables if getattr(table, "padding_idx", None) is not None), default=0
    )
    return min(LONGEST, most - behind, tokenizer.model_max_length)


def tokenize(tokenizer: Any, texts: pl.Series) -> Tokens:
    """Cut texts into the tokenizer's tokens, without special ones; a null text has none."""
    texts = texts.cast(pl.String).fill_null("")
    block = (texts.str.len_chars().cast(pl.Int64).cum_sum() // _TOGETHER).to_numpy()
    words, lengths = [np.zeros(0, np.int32)], []
    edges = np.flatnonzero(np.diff(block, prepend=-1, append=-1)) if len(block) else block
    for first, last in pairwise(edges.tolist()):
        found = tokenizer.backend_tokenizer.encode_batch_fast(texts[first:last].to_list(), add_special_tokens=False)
        words += [np.array(encoding.ids, np.int32) for encoding in found]
        lengths += [len(encoding) for encoding in found]
    return Tokens(np.concatenate(words), np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64))


def fetch(encoder: str) -> tuple[Any, Any]:
    """Return a pretrained model and its tokenizer, from a local folder or by its id on the Hugging Face hub.

    Raises RequestError where transformers is missing, or the encoder is not found or cannot be read safely.
    """
    library = _library()
    if not encoder:
        raise RequestError("encoder = '': model = 'pretrained' needs one; give a local folder or a Hugging Face hub id")
    try:
        tokenizer = library.AutoTokenizer.from_pretrained(encoder, use_fast=True, **_SAFE)
        model = library.AutoModel.from_pretrained(encoder, use_safetensors=True, dtype=torch.float32, **_SAFE)
        return model, _plain(tokenizer)
    except _FAILURES as error:
        said = str(error).strip().split("\n")[0]
        raise RequestError(
            f"encoder = {encoder!r}: cannot be read ({type(error).__name__}: {said}); give a folder with config.json, "
            "model.safetensors and tokenizer.json, or a hub id that this machine can reach"
        ) from None


def load(folder: Path) -> Pretrained:
    """Read what `Pretrained.save` wrote, without a network; raise WorkError where it is missing or damaged."""
    library = _library()
    try:
        kept = {"local_files_only": True, **_SAFE}
        config = library.AutoConfig.from_pretrained(folder / ENCODER, **kept)
        tokenizer = library.AutoTokenizer.from_pretrained(folder / ENCODER, use_fast=True, **kept)
        state = safetensors.load((folder / WEIGHTS).read_bytes())
        model = library.AutoModel.from_config(config, dtype=torch.float32, **_SAFE)
        network = Pretrained(model, _plain(tokenizer), len(state["output.bias"]))
        network.load_state_dict(state)
    except _FAILURES as error:
        said = str(error).strip().split("\n")[0]
        raise WorkError(
            f"{folder.name}: no encoder that can be read ({type(error).__name__}: {said}); train again"
        ) from None
    return network.eval()


def _plain(tokenizer: Any) -> Any:
    """Return the tokenizer without truncation and padding: windows are cut later."""
    if not tokenizer.is_fast:
        raise ValueError("it has no fast tokenizer (tokenizer.json)")
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    return tokenizer


def _library() -> ModuleType:
    """Return transformers, quiet; raise RequestError where it is not installed."""
    try:
        import transformers
    except ImportError:
        raise RequestError(
            "model = 'pretrained': transformers is not installed; pip install 'nbpipe[pretrained]'"
        ) from None
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers
