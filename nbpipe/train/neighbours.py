"""What the train stage keeps of the documents it learnt from, so that the nearest ones to any document are found later.

Unusual: a vector is kept as its direction alone, of length 1 and in half precision. Nearness is an angle, so nothing
else is asked of it, and no network's numbers are too large for half precision then. Cosines are off by 0.0001.
"""

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn
from torch.nn import functional

from nbpipe.records import neighbours
from nbpipe.train.families import Family, Inputs

NAME = "neighbours.parquet"
_TOGETHER = 4096  # documents whose windows' vectors lie in memory at once


def directions(hidden: Tensor) -> np.ndarray:
    """Return hidden vectors [N, P] at length 1, float16; a vector without length stays without."""
    return functional.normalize(hidden.float()).half().cpu().numpy()


@torch.no_grad()
def look(family: Family, network: nn.Module, inputs: Inputs, device: torch.device) -> tuple[np.ndarray, np.ndarray]:
    """Return the logits of documents, float32 [N, C], and the directions of their hidden vectors, float16 [N, P].

    Both of one reading, in blocks of documents.
    """
    logits, found = list[Tensor](), list[np.ndarray]()
    for first in range(0, max(len(inputs), 1), _TOGETHER):
        block = inputs.take(np.arange(first, min(first + _TOGETHER, len(inputs))))
        hidden = family.hidden(network, block, device)
        logits.append(network.output(hidden.to(device)).cpu())
        found.append(directions(hidden))
    return torch.cat(logits).numpy(), np.concatenate(found)


def listed(paths: list[str], labels: list[str], vectors: np.ndarray) -> pa.Table:
    """Return the rows of neighbours.parquet: documents [N], their labels as people see them, float16 [N, P]."""
    width = vectors.shape[1]
    held = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), width)
    return pa.table([pa.array(paths), pa.array(labels), held], schema=neighbours(width))
