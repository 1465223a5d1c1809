"""The training documents that are nearest to a document, by the model's own hidden vector.

Unusual: near is what the model holds for alike, not what people do: two documents of similarity 1 are one to it. So a
neighbour of another label tells what a mistake was learnt from.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
from torch import Tensor

from nbpipe.errors import WorkError
from nbpipe.records import neighbours, read_table
from nbpipe.shown import Sentence, Shown, Table
from nbpipe.train.neighbours import NAME, directions

MANY = 3
_AT_ONCE, _BLOCK = 256, 16_384  # documents asked about, and documents they are compared with, in memory at once
_STEPS = 1_000_000  # similarities that differ by less than one of these to 1 are equal


class Neighbour(NamedTuple):
    """A training document, its labels joined by |, and the cosine of its hidden vector with that of another one."""

    path: str
    label: str
    similarity: float


@dataclass(frozen=True, repr=False)
class Nearest(Shown):
    """The training documents nearest to one document, the nearest first; none where the model sees nothing of it."""

    found: Sequence[Neighbour]

    def shown(self) -> list[Table | Sentence]:
        """Each with its label and its similarity."""
        if not self.found:
            return [Sentence("No training document is near: the model knows no word of this document.")]
        rows = [(path, label, math.floor(share * 1000 + 1e-6) / 1000) for path, label, share in self.found]
        caption = "Training documents nearest to it for the model, which cannot tell those of similarity 1.000 from it"
        return [Table(["path", "label", "similarity, rounded down"], rows, caption)]


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The documents a model was made with, sorted by path: paths and labels [N], and float16 [N, P] directions."""

    paths: Sequence[str]
    labels: Sequence[str]
    vectors: np.ndarray

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read them from a model folder; raise WorkError where they are damaged, or the model was kept without."""
        if not (folder / NAME).exists():
            raise WorkError(f"{folder.name}: lacks {NAME}, which earlier versions did not keep; train again")
        table = read_table(folder / NAME, neighbours(1))
        kind = table.schema.field("vector").type
        if not pa.types.is_fixed_size_list(kind):
            raise WorkError(f"{NAME}: holds no vectors ({kind}); was it written by another version? Train again")
        vectors = table["vector"].combine_chunks().flatten().to_numpy().reshape(-1, kind.list_size)
        return cls(table["path"].to_pylist(), table["label"].to_pylist(), vectors)

    def __len__(self) -> int:
        return len(self.paths)

    def nearest(self, hidden: Tensor, many: int = MANY) -> list[Nearest]:
        """Return the `many` nearest to each of these hidden vectors [Q, P], of equally near ones the first by path."""
        found = list[Nearest]()
        for asked in np.split(directions(hidden), range(_AT_ONCE, len(hidden), _AT_ONCE)):
            seen = asked.any(axis=1)
            for sees, keys in zip(seen, self._best(asked, many), strict=True):
                found.append(Nearest(self._decoded(keys) if sees else []))
        return found

    def _best(self, asked: np.ndarray, many: int) -> np.ndarray:
        """Return the largest keys of each document [Q, many], falling.

        A key is a similarity in steps, times the number of documents, less the position: no two are equal.
        """
        asked, best = _exact(asked), np.zeros((len(asked), 0), np.int64)
        for first in range(0, len(self), _BLOCK):
            block = _exact(self.vectors[first : first + _BLOCK])
            steps = np.rint(asked @ block.T * _STEPS).astype(np.int64)
            best = np.concatenate([best, steps * len(self) - np.arange(first, first + len(block))], axis=1)
            kept = min(many, best.shape[1])
            best = np.partition(best, -kept, axis=1)[:, -kept:]
        return -np.sort(-best, axis=1)

    def _decoded(self, keys: np.ndarray) -> list[Neighbour]:
        steps = -(-keys // len(self))
        rows = (steps * len(self) - keys).tolist()
        shares = np.minimum(steps / _STEPS, 1.0).tolist()
        return [Neighbour(self.paths[row], self.labels[row], share) for row, share in zip(rows, shares, strict=True)]


def _exact(vectors: np.ndarray) -> np.ndarray:
    """Return directions as float32, of length 1 again: half precision has changed it a little."""
    wide = vectors.astype(np.float32)
    return wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), np.finfo(np.float32).tiny)
