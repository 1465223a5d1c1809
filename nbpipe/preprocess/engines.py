"""The engines that parse a shard's documents: processes of this machine, or a Ray cluster.

Unusual: that is all an engine does. Parts, ledger, receipts, claims and resuming are the stage's own, whichever engine
runs, so the same documents give the same bytes.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from nbpipe.config import Preprocess
from nbpipe.preprocess.files import Document
from nbpipe.preprocess.options import Options
from nbpipe.preprocess.sandbox import Outcome, parse_all


class Engine(Protocol):
    """What the stage asks of an engine."""

    @property
    def workers(self) -> int:
        """The number of documents that are parsed at once."""

    @property
    def name(self) -> str:
        """What people call it."""

    def parse(self, documents: list[Document], options: Options) -> Iterator[Outcome]:
        """Yield the outcome of each document as it comes."""


@dataclass(frozen=True)
class Local:
    """So many processes of this machine."""

    workers: int
    name = "this machine"

    def parse(self, documents: list[Document], options: Options) -> Iterator[Outcome]:
        """Yield the outcome of each document as it comes."""
        return parse_all(documents, options, self.workers)


def start(config: Preprocess) -> Engine:
    """Return the engine that a config names, ready for work; raise RequestError where it cannot be reached."""
    if config.engine == "local":
        return Local(config.workers or cores())
    from nbpipe.preprocess.ray_engine import connect  # its library would slow every other start

    return connect(config.ray_address, config.workers)


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
