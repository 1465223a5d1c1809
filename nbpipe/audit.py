"""Stamps and receipts: who made what, from what, and proof that it is unchanged.

Unusual: a receipt is written last and names the digest of every file of its stage and of the receipts it was made
from. Its presence is what "done" means; data or an executed notebook alone prove nothing, since papermill saves a
notebook whose kernel was killed as if every cell had completed.
"""

import hashlib
import json
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, distribution, requires, version
from pathlib import Path
from typing import Any, Self

from nbpipe import __version__
from nbpipe.config import Config
from nbpipe.errors import WorkError
from nbpipe.run import Run, shard_numbers, write
from nbpipe.shown import Sentence, Shown, Table

RECEIPT = "receipt.json"
_DIGEST = "sha256"
_TELLING = ("papermill", "pypdf", "pypdfium2", "pyarrow", "polars", "torch", "scikit-learn", "captum")


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def as_json(value: Any) -> bytes:
    """Return JSON that people can read and that is the same bytes for the same value."""
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def with_digest(content: Mapping[str, Any]) -> bytes:
    """Return JSON that also holds the digest of itself, so that any change of it is found by `digested`."""
    return as_json({**content, _DIGEST: hashlib.sha256(as_json(content)).hexdigest()})


def digested(data: bytes) -> dict[str, Any]:
    """Return what `with_digest` was given; raise ValueError for anything but the very bytes that it made."""
    content = json.loads(data)
    if isinstance(content, dict):
        content.pop(_DIGEST, None)
        if with_digest(content) == data:
            return content
    raise ValueError("not as it was written")


@dataclass(frozen=True, repr=False)
class Stamp(Shown):
    """What made a result: code, packages, config, platform, device and the time it began.

    code: the digest of the package's own modules, which tells what a commit with changes, or an install without a
    commit, does not.
    """

    facts: Mapping[str, Any]

    @classmethod
    def now(cls, config: Config, device: str = "cpu") -> Self:
        """Return the stamp of work that starts now. Holds no host name, user name or absolute path."""
        return cls(
            {
                "nbpipe": __version__,
                "commit": _commit() or _installed_commit(),
                "code": _code(),
                "python": platform.python_version(),
                "platform": f"{platform.system()} {platform.machine()}",
                "packages": {name: found for name in _wanted() if (found := _version(name))},
                "device": device,
                "seed": getattr(config, "seed", None),
                "config": config.shareable(),
                "started": datetime.now(UTC).isoformat(timespec="seconds"),
            }
        )

    @property
    def lasted(self) -> float:
        """The seconds since it was made."""
        return (datetime.now(UTC) - datetime.fromisoformat(self.facts["started"])).total_seconds()

    def shown(self) -> list[Table | Sentence]:
        """The facts but the config, which shows itself; of the packages those that decide most."""
        facts = {name: value for name, value in self.facts.items() if name not in ("config", "seed")}
        facts["packages"] = ", ".join(
            f"{name} {facts['packages'][name]}" for name in _TELLING if name in facts["packages"]
        )
        facts["code"] = facts["code"][:12]
        return [Table(["made with", ""], [(name, value or "unknown") for name, value in facts.items()])]


def _wanted() -> list[str]:
    """Name every package that this one asks for, for whatever purpose but its own tests."""
    try:
        lines = requires("nbpipe") or []
    except PackageNotFoundError:  # a checkout that is only on the path
        return list(_TELLING)
    own = re.compile(r"""extra == ['"](test|all)['"]""")
    named = {re.match(r"[\w.-]+", line)[0] for line in lines if not own.search(line)}
    return sorted(named - {"nbpipe"}, key=str.lower)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def _code() -> str:
    """Return the digest of the package's modules, by their names and bytes."""
    folder = Path(__file__).parent
    found = {path.relative_to(folder).as_posix(): digest(path) for path in sorted(folder.rglob("*.py"))}
    return hashlib.sha256(as_json(found)).hexdigest()


def _installed_commit() -> str | None:
    """Return the commit that pip installed this package from; None where it came from elsewhere."""
    try:
        origin = json.loads(distribution("nbpipe").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return None
    return origin.get("vcs_info", {}).get("commit_id")


def _commit() -> str | None:
    """Return the commit of this code, with "+changes" where the tree is not clean; None outside a checkout."""
    folder = Path(__file__).parent
    git = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty=+changes", "--match="]
    if not (folder.parent / ".git").exists():
        return None
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


@dataclass(frozen=True, repr=False)
class Receipt(Shown):
    """A stage's receipt as it lies on the disk."""

    folder: Path
    data: bytes

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What the receipt says."""
        return json.loads(self.data)

    @property
    def digest(self) -> str:
        """The SHA-256 of the receipt itself, which the last cell of the notebook shows."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def title(self) -> str:
        """The stage, and for preprocess the shard, that the receipt is of."""
        return (
            f"{self.facts['stage']} {self.folder.name}" if self.facts["stage"] == "preprocess" else self.facts["stage"]
        )

    @property
    def notebook(self) -> Path:
        """Where the executed notebook of this stage is kept."""
        stage = self.facts["stage"]
        if stage != "preprocess":
            return Run(self.folder.parent).notebook(stage)
        return Run(self.folder.parents[1]).notebook(stage, *(shard_numbers(self.folder.name) or (0, 1)))

    def shown(self) -> list[Table | Sentence]:
        """What it is the receipt of, and its digest."""
        return [
            Table(
                ["proof", ""], [("receipt", self.title), ("sha256", self.digest), ("files", len(self.facts["files"]))]
            )
        ]


def write_receipt(folder: Path, stage: str, stamp: Stamp, **facts: Any) -> Receipt:
    """Write the receipt of a stage, last of all, over every file in `folder`, and return it.

    facts: what the stage adds, such as rows, ok, failed, plan and inputs.
    """
    write(folder / RECEIPT, receipt_for(digests(folder), stage, stamp, facts))
    return read_receipt(folder)


def receipt_for(files: dict[str, str], stage: str, stamp: Stamp, facts: dict[str, Any]) -> bytes:
    """Return the content of a receipt over files, given by their names and digests."""
    finished = datetime.now(UTC).isoformat(timespec="seconds")
    content = {
        "stage": stage,
        "files": files,
        "config": stamp.facts["config"],
        "stamp": {name: value for name, value in stamp.facts.items() if name != "config"} | {"finished": finished},
        **facts,
    }
    return as_json(content)


def digests(folder: Path) -> dict[str, str]:
    """Return the digest of every file that a receipt vouches for, by its name within the folder."""
    return {path.relative_to(folder).as_posix(): digest(path) for path in _files(folder)}


def _files(folder: Path) -> list[Path]:
    """List what a receipt vouches for; names that start with a dot are drafts and notes of unfinished work."""
    found = [(path, path.relative_to(folder).parts) for path in folder.rglob("*") if path != folder / RECEIPT]
    return sorted(path for path, parts in found if not any(part.startswith(".") for part in parts) and path.is_file())


def read_receipt(folder: Path) -> Receipt:
    """Return the receipt of a stage's folder; raise WorkError where there is none or it is damaged."""
    try:
        receipt = Receipt(folder, (folder / RECEIPT).read_bytes())
    except FileNotFoundError:
        raise WorkError(f"{folder.name}: has no receipt, so it is not finished; run its stage (again)") from None
    except OSError as error:
        raise WorkError(f"{folder.name}/{RECEIPT}: cannot be read ({error.strerror}); restore it") from None
    try:
        groups = [receipt.facts[name] for name in ("files", "config", "stamp")] + [receipt.facts.get("inputs", {})]
        if isinstance(receipt.facts["stage"], str) and all(isinstance(group, dict) for group in groups):
            return receipt
    except (ValueError, TypeError, KeyError):
        pass
    raise WorkError(f"{folder.name}/{RECEIPT}: damaged; delete it and run its stage again")


def find_receipt(folder: Path) -> Receipt | None:
    """Return the receipt of a stage's folder, or None where there is none; raise WorkError where it is damaged."""
    return read_receipt(folder) if (folder / RECEIPT).exists() else None


def differences(receipt: Receipt) -> list[str]:
    """Return one line per file that does not match the receipt: missing, changed or extra."""
    lines, named = [], receipt.facts["files"]
    for name, expected in named.items():
        path = receipt.folder / name
        if not path.is_file():
            lines.append(f"{receipt.title}: {name} is missing")
        elif digest(path) != expected:
            lines.append(f"{receipt.title}: {name} does not match its digest")
    present = {path.relative_to(receipt.folder).as_posix() for path in _files(receipt.folder)}
    return lines + [f"{receipt.title}: {name} is not in the receipt" for name in sorted(present - named.keys())]


def trusted(folder: Path) -> Receipt:
    """Return a folder's receipt after comparing every file with it; raise WorkError that names what differs."""
    receipt = read_receipt(folder)
    wrong = differences(receipt)
    if wrong:
        raise WorkError("\n".join([*wrong, "run that stage again, or restore the files"]))
    return receipt
