"""Addresses of what lies in object storage, and the paths that stand for them on this machine.

Unusual: a path below the folder of copies is an address. COPIES/s3/bucket/run stands for s3://bucket/run, so whatever
takes a path takes an address too, and nothing need be passed along beside it.
"""

import os
import re
from contextlib import suppress
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

TEMPORARY = ".tmp-"
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+]+):/+(.*)", re.DOTALL)
_HOLDS_SECRET = re.compile(r".*:.*@|.*\?.*=", re.DOTALL)
_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN")


def is_address(value: object) -> bool:
    """Tell whether a value is the address of something in object storage, such as s3://bucket/folder."""
    return isinstance(value, str | Path) and _ADDRESS.fullmatch(str(value)) is not None


def path_of(address: str) -> Path:
    """Return the path that stands for an address on this machine; raise ValueError where it cannot be one."""
    scheme, rest = _ADDRESS.fullmatch(address).groups()
    scheme = scheme.lower()
    if scheme in ("file", "local"):
        return Path("/" + rest)
    if _HOLDS_SECRET.match(rest):
        raise ValueError("credentials belong in the environment, not in an address")
    parts = rest.removesuffix("/").split("/")
    if not all(parts) or {".", ".."} & set(parts):
        raise ValueError("an address has no empty names, '.' or '..'")
    with suppress(OSError):  # found when something is written there
        copies().mkdir(mode=0o700, parents=True, exist_ok=True)
    return copies().joinpath(scheme, *parts)


def address_of(path: Path) -> str | None:
    """Return the address that a path stands for; None for what is on this machine alone, as drafts are."""
    if not path.is_relative_to(copies()):
        return None
    scheme, *rest = path.relative_to(copies()).parts or ("",)
    return f"{scheme}://{'/'.join(rest)}" if rest and not any(name.startswith(TEMPORARY) for name in rest) else None


def without_secrets(text: str) -> str:
    """Return text in which nothing stands that an address should not have held, nor what the environment keeps."""
    for name in _SECRETS:
        text = text.replace(os.environ.get(name) or "\0", "…")
    text = re.sub(r"([A-Za-z][A-Za-z0-9+]+:/+)[^\s'\"]*:[^\s'\"]*@", r"\1…@", text)
    return re.sub(r"([A-Za-z][A-Za-z0-9+]+:/+[^\s'\"?]*)\?[^\s'\"]*=[^\s'\"]*", r"\1?…", text)


@cache
def copies() -> Path:
    """Return the folder of copies."""
    return user_cache_path("nbpipe") / "objects"
