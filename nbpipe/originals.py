"""Compares the documents as they are now with those that a run was made from, byte by byte.

Unusual: parts name the digest of every document, so nothing else is needed, and one part after the other is read, so a
hundred thousand documents take no more memory than a hundred. Files are read in threads: hashing and waiting for disks
both leave Python free.
"""

import os
from collections.abc import Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nbpipe.audit import digest
from nbpipe.config import relative
from nbpipe.errors import RequestError, WorkError
from nbpipe.preprocess.files import Document, here, list_documents
from nbpipe.preprocess.plan import Plan
from nbpipe.progress import progress
from nbpipe.run import Run
from nbpipe.storage import is_folder

_COLUMNS = ["path", "sha256", "bytes"]
_LISTED = 20
_THREADS = min(16, 2 * (os.cpu_count() or 1))


def compare(run: Run, documents: Path | None = None) -> tuple[list[str], list[str]]:
    """Return findings on documents that were changed or are gone, and remarks on what could not be compared.

    documents: where they lie; where it is not given, where they lay when the run was made. Raises RequestError where
    the given folder is none.
    """
    place = documents or run.documents()
    if documents and not is_folder(documents):
        raise RequestError(f"--documents {relative(documents)!r}: no such folder")
    if place is None or not is_folder(place):
        return [], ["documents: not on this machine, so not compared; nbpipe verify RUN --documents FOLDER does"]
    there = {document.id: document for document in list_documents(place)}
    parts = sorted(run.folder.glob("shards/*/part-*.parquet"))
    findings, undigested = list[str](), 0
    for row, problem in progress(_checked(parts, there), sum(map(_count, parts))):
        undigested += not row["sha256"]
        if problem:
            findings.append(f"documents: {row['path']!r} {problem}")
    return _shortened(findings), list(_remarks(_added(run, there.keys()), undigested))


def _added(run: Run, there: Set[str]) -> int:
    """Return how many documents the plan does not name; 0 where it is damaged, which is found elsewhere."""
    try:
        return len(there - Plan.decode(run.plan.read_bytes()).sizes.keys())
    except WorkError:
        return 0


def _checked(parts: list[Path], there: dict[str, Document]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield every row of parts with what is wrong with its document, or nothing."""
    with ThreadPoolExecutor(_THREADS) as pool:
        for part in parts:
            rows = _rows(part)
            yield from zip(rows, pool.map(lambda row: _problem(row, there.get(row["path"])), rows), strict=True)


def _rows(part: Path) -> list[dict[str, Any]]:
    try:
        return pq.read_table(part, columns=_COLUMNS).to_pylist()
    except (OSError, pa.ArrowException):  # damaged: found by the digest of the part
        return []


def _count(part: Path) -> int:
    try:
        return pq.read_metadata(part).num_rows
    except (OSError, pa.ArrowException):
        return 0


def _problem(row: dict[str, Any], document: Document | None) -> str:
    """Return what is wrong with a document; one that could not be opened is known by its size alone."""
    if document is None:
        return "is gone since it was read; restore it, or start a new run"
    try:
        same = document.bytes == row["bytes"]
        if same and row["sha256"]:
            with here(document) as path:
                same = path.is_file() and digest(path) == row["sha256"]
    except OSError as error:
        return f"cannot be read ({error.strerror}); give access to it"
    return "" if same else "was changed since it was read; restore it, or start a new run"


def _shortened(findings: list[str]) -> list[str]:
    hidden = len(findings) - _LISTED
    return findings[:_LISTED] + ([f"documents: {hidden:,} more were changed or are gone"] if hidden > 0 else [])


def _remarks(added: int, undigested: int) -> Iterator[str]:
    if added:
        new = "is new" if added == 1 else "are new"
        yield f"documents: {added:,} {new} since the plan was made, so the run knows nothing of them"
    if undigested:
        yield f"documents: {undigested:,} could not be read when the run was made, so their bytes are not known"
