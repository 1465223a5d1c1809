"""What the words of a bag add to its score: integrated gradients and occlusion.

Unusual: the path from the empty document to the whole one is straight, and the first layer is a weighted sum, so the
path stays straight behind it. Captum integrates there, over a few hundred numbers a document, and the chain rule takes
the result back to the words: the same attributions as from the words themselves, many times faster. A bag without one
word is known without reading it again: its sum less that word's vector, weighed anew.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from captum.attr import IntegratedGradients
from torch import Tensor

from nbpipe.train.bag import Bag, flat
from nbpipe.train.text import Bags
from nbpipe.train.words import owners

GAP = 0.01  # of the score; more steps are taken until the gap is smaller
FLOOR = 0.01  # a score nearer to that of the empty document is taken as this, for there is no part of nothing
STEPS, MOST_STEPS = 32, 4096
FEW_STEPS = STEPS
_POINTS = 4096  # documents times steps in memory at once
_ENTRIES = 1 << 16  # words in memory at once


def gradients(network: Bag, bags: Bags, contrasts: np.ndarray, steps: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """Return what each word adds to the score of its document, by integrated gradients from no words at all.

    contrasts: float32 [N, C], how the logits make the score. Returns values float32 [E], differences float32 [N] to the
    score of the empty document, and gaps float32 [N] and steps int64 [N] as in Attributions; steps, first and most, are
    doubled where the gap exceeds GAP.
    """
    network.eval()
    size = _POINTS // STEPS
    pieces = [_attribute(network, (bags, contrasts), start, steps) for start in range(0, len(bags), size)]
    empty = (np.zeros(0, np.float32),) * 3 + (np.zeros(0, np.int64),)
    return tuple(np.concatenate(arrays) for arrays in zip(empty, *pieces, strict=True))


def _attribute(
    network: Bag, given: tuple[Bags, np.ndarray], start: int, steps: tuple[int, int]
) -> tuple[np.ndarray, ...]:
    """Return values, differences, gaps and steps of one batch of documents."""
    bags, contrasts = given
    stop = min(start + _POINTS // STEPS, len(bags))
    words, weights, offsets = flat(bags.take(np.arange(start, stop)), network.bias.device)
    weights.requires_grad_()
    sums = network.embedding(words, offsets, per_sample_weights=weights)
    weighed = torch.from_numpy(contrasts[start:stop]).to(sums.device)
    slopes, *facts = _integrate(partial(_score, network), sums.detach(), weighed, steps)
    (slope,) = torch.autograd.grad(sums, weights, slopes)
    return tuple(tensor.cpu().numpy() for tensor in (weights.detach() * slope, *facts))


def _integrate(
    score: Callable[[Tensor, Tensor], Tensor], sums: Tensor, contrasts: Tensor, limits: tuple[int, int]
) -> tuple[Tensor, ...]:
    """Return the mean slope along the path [B, H], the differences, the gaps and the steps [B] of a batch."""
    with torch.no_grad():
        differences = score(sums, contrasts) - score(torch.zeros_like(sums), contrasts)
    integrate = IntegratedGradients(score, multiply_by_inputs=False)
    slopes, gaps = torch.zeros_like(sums), torch.full_like(differences, torch.inf)
    taken, (steps, most) = torch.zeros(len(sums), dtype=torch.int64, device=sums.device), limits
    while steps <= most and (gaps > GAP).any():
        for part in torch.nonzero(gaps > GAP)[:, 0].split(_POINTS // steps):
            found = integrate.attribute(
                sums[part], additional_forward_args=(contrasts[part],), n_steps=steps, method="riemann_middle"
            )
            slopes[part], taken[part] = found, steps
            wrong = (found * sums[part]).sum(1) - differences[part]
            gaps[part] = wrong.abs() / differences[part].abs().clamp(min=FLOOR)
        steps *= 2
    return slopes, differences, gaps, taken


def _score(network: Bag, sums: Tensor, contrasts: Tensor) -> Tensor:
    return (network.head(sums) * contrasts).sum(1)


@torch.no_grad()
def occlusion(network: Bag, bags: Bags, contrasts: np.ndarray) -> np.ndarray:
    """Return by how much the score of its document falls without each word: float32 [E]; contrasts: as above."""
    network.eval()
    words, weights, offsets = flat(bags, network.bias.device)
    sums = network.embedding(words, offsets, per_sample_weights=weights)
    owner, weighed = (torch.from_numpy(array).to(sums.device) for array in (owners(bags.offsets), contrasts))
    whole = _score(network, sums, weighed)
    falls = [
        whole[owner[part]] - _score(network, rest, weighed[owner[part]])
        for part, rest in _rests(network, sums, (words, weights, owner))
    ]
    return torch.cat([*falls, whole[:0]]).cpu().numpy()


def _rests(network: Bag, sums: Tensor, entries: tuple[Tensor, Tensor, Tensor]) -> Iterator[tuple[slice, Tensor]]:
    """Yield stretches of words, with what the sums of their documents would be without each of them [E', H]."""
    words, weights, owner = entries
    for first in range(0, len(words), _ENTRIES):
        part = slice(first, first + _ENTRIES)
        rest = sums[owner[part]] - weights[part, None] * network.embedding.weight[words[part].long()]
        length = (1 - weights[part].square()).clamp_min(0).sqrt()[:, None]
        yield part, torch.where(length > 1e-3, rest / length.clamp_min(1e-3), 0)
