"""The run folder: where everything lies, and how it is written so that a crash leaves nothing half-made.

Unusual: no file is ever written in place. It gets a temporary name beside its own, is flushed to the disk and renamed,
so a reader on another machine sees all of it or nothing. Of a run in object storage, the folder is a copy: what is
written or removed is so there first.
"""

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nbpipe import copies, storage
from nbpipe.addresses import TEMPORARY, address_of, is_address, path_of
from nbpipe.errors import WorkError

_DOCUMENTS = ".documents"
_WHOLE = (  # the report is made again
    *("plan.json", "forecast.json", "ro-crate-metadata.json", _DOCUMENTS),
    *("shards/*", "earlier/*", "model/*", "explain/*", "audit/*"),
)


@dataclass(frozen=True)
class Run:
    """The paths of one run folder."""

    folder: Path

    @property
    def plan(self) -> Path:
        """The frozen list of documents."""
        return self.folder / "plan.json"

    @property
    def forecast(self) -> Path:
        """What the run was expected to take, by `nbpipe plan`."""
        return self.folder / "forecast.json"

    @property
    def earlier(self) -> Path:
        """The shards of plans before this one, while documents of theirs are taken over."""
        return self.folder / "earlier"

    @property
    def model(self) -> Path:
        """The trained model's folder."""
        return self.folder / "model"

    @property
    def tracking(self) -> Path:
        """The folder of training curves, written while training runs."""
        return self.folder / "tracking"

    @property
    def explain(self) -> Path:
        """The explanations' folder."""
        return self.folder / "explain"

    @property
    def audit(self) -> Path:
        """The executed notebooks' folder."""
        return self.folder / "audit"

    @property
    def report(self) -> Path:
        """The HTML site's folder."""
        return self.folder / "report"

    def shard(self, shard: int, num_shards: int) -> Path:
        """One shard's folder."""
        return self.folder / "shards" / shard_name(shard, num_shards)

    def of(self, stage: str, shard: int = 0, num_shards: int = 1) -> Path:
        """The folder that holds a stage's receipt; for preprocess, one shard's."""
        return {"train": self.model, "explain": self.explain}.get(stage) or self.shard(shard, num_shards)

    def notebook(self, stage: str, shard: int = 0, num_shards: int = 1) -> Path:
        """The executed notebook of a stage; for preprocess, of one shard."""
        name = f"{stage}-{shard_name(shard, num_shards)}" if stage == "preprocess" else stage
        return self.audit / f"{name}.ipynb"

    def fetch(self, *names: str, anew: bool = False) -> None:
        """Bring what is needed here, where the run lies in object storage: see `copies.fetch`; without names all."""
        copies.fetch(self.folder, *(names or _WHOLE), anew=anew)

    def remember_documents(self, documents: Path) -> None:
        """Note where the documents lie, seen from the run folder; `nbpipe retry` on this machine finds them so."""
        here = os.path.relpath(documents, self.folder) if address_of(self.folder) is None else os.fspath(documents)
        place = (address_of(documents) or here).encode(errors="surrogateescape")
        note = self.folder / _DOCUMENTS
        if not note.exists() or note.read_bytes() != place:
            write(note, place)

    def documents(self) -> Path | None:
        """Return where the documents lie, None where nothing is known of them."""
        note = self.folder / _DOCUMENTS
        if not note.exists():
            return None
        place = os.fsdecode(note.read_bytes())
        return path_of(place) if is_address(place) else Path(os.path.normpath(self.folder / place))


def shard_name(shard: int, num_shards: int) -> str:
    """Return the name of a shard, such as 00002-of-00010."""
    return f"{shard:05d}-of-{num_shards:05d}"


def shard_numbers(name: str) -> tuple[int, int] | None:
    """Return (shard, num_shards) of a shard folder's name, or None for any other name."""
    match = re.fullmatch(r"(\d{5})-of-(\d{5})", name)
    return (int(match[1]), int(match[2])) if match else None


def planned(run: Run) -> int | None:
    """Return the number of shards in the run's plan, None where it has none; raise WorkError for a damaged plan."""
    run.fetch("plan.json")
    try:
        total = json.loads(run.plan.read_bytes())["num_shards"]
        if total in range(1, 100_000):
            return int(total)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError):
        pass
    raise WorkError("plan.json: damaged; restore it, or start a new run folder")


@contextmanager
def replacing(path: Path, lasting: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it to the disk and rename it, on failure remove it.

    lasting: whether it must survive a power failure; a note that is proven before it is believed need not.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{TEMPORARY}{secrets.token_hex(4)}-{path.name}"[:250])
    try:
        yield draft
        if lasting:
            flush(draft)
        _put_in_place(draft, path)
        if lasting:
            flush(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _put_in_place(source: Path, path: Path) -> None:
    """Rename a file; where its new place is in object storage, after it is there."""
    version = storage.put(source, path) if address_of(path) else ""
    source.replace(path)
    if version:
        copies.note(path, version)


def write(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with replacing(path) as draft:
        draft.write_bytes(data)


def write_once(path: Path, data: bytes) -> bool:
    """Write `data` unless `path` exists; of several machines one wins. Return whether this one did."""
    if address_of(path):
        won = storage.create(path, data)
        copies.bring(path)
        return won
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{TEMPORARY}{secrets.token_hex(4)}-{path.name}")
    try:
        draft.write_bytes(data)
        flush(draft)
        os.link(draft, path)  # unlike a rename, fails where the name is taken
        return True
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)


def move(path: Path, target: Path) -> None:
    """Rename a file; in object storage, where nothing can be renamed, the new one is there before the old one goes."""
    _put_in_place(path, target)
    if address_of(path):
        storage.delete(path)


def remove(path: Path) -> None:
    """Remove a file, if it is there."""
    if address_of(path):
        storage.delete(path)
    path.unlink(missing_ok=True)


def move_folder(folder: Path, target: Path) -> None:
    """Rename a folder, if it is there; in object storage, every object of it."""
    if address_of(folder):
        storage.move_folder(folder, target)
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.exists():
        target.parent.mkdir(exist_ok=True)
        folder.rename(target)
        flush(folder.parent)


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that it holds, if it is there."""
    if address_of(folder):
        storage.delete_folder(folder)
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder beside `folder`, and on success put it in its place."""
    draft, old = (folder.with_name(f"{TEMPORARY}{secrets.token_hex(4)}-{folder.name}") for _ in range(2))
    draft.mkdir(parents=True)
    try:
        yield draft
        if folder.exists():
            folder.replace(old)
        draft.replace(folder)
        copies.put_folder(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn a full disk, a folder that may only be read and the like into a WorkError that says what to do."""
    try:
        yield
    except OSError as error:
        raise WorkError(
            f"run = {folder.name!r}: cannot be written ({os.strerror(error.errno) if error.errno else error}); "
            "what was finished is kept: make room or give access, then run the same again"
        ) from None


def sweep(folder: Path) -> None:
    """Remove the drafts that a killed writer left in `folder`."""
    for draft in folder.glob(f"{TEMPORARY}*"):
        draft.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Make sure that a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
