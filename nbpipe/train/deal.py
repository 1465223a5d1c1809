"""Deals units of documents to the parts of a split, so that each label's documents come near to the shares.

Unusual: a unit may hold hundreds of documents and several labels. Labels are dealt one after the other, the rarest
first, as iterative stratification has it (Sechidis, Tsoumakas and Vlahavas 2011); with one document a unit this is a
plain stratified draw.
"""

from bisect import bisect
from collections import defaultdict
from itertools import accumulate

import numpy as np
import polars as pl

PARTS = ("train", "validation", "test")
TEST, VALIDATION = 0.2, 0.1
_ALL = frozenset(range(len(PARTS)))


def deal(counts: pl.DataFrame, seed: int) -> tuple[pl.DataFrame, set[str]]:
    """Return the part of each unit (columns unit, part), and the labels that some part could be given no unit of.

    counts: columns unit, label, documents, one row for each label of a unit; a label stands in three units or more.
    """
    dealer = _Dealer(counts.sort("unit", "label").rows(), seed)
    for label in sorted(dealer.units, key=lambda label: (len(dealer.units[label]), label)):
        dealer.deal(label)
    missing = {label for label, held in dealer.held.items() if not all(held)}
    dealt = {unit: PARTS[part] for unit, part in dealer.parts.items()}
    return pl.DataFrame(list(dealt.items()), {"unit": pl.Int64, "part": pl.String}, orient="row"), missing


class _Dealer:
    """What each label still wants in documents, what it holds in units, and where each unit went."""

    def __init__(self, rows: list[tuple[int, str, int]], seed: int) -> None:
        self.chance = np.random.default_rng(seed)
        self.parts = dict[int, int]()
        self.labels = defaultdict[int, list[tuple[str, int]]](list)
        self.units = defaultdict[str, list[tuple[int, int]]](list)
        for unit, label, documents in rows:
            self.labels[unit].append((label, documents))
            self.units[label].append((unit, documents))
        self.left = {label: len(units) for label, units in self.units.items()}
        self.held = {label: [0] * len(PARTS) for label in self.units}
        self.wanted = {label: _quotas(sum(size for _, size in units)) for label, units in self.units.items()}

    def deal(self, label: str) -> None:
        """Deal the units of a label that have no part yet, the large ones first, those of one size by chance."""
        units = [unit for unit in self.units[label] if unit[0] not in self.parts]
        order = np.lexsort((self.chance.permutation(len(units)), [-size for _, size in units]))
        for place, draw in zip(order.tolist(), self.chance.random(len(units)).tolist(), strict=True):
            unit, size = units[place]
            self._give(unit, self._choose(unit, label, size, draw))

    def _choose(self, unit: int, label: str, size: int, draw: float) -> int:
        """Return a part that wants so many documents, by chance in proportion to what it wants; else who wants most."""
        parts, wanted = self._needy(unit), self.wanted[label]
        fitting = [part for part in parts if wanted[part] >= size]
        if not fitting:
            return max(parts, key=lambda part: wanted[part])
        ends = list(accumulate(wanted[part] for part in fitting))
        return fitting[bisect(ends, draw * ends[-1])]

    def _needy(self, unit: int) -> list[int]:
        """Return the parts without a label of this unit that has only as many units left; all where it has more."""
        parts = _ALL
        for label, _ in self.labels[unit]:
            if self.left[label] <= len(PARTS):
                empty = {part for part in _ALL if not self.held[label][part]}
                parts = parts & empty if self.left[label] <= len(empty) and parts & empty else parts
        return sorted(parts)

    def _give(self, unit: int, part: int) -> None:
        self.parts[unit] = part
        for label, size in self.labels[unit]:
            self.wanted[label][part] -= size
            self.held[label][part] += 1
            self.left[label] -= 1


def _quotas(documents: int) -> list[int]:
    """Return how many documents of a label each part is to have."""
    test, validation = (max(1, round(share * documents)) for share in (TEST, VALIDATION))
    return [documents - test - validation, validation, test]
