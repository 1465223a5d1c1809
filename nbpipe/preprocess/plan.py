"""The frozen list of documents, how it is dealt to shards, and what it grew from.

Unusual: nobody coordinates. Every machine lists the same folder, makes the same bytes, and deals the same shards; the
first one's plan.json stands, and a machine whose folder differs from it stops.
"""

import hashlib
import heapq
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, Self

from nbpipe.audit import as_json
from nbpipe.errors import RequestError, WorkError
from nbpipe.preprocess.files import Document
from nbpipe.run import Run, write_once
from nbpipe.shown import Sentence, Shown, Table

CHANGES = ("added", "removed", "changed")
_COST_OF_OPENING = 4096  # in bytes: keeps thousands of tiny files from counting as nothing


@dataclass(frozen=True, repr=False)
class Plan(Shown):
    """Every document's id and size, and the number of shards they are dealt to.

    history: the plans that it grew from, the first one first, each as its fingerprint and the ids that the next one
    added, removed and changed. It is no part of the fingerprint.
    """

    sizes: dict[str, int]
    num_shards: int
    history: tuple[dict[str, Any], ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of the list of documents; the number of shards is not part of it."""
        return hashlib.sha256(as_json(self.sizes)).hexdigest()

    @cached_property
    def shards(self) -> list[list[str]]:
        """The ids of each shard, sorted; each document is in exactly one."""
        return deal(self.sizes, self.num_shards)

    @property
    def balance(self) -> float:
        """The largest shard's bytes over the mean."""
        loads = [sum(self.sizes[name] for name in shard) for shard in self.shards]
        return max(loads) / (sum(loads) / len(loads)) if sum(loads) else 1.0

    def encode(self) -> bytes:
        """Return plan.json: one line a document, the same bytes on every machine."""
        lines = ",\n".join(
            json.dumps({"path": name, "bytes": size}, ensure_ascii=False) for name, size in self.sizes.items()
        )
        head = f'"fingerprint": "{self.fingerprint}",\n"num_shards": {self.num_shards},\n'
        if self.history:
            head += f'"history": {json.dumps(self.history, ensure_ascii=False)},\n'
        return f'{{\n{head}"documents": [\n{lines}\n]\n}}\n'.encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the plan of a plan.json; raise WorkError where it is damaged."""
        try:
            content = json.loads(data)
            sizes = {row["path"]: row["bytes"] for row in content["documents"]}
            plan = cls(sizes, content["num_shards"], tuple(content.get("history", ())))
            if plan.fingerprint == content["fingerprint"] and plan.num_shards in range(1, 100_000):
                return plan
        except (ValueError, KeyError, TypeError):
            pass
        raise WorkError("plan.json: damaged; restore it, or start a new run folder")

    def shown(self) -> list[Table | Sentence]:
        """The number of documents, their kinds and sizes, and how even the shards are."""
        kinds = Counter(PurePosixPath(name).suffix.lower() or "none" for name in self.sizes)
        rows = [
            ("documents", len(self.sizes)),
            ("megabytes", sum(self.sizes.values()) / 1e6),
            ("kinds", ", ".join(f"{kind} {count}" for kind, count in kinds.most_common(8))),
            ("shards", self.num_shards),
            ("largest shard over mean", self.balance),
        ]
        rows += [(f"grew from {before['fingerprint'][:12]}", summary(before)) for before in self.history]
        return [Table(["plan", ""], rows)]


def summary(changes: Mapping[str, Sequence[str]]) -> str:
    """Return how many documents were added, removed and changed, in words."""
    said = [f"{len(changes[word]):,} {word}" for word in CHANGES if changes[word]]
    return ", ".join(said) or "the same documents"


def deal(sizes: dict[str, int], num_shards: int) -> list[list[str]]:
    """Deal documents to shards so that their bytes are even: largest first, each to the lightest shard.

    The greedy rule of Graham, "Bounds on multiprocessing timing anomalies" (1969): at worst 4/3 of the best possible.
    """
    shards: list[list[str]] = [[] for _ in range(num_shards)]
    loads = [(0, index) for index in range(num_shards)]
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        load, index = loads[0]
        shards[index].append(name)
        heapq.heapreplace(loads, (load + sizes[name] + _COST_OF_OPENING, index))
    return [sorted(shard) for shard in shards]


def agree(documents: Iterable[Document], run: Run, num_shards: int) -> Plan:
    """Make the run's plan.json, or check that the folder and the number of shards still agree with it.

    Raises RequestError for an empty folder, another number of shards, or documents added, removed or changed in size.
    """
    plan = Plan({document.id: document.bytes for document in documents}, num_shards)
    if not plan.sizes:
        raise RequestError("documents: the folder holds no documents (names that start with a dot are skipped)")
    if write_once(run.plan, plan.encode()):
        return plan
    frozen = Plan.decode(run.plan.read_bytes())
    if frozen.num_shards != num_shards:
        raise RequestError(
            f"num_shards = {num_shards}: this run was planned with num_shards = {frozen.num_shards}; "
            "use that, or start a new run folder"
        )
    found = differences(frozen.sizes, plan.sizes)
    if any(found.values()):
        differ = ", ".join(f"{len(ids)} {word} ({_some(ids)})" for word, ids in found.items() if ids)
        raise RequestError(
            f"documents: the folder differs from plan.json: {differ}; `nbpipe grow` takes that in; or restore it"
        )
    return frozen


def differences(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, list[str]]:
    """Return the ids that were added, removed and changed in size between two lists of documents."""
    changed = (name for name in before.keys() & now.keys() if before[name] != now[name])
    found = (now.keys() - before.keys(), before.keys() - now.keys(), changed)
    return dict(zip(CHANGES, map(sorted, found), strict=True))


def _some(ids: list[str]) -> str:
    return ", ".join(map(repr, ids[:5])) + (", ..." if len(ids) > 5 else "")
