"""Passwords to try on encrypted documents: the lines of a file that an environment variable names.

Unusual: they live in this module's memory only. What a library says of an error passes through `redacted`, since it may
echo what it was given. Our own sentences do not: none holds a password, and a gap in one would give away an ordinary
word that somebody chose.
"""

from collections.abc import Iterator
from pathlib import Path

from nbpipe.errors import RequestError

PASSWORDS = "NBPIPE_PASSWORDS"  # names a file with one password a line
OPENED = "opened with a password of the list"

_held: dict[tuple[Path, int], list[str]] = {}  # by place and time of change: a worker reads a file once


def check(place: Path) -> None:
    """Raise RequestError unless `place` is a file of passwords; its name is not said, in case it is a password."""
    try:
        if place.is_file():
            _read(place)
            return
        wrong = "a folder or no regular file" if place.exists() else "no such file"
    except UnicodeDecodeError:
        wrong = "it is not UTF-8 text"
    except OSError as error:
        wrong = error.strerror or type(error).__name__
    raise RequestError(
        f"{PASSWORDS}: names no list of passwords ({wrong}); accepted is a file with one a line, in UTF-8"
    )


def tried(place: Path | None, first: str = "") -> Iterator[tuple[str, str]]:
    """Yield passwords to try, each with what to note if it opens: first the one that asks nobody, then the list's."""
    yield first, ""
    for password in _passwords(place):
        yield password, OPENED


def locked(place: Path | None) -> str:
    """Say that a document opens with no password that was given."""
    if place is None:
        return f"it opens only with a password ({PASSWORDS} can name a file with one a line)"
    return f"it opens only with a password; none of the {len(_passwords(place)):,} given opens it"


def redacted(text: str) -> str:
    """Return `text` without any password that this process has read, plain or escaped as in a repr."""
    secrets = {form for held in _held.values() for password in held for form in _forms(password)}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "…")
    return text


def _forms(password: str) -> set[str]:
    encoded = {repr(password.encode(encoding, "replace"))[2:-1] for encoding in ("utf-8", "latin-1")}
    return {password, repr(password)[1:-1], ascii(password)[1:-1], *encoded}


def _passwords(place: Path | None) -> list[str]:
    if place is None:
        return []
    try:
        key = (place, place.stat().st_mtime_ns)
        if key not in _held:
            _held[key] = _read(place)
    except (OSError, UnicodeDecodeError):  # its text must not get into a message
        raise RuntimeError(f"the file that {PASSWORDS} names can no longer be read") from None
    return _held[key]


def _read(place: Path) -> list[str]:
    """Return the lines of a file, each once; spaces belong to a password, blank lines are none."""
    lines = place.read_bytes().decode("utf-8-sig").split("\n")
    return list(dict.fromkeys(line.removesuffix("\r") for line in lines if line.strip()))
