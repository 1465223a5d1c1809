"""Runs and documents in object storage, for which copies on this machine stand.

Unusual: a path below the folder of copies is an address. COPIES/s3/bucket/run stands for s3://bucket/run, so the stages
work on plain files, and only those who list, fetch and write ask here. What a stage needs is fetched when it begins;
what it makes is written there, whole, before the copy is believed. Object storage has no rename, and needs none: an
object appears whole or not at all, a receipt is written last, and where one of several machines must win, the storage
decides by a conditional put. The copies hold nothing that is not there, so they can be deleted at any time.

Whatever fsspec has a file system for can be addressed. Credentials come from the environment alone; an address that
holds some is refused.
"""

import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from time import time
from typing import Any

from platformdirs import user_cache_path

from nbpipe.errors import RequestError, WorkError

TEMPORARY = ".tmp-"
_ADDRESS = re.compile(r"([a-z][a-z0-9+]+):/+(.*)", re.DOTALL)
_HOLDS_SECRET = re.compile(r"[^/@]*:[^/@]*@|[^?]*\?")
_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN")
_THREADS = 16


@dataclass(frozen=True)
class Entry:
    """One object. name: its path below the folder that was listed; changed: seconds of the epoch, by its storage.

    version: what differs whenever its content does.
    """

    name: str
    bytes: int
    changed: float
    version: str


def is_address(value: object) -> bool:
    """Tell whether a value is the address of something in object storage, such as s3://bucket/folder."""
    return isinstance(value, str | Path) and _ADDRESS.fullmatch(str(value)) is not None


def local(address: str) -> Path:
    """Return the path that stands for an address on this machine; raise ValueError where it cannot be one."""
    scheme, rest = _ADDRESS.fullmatch(address).groups()
    if scheme in ("file", "local"):
        return Path("/" + rest)
    if _HOLDS_SECRET.match(rest):
        raise ValueError("credentials belong in the environment, not in an address")
    parts = rest.removesuffix("/").split("/")
    if not all(parts) or {".", ".."} & set(parts):
        raise ValueError("an address has no empty names, '.' or '..'")
    return _copies().joinpath(scheme, *parts)


def address(path: Path) -> str | None:
    """Return the address that a path stands for; None for what is on this machine alone, as drafts are."""
    if not path.is_relative_to(_copies()):
        return None
    scheme, *rest = path.relative_to(_copies()).parts or ("",)
    return f"{scheme}://{'/'.join(rest)}" if rest and not any(name.startswith(TEMPORARY) for name in rest) else None


def without_secrets(text: str) -> str:
    """Return text in which nothing stands that an address should not have held, nor what the environment keeps."""
    for name in _SECRETS:
        text = text.replace(os.environ.get(name) or "\0", "…")
    return re.sub(r"([a-z][a-z0-9+]+:/+)[^\s/@'\"]*:[^\s/@'\"]*@", r"\1…@", text)


@cache
def _copies() -> Path:
    return user_cache_path("nbpipe") / "objects"


def is_folder(path: Path) -> bool:
    """Tell whether there is a folder, here or in object storage; there it must hold something."""
    place = address(path)
    if place is None:
        return path.is_dir()
    with _plainly(place), _if_there():
        system, base = _system(place)
        return system.info(base)["type"] == "directory"
    return False


def entries(folder: Path) -> list[Entry]:
    """Return every object below a folder, listed by pages; none where there is no folder."""
    place = address(folder)
    with _plainly(place), _if_there():
        system, base = _system(place)
        return _below(base, system.find(base, detail=True).values())
    return []


def names(folder: Path) -> list[str]:
    """Return the names in a folder, here or in object storage; none where there is no folder."""
    place = address(folder)
    if place is None:
        return [path.name for path in folder.iterdir()] if folder.exists() else []
    with _plainly(place), _if_there():
        system, base = _system(place)
        return [name.rstrip("/").rpartition("/")[2] for name in system.ls(base, detail=False)]
    return []


def beside(folder: Path) -> list[Entry]:
    """Return the objects that lie in a folder itself; none where there is no folder."""
    place = address(folder)
    with _plainly(place), _if_there():
        system, base = _system(place)
        return _below(base, (info for info in system.ls(base, detail=True) if info["type"] != "directory"))
    return []


def _below(base: str, found: Iterable[Mapping[str, Any]]) -> list[Entry]:
    root = base.rstrip("/") + "/"
    named = ((info["name"], info) for info in found)
    return [
        _entry(name.removeprefix(root), info)
        for name, info in named
        if name.startswith(root) and not name.endswith("/")
    ]


def fetch(folder: Path, *names: str, anew: bool = False) -> None:
    """Bring the copies of some files of a folder up to date, and remove those of files that are gone.

    names: paths below the folder, as patterns in which * is any text. anew: trust no copy. Does nothing for a folder of
    this machine. Raises WorkError where nothing answers.
    """
    if address(folder) is None:
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
    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(lambda one: _fetch(folder / one.name, one.version), stale):
            pass


def bring(path: Path) -> bool:
    """Bring the copy of one file up to date; return whether there is such a file, here or in object storage."""
    if address(path) is not None:
        fetch(path.parent, path.name)
    return path.is_file()


def download(place: str, target: Path) -> None:
    """Copy the object at an address to a file.

    Raises FileNotFoundError or PermissionError where that is so of this object alone, WorkError where of all.
    """
    alone: OSError | None = None
    with _plainly(place):
        system, base = _system(place)
        try:
            system.get_file(base, str(target))
        except (FileNotFoundError, PermissionError) as error:
            if _bucketless(error):
                raise
            system.info(system._parent(base))  # raises too where it is not of this object alone
            alone = error
    if alone:
        raise alone


def _wanted(folder: Path, names: tuple[str, ...]) -> Iterator[Entry]:
    if any("*" in name for name in names):
        yield from (one for one in entries(folder) if _matches(one.name, names))
        return
    for name in names:
        place = address(folder / name)
        with _plainly(place), _if_there():
            system, base = _system(place)
            info = system.info(base)
            if info["type"] != "directory":
                yield _entry(name, info)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _fetch(path: Path, version: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{TEMPORARY}{secrets.token_hex(4)}-{path.name}"[:250])
    try:
        with suppress(FileNotFoundError):  # gone since it was listed
            download(address(path), draft)
            draft.replace(path)
            note(path, version)
    finally:
        draft.unlink(missing_ok=True)


def put(source: Path, path: Path) -> str:
    """Write a file's content as the object that a path stands for, whole, and return its version."""
    place = address(path)
    with _plainly(place):
        system, base = _system(place)
        system.put_file(str(source), base)
        return _entry("", system.info(base)).version


def overwrite(path: Path, data: bytes) -> None:
    """Write the object that a path stands for, without a copy."""
    place = address(path)
    with _plainly(place):
        system, base = _system(place)
        system.pipe_file(base, data)


def create(path: Path, data: bytes) -> bool:
    """Write the object that a path stands for unless there is one; of several machines one wins. Return whether it did.

    Where the storage offers no conditional put, two that look in the same moment both win.
    """
    place = address(path)
    with _plainly(place):
        system, base = _system(place)
        try:
            system.pipe_file(base, data, mode="create")
            return True
        except FileExistsError:  # also where an answer was lost, and the same was sent again
            return system.cat_file(base) == data


def read(path: Path) -> bytes:
    """Return the content of the object that a path stands for; raise FileNotFoundError where there is none."""
    place = address(path)
    with _plainly(place):
        system, base = _system(place)
        return system.cat_file(base)


def clock(path: Path) -> float:
    """Return what the storage takes for the time, found by an object that is made for that and deleted."""
    place = address(path)
    with _plainly(place):
        system, base = _system(place)
        system.pipe_file(base, b"")
        try:
            return _entry("", system.info(base)).changed
        finally:
            system.rm_file(base)


def delete(path: Path) -> None:
    """Delete the object that a path stands for, if it is there."""
    place = address(path)
    with _plainly(place), _if_there():
        system, base = _system(place)
        system.rm_file(base)


def delete_folder(path: Path) -> None:
    """Delete every object below the folder that a path stands for."""
    _delete(path, [one.name for one in entries(path)])


def move_folder(path: Path, target: Path) -> None:
    """Copy every object below a folder to below another, then delete it; cut short, it is made good by the next."""
    found = [one.name for one in entries(path)]
    with _plainly(place := address(path)), ThreadPoolExecutor(_THREADS) as pool:
        (system, base), (_, other) = _system(place), _system(address(target))
        list(pool.map(lambda name: system.cp_file(f"{base}/{name}", f"{other}/{name}"), found))
    _delete(path, found)


def _delete(folder: Path, found: list[str]) -> None:
    with _plainly(place := address(folder)):
        system, base = _system(place)
        if found:
            system.rm([f"{base}/{name}" for name in found])


def put_folder(folder: Path) -> None:
    """Write all files of a folder as objects, those of the folder itself last, and delete the others there."""
    if address(folder) is None:
        return
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.parent == folder)
    names = {path.relative_to(folder).as_posix() for path in files}
    gone = [one.name for one in entries(folder) if one.name not in names]
    for path in files:
        note(path, put(path, path))
    _delete(folder, gone)


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
    return _copies().parent / "versions" / path.relative_to(_copies())


def _entry(name: str, info: Mapping[str, Any]) -> Entry:
    """Return what file systems say of an object, each in its own words."""
    said = next((info[word] for word in ("LastModified", "mtime", "updated", "created") if info.get(word)), 0.0)
    if isinstance(said, str):
        said = datetime.fromisoformat(said)
    changed = said.timestamp() if isinstance(said, datetime) else float(said)
    size = int(info.get("size") or 0)
    version = next((str(info[word]) for word in ("ETag", "etag", "md5Hash") if info.get(word)), f"{size} {changed}")
    return Entry(name, size, changed, version)


def _system(place: str) -> tuple[Any, str]:
    """Return the file system of an address, and the address as that file system writes it."""
    scheme, rest = place.split("://", 1)
    system = _file_system(f"{scheme}://{rest.split('/')[0]}")
    return system, system._strip_protocol(place)


@cache  # fsspec would make one for each thread
def _file_system(place: str) -> Any:
    from fsspec.core import url_to_fs  # loads for long, and only who has such an address needs it

    scheme = place.partition("://")[0]
    try:
        return url_to_fs(place, use_listings_cache=False, skip_instance_cache=True)[0]
    except ImportError as error:
        remedy = "pip install 'nbpipe[s3]'" if scheme == "s3" else "install the fsspec file system for it"
        raise RequestError(f"{place}: {str(error).splitlines()[0]}; {remedy}") from None
    except ValueError:
        raise RequestError(f"{place}: no file system is known for {scheme}://; accepted is such as s3://") from None


@contextmanager
def _plainly(place: str | None) -> Iterator[None]:
    """Turn what a file system says of a whole bucket, or of a connection, into one sentence."""
    try:
        yield
    except (RequestError, WorkError):
        raise
    except Exception as error:
        if isinstance(error, FileNotFoundError | FileExistsError) and not _bucketless(error):
            raise
        remedy = "check the address and the credentials, then run the same again: what was finished is kept"
        raise WorkError(f"{place}: {_reason(error)}; {remedy}") from None


@contextmanager
def _if_there() -> Iterator[None]:
    """Pass over an object or a folder that is not there, unless its whole bucket is not."""
    try:
        yield
    except FileNotFoundError as error:
        if _bucketless(error):
            raise


def _bucketless(error: Exception) -> bool:
    """Tell whether an object is not there because its whole bucket is not."""
    return "bucket does not exist" in str(error)


def _reason(error: Exception) -> str:
    if _bucketless(error):
        return "there is no such bucket"
    if isinstance(error, PermissionError):
        return "access is denied to the credentials of the environment"
    if type(error).__name__ == "NoCredentialsError":
        return "there are no credentials in the environment"
    said = str(error).strip().splitlines() or [""]
    return f"cannot be reached ({without_secrets(f'{type(error).__name__}: {said[0]}')})"
