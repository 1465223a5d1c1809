"""Keeps what tells of a machine and its people out of what is shared: folders of paths, user and host names.

Unusual: nothing marks a name as private, so it is recognised by where it stands. Folders of absolute paths go, wherever
they are; a user's name is known from home folders among a notebook's parameters and metadata, which no document can
fill, and from this machine. Names that every machine has, such as root, tell nothing and stay.
"""

import getpass
import re
import socket
from collections.abc import Iterable
from contextlib import suppress
from functools import cache

_QUOTED = re.compile(r"(['\"])(?:~|[A-Za-z]:|\\{1,4})?[/\\][^'\"\n]*[/\\]([^'\"\n/\\]+)[/\\]?\1")
_PATH = re.compile(r"(?<![\w/\\.…])(?:~|[A-Za-z]:|\\|file://)?[/\\](?:[^\s'\"<>:|/\\]+[/\\]+)+(?=[^\s'\"<>:|/\\])")
_HOME = re.compile(
    r"(?<![\w/\\.…])((?:file://)?(?:[A-Za-z]:)?[/\\]+(?:home|Users)[/\\]+)"
    r"([^\s/\\'\"<>:|,;)]+(?: [^\s/\\'\"<>:|,;)]+){0,3})(?=[/\\])"
)
_HOME_ALONE = re.compile(
    r"(?<![\w/\\.…])(?:file://)?(?:[A-Za-z]:)?[/\\]+(?:home|Users)[/\\]+([^\s/\\'\"<>:|,;)]+)[/\\]*(?![/\\\w])"
)
_TILDE = re.compile(r"(?<![\w/~])~[A-Za-z_][\w.-]*(?=[/\\])")
_ADDRESS = re.compile(r"\b(?!https?:|file:)[a-z][a-z0-9+]+://(?:[^\s'\"<>|/\\]+/+)+(?=[^\s'\"<>|/\\])")
_LEAST = 3  # letters: shorter names stand in too many words
# fmt: off
_COMMON = {
    "root", "user", "users", "username", "admin", "administrator", "guest", "public", "shared", "default", "nobody",
    "ubuntu", "debian", "centos", "fedora", "ec2-user", "azureuser", "opc", "jovyan", "jupyter", "runner", "vscode",
    "docker", "app", "data", "test", "dev", "work", "build", "server", "worker", "localhost", "local", "host", "home",
}
# fmt: on


def shorten(text: str) -> str:
    """Replace the folders of every absolute path and storage address in `text` by "…/", and a home folder by "~"."""
    text = _HOME_ALONE.sub("~", _HOME.sub(r"\1_", _TILDE.sub("~", _ADDRESS.sub("…/", text))))
    return _PATH.sub("…/", _QUOTED.sub(r"\1…/\2\1", text))


def owners(texts: Iterable[str]) -> set[str]:
    """Return the names of the users whose home folders stand in these texts, save those that every machine has."""
    found = {match for text in texts for home in (_HOME, _HOME_ALONE) for match in _second(home, text)}
    return {name for name in found if _telling(name)}


def _second(home: re.Pattern[str], text: str) -> list[str]:
    """Return the users' names that a pattern finds: its last group."""
    return [match.groups()[-1] for match in home.finditer(text)]


@cache
def machine() -> frozenset[str]:
    """Return the names of this machine and of the user at work here, save those that every machine has."""
    names = {socket.gethostname(), socket.gethostname().partition(".")[0]}
    with suppress(OSError, KeyError, ImportError):  # no such account, as in some containers
        names.add(getpass.getuser())
    return frozenset(name for name in names if _telling(name))


def _telling(name: str) -> bool:
    return len(name) >= _LEAST and name.lower() not in _COMMON


def anonymous(text: str, names: Iterable[str]) -> str:
    """Replace each of these names by "…" where it stands as a word of its own."""
    listed = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.sub(rf"(?<![\w-])(?:{listed})(?![\w-])", "…", text, flags=re.IGNORECASE) if listed else text
