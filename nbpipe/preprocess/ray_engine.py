"""Parses documents on a Ray cluster: Ray Data hands them out, and each group is parsed as on a single machine.

Unusual: Ray is never given a document's risk. A worker of Ray parses its group in a process that can be killed, as the
local engine does, so a segfault is one row; Ray by itself would try it again without end. What Ray repeats is the
groups that a dying node had in work. Every node must see the documents under the same path, or reach their address,
and have the same parsers, for the bytes to be the same; one that does not ends the work with an error that names it.
"""

import logging
import math
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from nbpipe.errors import RequestError, WorkError
from nbpipe.preprocess.files import Document
from nbpipe.preprocess.options import Options
from nbpipe.preprocess.outcomes import outcomes_of, table_of
from nbpipe.preprocess.parsers import parse, parser_version
from nbpipe.preprocess.sandbox import Outcome, Sandbox, warm_up
from nbpipe.preprocess.worker import Parser, as_listed

# Read by a Ray that is started here: it tells nobody of its use, and says only what ends the work.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
try:
    import ray
    from ray.data import ActorPoolStrategy, DataContext, from_items
    from ray.exceptions import RayError
except ImportError as error:
    raise RequestError(f"engine = 'ray': {error.name} is not installed; pip install 'nbpipe[ray]'") from None

_GROUP, _GROUP_BYTES = 32, 1 << 24  # documents of a group at most, and their bytes, for the first to come soon
_SHARE = 4  # groups for each worker, so that none waits long for the last, and few, since each costs Ray some work
_IN_FLIGHT = 2  # groups that a worker has: the one that it parses, and the next
_PATIENCE = 10  # seconds in which a cluster must answer
_COLUMNS, _NODE = ("id", "bytes", "path", "address"), "node"


@dataclass(frozen=True)
class RayEngine:
    """A cluster that this process is connected to. limit: documents parsed at once, at most; 0: one per core."""

    limit: int

    @property
    def workers(self) -> int:
        """The cores of the nodes that are there now, up to the limit; nodes that join later are used too."""
        there = max(1, int(ray.cluster_resources().get("CPU", 1)))
        return min(there, self.limit) if self.limit else there

    @property
    def name(self) -> str:
        """What people call it."""
        nodes = sum(node["Alive"] for node in ray.nodes())
        return f"Ray, {nodes:,} node{'s' * (nodes != 1)}"

    def parse(self, documents: list[Document], options: Options, parser: Parser = parse) -> Iterator[Outcome]:
        """Yield the outcome of each document as it comes.

        parser: a function of a module that every node can import, called in the parsing process. Raises WorkError where
        a node sees other documents, or has other parsers, or Ray gives up.
        """
        if not documents:
            return
        here = {document.id: document for document in documents}
        groups = [_row(group) for group in _grouped(documents, self.workers)]
        parsed = from_items(groups, override_num_blocks=len(groups)).map_batches(
            _Worker,
            fn_constructor_kwargs={"options": options, "parser": parser, "version": parser_version()},
            batch_size=None,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(
                min_size=1,
                initial_size=self.workers,
                max_size=self.limit or None,
                max_tasks_in_flight_per_actor=_IN_FLIGHT,
            ),
            num_cpus=1,
        )
        with _plainly():
            for batch in parsed.iter_batches(batch_size=None, batch_format="pyarrow"):
                node = batch[_NODE][0].as_py()
                for outcome in outcomes_of(batch.drop_columns(_NODE)):
                    _check(outcome, here[outcome.id], node)
                    yield outcome


def connect(address: str, limit: int) -> RayEngine:
    """Join the cluster at an address, "auto" the one of this machine; "" a known one, else one started here.

    A cluster is known by RAY_ADDRESS, or to this machine. Raises RequestError where none answers.
    """
    if not ray.is_initialized():
        try:
            _knock(address or os.environ.get("RAY_ADDRESS", ""))
            with _own_sigterm():
                ray.init(address or None, log_to_driver=False, logging_level="ERROR", configure_logging=False)
        except Exception as error:  # Ray raises bare ones too
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise RequestError(
                f"ray_address = {address!r}: no Ray cluster answers there ({said}); accepted is 'auto', 'local', an "
                "address such as '10.0.0.1:6379', or nothing for the one of RAY_ADDRESS or one started here"
            ) from None
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    DataContext.get_current().enable_progress_bars = False  # the stage shows its own
    return RayEngine(limit)


def _knock(address: str) -> None:
    """Raise OSError where nothing answers at HOST:PORT, which Ray would try for minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()


def _grouped(documents: list[Document], workers: int) -> Iterator[list[Document]]:
    """Yield the documents in groups, in order."""
    most = min(_GROUP, math.ceil(len(documents) / (workers * _SHARE)))
    group: list[Document] = []
    for document in documents:
        if group and (len(group) == most or sum(one.bytes for one in group) + document.bytes > _GROUP_BYTES):
            yield group
            group = []
        group.append(document)
    yield group


def _row(documents: list[Document]) -> dict[str, list[Any]]:
    """Return a group as one row; paths as bytes, since file names need not be Unicode."""
    rows = [(document.id, document.bytes, os.fsencode(document.path), document.address) for document in documents]
    return dict(zip(_COLUMNS, map(list, zip(*rows, strict=True)), strict=True))


class _Worker:
    """What parses in a worker of Ray: groups one after the other, by a process of its own."""

    def __init__(self, options: Options, parser: Parser, version: str) -> None:
        warm_up()
        self._sandbox, self._node = Sandbox(options, 1, parser), ray.util.get_node_ip_address()
        if parser_version() != version:
            raise WorkError(
                f"the node {self._node} has other parsers ({parser_version()}) than this machine ({version}); "
                "install the same versions of nbpipe and its libraries on every node"
            )

    def __call__(self, group: pa.Table) -> pa.Table:
        """Return the outcomes of a group's documents, and the node that found them."""
        rows = zip(*(group[name][0].as_py() for name in _COLUMNS), strict=True)
        documents = [Document(name, size, Path(os.fsdecode(path)), address) for name, size, path, address in rows]
        outcomes = table_of(list(self._sandbox.parse(documents)))
        return outcomes.append_column(_NODE, pa.array([self._node] * len(outcomes)))


def _check(outcome: Outcome, document: Document, node: str) -> None:
    """Raise WorkError where a node did not find a document that lies here as it was listed."""
    if not as_listed(outcome.parsed):
        with suppress(OSError):
            if document.path.stat().st_size == document.bytes:
                raise WorkError(
                    f"documents: the node {node} does not see {document.id!r} as this machine does; every node must "
                    "see the same documents under the same path; run it again when it does"
                )


@contextmanager
def _plainly() -> Iterator[None]:
    """Turn what Ray says of work that failed into one sentence."""
    try:
        yield
    except RayError as error:
        cause: Any = getattr(error, "cause", None) or error
        while getattr(cause, "cause", None):
            cause = cause.cause
        said = str(cause).strip().splitlines() or [type(cause).__name__]
        ours = [line for line in said if line.startswith("nbpipe.errors.")] or said
        raise WorkError(f"engine = 'ray': {re.sub(r'^nbpipe.errors.[A-Za-z]+: ', '', ours[-1])}") from None


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep what this process does on SIGTERM: Ray puts its own in place when it connects."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)
