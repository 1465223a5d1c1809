"""Tesseract, a program of its own, reads the text off the picture of a page.

Unusual: it is started for one page at a time and dies with the process that started it, so killing a parser leaves
nothing behind. It inherits the parser's memory limit, and computes on one thread, as there is a parser on every core
already. What is installed is asked once per process, for which a thousand scans would otherwise wait.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import cache, partial

from nbpipe.stopping import wait_if_stopped

_GET = "Tesseract is not installed: apt-get install tesseract-ocr, or conda install -c conda-forge tesseract"
_BROKEN = "Tesseract does not start: see what tesseract --list-langs says"
_DIE_WITH_PARENT = 1  # prctl's PR_SET_PDEATHSIG


def tesseract_version() -> str | None:
    """Return the version of the Tesseract that is installed, such as "tesseract-5.3.0"; None where there is none."""
    try:
        first = _run("--version").decode(errors="replace").partition("\n")[0]
    except OSError:
        return None
    return "-".join(first.split()[:2])


def obstacle(languages: str) -> str:
    """Return what keeps Tesseract from reading these languages and how to get it, "" where nothing does.

    languages: as Tesseract takes them, such as "eng+deu".
    """
    try:
        missing = [name for name in languages.split("+") if name not in _installed()]
    except FileNotFoundError:
        return _GET
    except OSError:
        return _BROKEN
    if not missing:
        return ""
    return f"Tesseract lacks the language {' and '.join(missing)}: apt-get install {' '.join(map(_package, missing))}"


def read(picture: bytes, languages: str) -> str:
    """Return the text on a picture in PGM format; raise OSError that says how Tesseract ended where it fails."""
    return _run("stdin", "stdout", "-l", languages, given=picture).decode(errors="replace").strip()


@cache  # keeps no exceptions, so a failure for want of memory is not taken for an answer
def _installed() -> frozenset[str]:
    """Return the names of all languages that Tesseract can read."""
    return frozenset(_run("--list-langs").decode(errors="replace").splitlines()[1:])


def _package(language: str) -> str:
    """Return the Debian package that holds a language; of a script the one that holds all, as their names differ."""
    return "tesseract-ocr-all" if "/" in language else f"tesseract-ocr-{language.replace('_', '-').lower()}"


def _run(*arguments: str, given: bytes = b"") -> bytes:
    """Return what Tesseract writes; raise FileNotFoundError where there is none, another OSError where it fails."""
    try:
        done = subprocess.run(
            ["tesseract", *arguments],
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"OMP_THREAD_LIMIT": "1"},
            preexec_fn=_leash(),
        )
    except subprocess.SubprocessError as error:  # the leash failed, for want of memory
        raise ChildProcessError(type(error).__name__) from None
    if done.returncode:
        wait_if_stopped(done.returncode)
        raise ChildProcessError(f"exit code {done.returncode}")
    return done.stdout


def _leash() -> Callable[[], object] | None:
    """Return what a new process must call to die with this one; only Linux has it."""
    if sys.platform != "linux":
        return None
    return partial(ctypes.CDLL(None).prctl, _DIE_WITH_PARENT, signal.SIGKILL)
