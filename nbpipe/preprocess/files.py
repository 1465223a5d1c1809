"""Lists the documents of a folder, and brings those of object storage here, one by one.

Unusual: folders behind links are walked after the real ones and each real folder once, so a loop of links ends and a
document gets the id of its real place. What is not a regular file is listed too: a document never vanishes silently.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from nbpipe import storage
from nbpipe.addresses import address_of
from nbpipe.errors import RequestError


@dataclass(frozen=True, order=True)
class Document:
    """One input file: its id (path relative to the folder, POSIX form), size in bytes, and where it lies here.

    address: of a document in object storage, which must be brought here; problem: why it cannot be read.
    """

    id: str
    bytes: int
    path: Path
    address: str = ""
    problem: str = ""


def list_documents(folder: Path) -> list[Document]:
    """Return every document below `folder`, sorted by id; names that start with a dot are skipped.

    Raises RequestError where a folder cannot be listed, or two names become the same id; WorkError where object storage
    does not answer.
    """
    if address_of(folder):
        return sorted(_objects(folder))
    found: list[Document] = []
    seen: set[tuple[int, int]] = set()
    waiting = [(folder, "")]
    while waiting:  # each round walks real folders; the links found in it are the next round
        links: list[tuple[Path, str]] = []
        for start, prefix in sorted(waiting, key=lambda item: item[1]):
            _walk(start, prefix, seen, found, links)
        waiting = links
    found.sort()
    for one, two in pairwise(found):
        if one.id == two.id:
            raise RequestError(f"documents: two files have the id {one.id!r}; rename one of them")
    return found


def _objects(folder: Path) -> Iterator[Document]:
    for one in storage.entries(folder):
        names = one.name.split("/")
        if not all(names):
            raise RequestError(f"documents: {one.name!r} has an empty name between two slashes; rename it")
        if not any(name.startswith(".") for name in names):
            yield Document(one.name, one.bytes, folder / one.name, f"{address_of(folder)}/{one.name}")


@contextmanager
def here(document: Document) -> Iterator[Path]:
    """Give the path of a document; one of object storage is brought here for as long.

    A path without a file where the document is gone. Raises PermissionError where it may not be read.
    """
    if not document.address:
        yield document.path
        return
    with tempfile.TemporaryDirectory(prefix="nbpipe-") as folder:
        path = Path(folder) / "document"
        with suppress(FileNotFoundError):
            storage.download(document.address, path)
        yield path


def _walk(
    start: Path, prefix: str, seen: set[tuple[int, int]], found: list[Document], links: list[tuple[Path, str]]
) -> None:
    stack = [(start, prefix)]
    while stack:
        folder, prefix = stack.pop()
        state = folder.stat()
        if (state.st_dev, state.st_ino) in seen:
            continue
        seen.add((state.st_dev, state.st_ino))
        for entry in _entries(folder, prefix):
            place, name = Path(entry.path), prefix + id_of(entry.name)
            if _is_folder(entry):
                (links if entry.is_symlink() else stack).append((place, name + "/"))
            else:
                found.append(Document(name, _size(entry), place))


def _entries(folder: Path, prefix: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise RequestError(f"documents: the folder {prefix or '.'!r} cannot be listed: {error.strerror}") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _size(entry: os.DirEntry[str]) -> int:
    """Return the size of a regular file; 0 for what is none, such as a dangling link or a FIFO."""
    try:
        return entry.stat().st_size if entry.is_file() else 0
    except OSError:
        return 0


def id_of(name: str) -> str:
    """Return a file name as valid Unicode; bytes that are not UTF-8 become \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
