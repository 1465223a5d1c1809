"""The copies on this machine of what lies in object storage: brought up to date, and written to both.

Unusual: stages work on plain files. What one needs is fetched when it begins; what it makes is put there, whole, before
the copy is believed. A note beside the copies says of which version of its object each one is, so that what has not
changed is not fetched again. The copies hold nothing that is not there, so they can be deleted at any time.
"""

import json
import secrets
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from time import time

from nbpipe import storage
from nbpipe.addresses import TEMPORARY, address_of, copies
from nbpipe.errors import WorkError
from nbpipe.storage import THREADS, Entry

_FORGOTTEN = 86_400.0  # seconds after which a draft is nobody's


def fetch(folder: Path, *names: str, anew: bool = False, prune: bool = True) -> None:
    """Bring the copies of some files of a folder up to date, and remove those of files that are gone.

    names: paths below the folder, as patterns in which * is any text. anew: trust no copy. prune: whether copies of
    what is not there go. Does nothing for a folder of this machine. Raises WorkError where nothing answers.
    """
    if address_of(folder) is None:
        return
    began = time()
    found = {one.name: one for one in _wanted(folder, names)}
    for copy in list(folder.rglob("*")) if prune else []:
        name = copy.relative_to(folder).as_posix()
        patience = _FORGOTTEN if copy.name.startswith(TEMPORARY) else 0.0
        if patience or (name not in found and _matches(name, names)):
            with suppress(OSError):
                if copy.is_file() and copy.stat().st_ctime < began - patience:  # else just made
                    copy.unlink()
    stale = [one for one in found.values() if anew or not _is_copy(folder / one.name, one.version)]
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(lambda one: _fetch(folder / one.name, one.version), stale):
            pass


def bring(path: Path) -> bool:
    """Bring the copy of one file up to date; return whether there is such a file, here or in object storage."""
    if address_of(path) is not None:
        found = storage.find(path.parent, path.name)
        if found is None:
            with suppress(OSError):
                path.unlink()
        elif not _is_copy(path, found.version):
            _fetch(path, found.version)
    return path.is_file()


def _wanted(folder: Path, names: tuple[str, ...]) -> Iterator[Entry]:
    """Yield the objects that some names mean, after listing no more folders than are needed."""
    for root in {name.partition("*")[0].rpartition("/")[0] for name in names if "*" in name}:
        listed = (replace(one, name=f"{root}/{one.name}".lstrip("/")) for one in storage.entries(folder / root))
        yield from (one for one in listed if _matches(one.name, names))
    yield from (one for name in names if "*" not in name and (one := storage.find(folder, name)))


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) if "*" in pattern else name == pattern for pattern in patterns)


def _fetch(path: Path, version: str) -> None:
    draft = path.with_name(f"{TEMPORARY}{secrets.token_hex(4)}-{path.name}"[:250])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # gone since it was listed
            storage.download(address_of(path), draft)
            draft.replace(path)
            note(path, version)
    except OSError as error:
        raise WorkError(
            f"{address_of(path)}: no copy can be kept on this machine ({error.strerror}); make room or give access, or "
            "let XDG_CACHE_HOME name another folder"
        ) from None
    finally:
        with suppress(OSError):
            draft.unlink()


def put_folder(folder: Path, prune: bool = True) -> None:
    """Write all files of a folder as objects, those of the folder itself last; prune: delete the others there."""
    if address_of(folder) is None:
        return
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.parent == folder)
    names = {path.relative_to(folder).as_posix() for path in files}
    gone = [one.name for one in storage.entries(folder) if one.name not in names] if prune else []
    for path in files:
        note(path, storage.put(path, path))
    storage.delete_all(folder, gone)


def note(path: Path, version: str) -> None:
    """Remember which version of its object a copy is; the file must not change after."""
    state, mark = path.stat(), _mark(path)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text(json.dumps([version, state.st_size, state.st_mtime_ns]))


def _is_copy(path: Path, version: str) -> bool:
    """Tell whether a copy is there, is of this version, and was not touched since."""
    with suppress(OSError, ValueError):
        state = path.stat()
        return json.loads(_mark(path).read_bytes()) == [version, state.st_size, state.st_mtime_ns]
    return False


def _mark(path: Path) -> Path:
    return copies().parent / "versions" / path.relative_to(copies())
