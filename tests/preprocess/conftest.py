"""A module of parsers that misbehave, importable from the worker processes, and programs in the place of Tesseract."""

import os
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from nbpipe.preprocess import tesseract
from nbpipe.preprocess.files import Document

PARSERS = '''
import ctypes, os, sys, time
from nbpipe.preprocess.parsers import Parsed

def by_name(path, options):
    """Do what the first word of the file's name says; read it as text otherwise."""
    deed = globals().get("do_" + path.name.split("-")[0])
    if deed:
        deed()
    return Parsed("ok", "", "made", [path.read_text()])

def do_hang():
    time.sleep(600)

def do_spin():
    while True:
        pass

def do_segfault():
    ctypes.string_at(0)

def do_abort():
    os.abort()

def do_exit():
    os._exit(3)

def do_hog():
    held = [b"x" * (1 << 20) for _ in range(1 << 20)]

def do_raise():
    raise AssertionError("inside")

def do_write():
    print("noise")
    os.write(1, b"noise")
    os.write(2, b"noise")
'''


@pytest.fixture(scope="session")
def misbehaving(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The module of made parsers; `by_name` does what a file's name says."""
    folder = tmp_path_factory.mktemp("parsers")
    (folder / "nbpipe_made_parsers.py").write_text(PARSERS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield import_module("nbpipe_made_parsers")


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., list[Document]]:
    """Make files of these names, and return them as documents."""

    def make(*names: str) -> list[Document]:
        for name in names:
            (tmp_path / name).write_text(f"text of {name}")
        return [Document(name, (tmp_path / name).stat().st_size, tmp_path / name) for name in names]

    return make


TESSERACT = """#!/bin/sh
case "$1" in
--version) echo "tesseract 9.8.7"; echo " leptonica-1" ;;
--list-langs) echo "List of available languages (3):"; echo eng; echo frk; echo script/Latin ;;
*) {} ;;
esac
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    """Put a Tesseract first on PATH that reads a page by a line of shell; return the folder it lies in."""

    def install(reading: str, script: str = TESSERACT) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        (folder / "tesseract").write_text(script.format(reading))
        (folder / "tesseract").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
        tesseract._installed.cache_clear()
        return folder

    yield install
    tesseract._installed.cache_clear()


@pytest.fixture
def no_tesseract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave nothing on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    tesseract._installed.cache_clear()
    yield
    tesseract._installed.cache_clear()
