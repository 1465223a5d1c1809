"""The copies on this machine of what lies in object storage: brought up to date, and written to both.

Unusual: stages work on plain files. What one needs is fetched when it begins; what it makes is put there, whole, before
the copy is believed. A note beside the copies says of which version of its object each one is, so that what has not
changed is not fetched again. The copies hold nothing that is not there, so they can be deleted at any time.
"""

import json
import secrets
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from time import time

from nbpipe import storage
from nbpipe.addresses import TEMPORARY, address_of, copies
from nbpipe.storage import THREADS, Entry


def fetch(folder: Path, *names: str, anew: bool = False) -> None:
    """Bring the copies of some files of a folder up to date, and remove those of files that are gone.

    names: paths below the folder, as patterns in which * is any text. anew: trust no copy. Does nothing for a folder of
    this machine. Raises WorkError where nothing answers.
    """
    if address_of(folder) is None:
        return
    began = time()
    found = {one.name: one for one in _wanted(folder, names)}
    for copy in list(folder.rglob("*")):
        name = copy.relative_to(folder).as_posix()
        if name not in found and not copy.name.startswith(TEMPORARY) and _matches(name, names):
            with suppress(OSError):
                if copy.is_file() and copy.stat().st_ctime < began:
                    copy.unlink()
    stale = [one for one in found.values() if anew or not _is_copy(folder / one.name, one.version)]
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(lambda one: _fetch(folder / one.name, one.version), stale):
            pass


def bring(path: Path) -> bool:
    """Bring the copy of one file up to date; return whether there is such a file, here or in object storage."""
    if address_of(path) is not None:
        fetch(path.parent, path.name)
    return path.is_file()


def _wanted(folder: Path, names: tuple[str, ...]) -> list[Entry]:
    if any("*" in name for name in names):
        return [one for one in storage.entries(folder) if _matches(one.name, names)]
    return [one for name in names if (one := storage.find(folder, name))]


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _fetch(path: Path, version: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{TEMPORARY}{secrets.token_hex(4)}-{path.name}"[:250])
    try:
        with suppress(FileNotFoundError):  # gone since it was listed
            storage.download(address_of(path), draft)
            draft.replace(path)
            note(path, version)
    finally:
        draft.unlink(missing_ok=True)


def put_folder(folder: Path) -> None:
    """Write all files of a folder as objects, those of the folder itself last, and delete the others there."""
    if address_of(folder) is None:
        return
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.parent == folder)
    names = {path.relative_to(folder).as_posix() for path in files}
    gone = [one.name for one in storage.entries(folder) if one.name not in names]
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
