"""Objects as fsspec's file systems give them: listed, read, written whole, deleted, by the paths that stand for them.

Unusual: object storage has no rename, and needs none. An object appears whole or not at all, a receipt is written last,
and where one of several machines must win, the storage decides by a conditional put. Credentials come from the
environment alone.
"""

import errno
import mimetypes
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from nbpipe.addresses import address_of, without_secrets
from nbpipe.errors import RequestError, WorkError

THREADS = 16  # that ask at once
_SAID = 300  # characters of what a library says
_LARGE = 50_000_000  # bytes: more is written in parts
_HERE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENAMETOOLONG)


@dataclass(frozen=True)
class Entry:
    """One object. name: its path below the folder that was listed; changed: seconds of the epoch, by its storage.

    version: what differs whenever its content does.
    """

    name: str
    bytes: int
    changed: float
    version: str


def is_folder(path: Path) -> bool:
    """Tell whether there is a folder, here or in object storage; there it must hold something."""
    place = address_of(path)
    if place is None:
        return path.is_dir()
    with _plainly(place), _if_there():
        system, base = _system(place)
        return system.info(base)["type"] == "directory" or bool(entries(path))  # an object may have its name too
    return False


def entries(folder: Path) -> list[Entry]:
    """Return every object below a folder, listed by pages; none where there is no folder."""
    place = address_of(folder)
    with _plainly(place), _if_there():
        system, base = _system(place)
        return _below(base, system.find(base, detail=True).values())
    return []


def names(folder: Path) -> list[str]:
    """Return the names in a folder, here or in object storage; none where there is no folder."""
    place = address_of(folder)
    if place is None:
        return [path.name for path in folder.iterdir()] if folder.is_dir() else []
    with _plainly(place), _if_there():
        system, base = _system(place)
        return [name.rstrip("/").rpartition("/")[2] for name in system.ls(base, detail=False)]
    return []


def beside(folder: Path) -> list[Entry]:
    """Return the objects that lie in a folder itself; none where there is no folder."""
    place = address_of(folder)
    with _plainly(place), _if_there():
        system, base = _system(place)
        return _below(base, (info for info in system.ls(base, detail=True) if info["type"] != "directory"))
    return []


def find(folder: Path, name: str) -> Entry | None:
    """Return one object of a folder, None where it is not there."""
    place = address_of(folder / name)
    with _plainly(place), _if_there():
        system, base = _system(place)
        info = system.info(base)
        return _entry(name, info) if info["type"] != "directory" else None
    return None


def _below(base: str, found: Iterable[Mapping[str, Any]]) -> list[Entry]:
    root = base.rstrip("/") + "/"
    named = ((info["name"], info) for info in found)
    return [
        _entry(name.removeprefix(root), info)
        for name, info in named
        if name.startswith(root) and not name.endswith("/")
    ]


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
            if _bucketless(error) or error.filename == str(target):
                raise
            system.info(system._parent(base))  # raises too where it is not of this object alone
            alone = error
    if alone:
        raise alone


def put(source: Path, path: Path) -> str:
    """Write a file's content as the object that a path stands for, whole, and return its version."""
    place = address_of(path)
    with _plainly(place):
        system, base = _system(place)
        if source.stat().st_size >= _LARGE:
            system.put_file(str(source), base)
            return _entry("", system.info(base)).version
        kind = mimetypes.guess_type(path.name)[0]
        said = system.pipe_file(base, source.read_bytes(), **({"ContentType": kind} if kind and _is_s3(place) else {}))
        version = said.get("ETag") if isinstance(said, Mapping) else None  # of these very bytes
        return version or _entry("", system.info(base)).version


def overwrite(path: Path, data: bytes) -> None:
    """Write the object that a path stands for, without a copy."""
    place = address_of(path)
    with _plainly(place):
        system, base = _system(place)
        system.pipe_file(base, data)


def create(path: Path, data: bytes) -> bool:
    """Write the object that a path stands for unless there is one; of several machines one wins. Return whether it did.

    Where the storage offers no conditional put, two that look in the same moment both win.
    """
    place = address_of(path)
    with _plainly(place):
        system, base = _system(place)
        try:
            system.pipe_file(base, data, mode="create")
            return True
        except FileExistsError:  # also where an answer was lost, and the same was sent again
            with suppress(FileNotFoundError):  # deleted since
                return system.cat_file(base) == data
            return False


def read(path: Path) -> bytes:
    """Return the content of the object that a path stands for; raise FileNotFoundError where there is none."""
    place = address_of(path)
    with _plainly(place):
        system, base = _system(place)
        return system.cat_file(base)


def clock(path: Path) -> float:
    """Return what the storage takes for the time, found by an object that is made for that and deleted."""
    place = address_of(path)
    with _plainly(place):
        system, base = _system(place)
        system.pipe_file(base, b"")
        try:
            return _entry("", system.info(base)).changed
        finally:
            system.rm_file(base)


def delete(path: Path) -> None:
    """Delete the object that a path stands for, if it is there."""
    place = address_of(path)
    with _plainly(place), _if_there():
        system, base = _system(place)
        system.rm_file(base)


def delete_folder(path: Path) -> None:
    """Delete every object below the folder that a path stands for."""
    delete_all(path, [one.name for one in entries(path)])


def move_folder(path: Path, target: Path) -> None:
    """Copy every object below a folder to below another, then delete it; cut short, it is made good by the next."""
    found = [one.name for one in entries(path)]
    with _plainly(place := address_of(path)), ThreadPoolExecutor(THREADS) as pool:
        (system, base), (_, other) = _system(place), _system(address_of(target))
        list(pool.map(lambda name: system.cp_file(f"{base}/{name}", f"{other}/{name}"), found))
    delete_all(path, found)


def delete_all(folder: Path, found: list[str]) -> None:
    """Delete objects by their names below a folder."""
    with _plainly(place := address_of(folder)):
        system, base = _system(place)
        with ThreadPoolExecutor(THREADS) as pool:  # one by one: many at once are taken for patterns
            list(pool.map(lambda name: system.rm_file(f"{base}/{name}"), found))


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


def _is_s3(place: str) -> bool:
    return place.startswith(("s3://", "s3a://"))


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
        if isinstance(error, OSError) and (error.errno in _HERE or _is_local(error)):
            raise WorkError(
                f"{place}: no copy can be kept on this machine ({error.strerror}); make room, or let TMPDIR and "
                "XDG_CACHE_HOME name other folders, then run the same again: what was finished is kept"
            ) from None
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


def _is_local(error: OSError) -> bool:
    """Tell whether a file of this machine is at fault: only then an error names it."""
    return isinstance(error.filename, str) and error.filename.startswith("/")


def _reason(error: Exception) -> str:
    if _bucketless(error):
        return "there is no such bucket"
    if isinstance(error, PermissionError):
        return "access is denied to the credentials of the environment"
    if type(error).__name__ == "NoCredentialsError":
        return "there are no credentials in the environment"
    said = " ".join(str(error).split())[:_SAID]
    return f"cannot be reached ({without_secrets(f'{type(error).__name__}: {said}')})"
