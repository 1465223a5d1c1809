"""A module of parsers that misbehave, importable from the worker processes, and programs in the place of Tesseract."""

import os
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from nbpipe.preprocess import tesseract
from nbpipe.preprocess.files import Document


@pytest.fixture(scope="session")
def misbehaving() -> Iterator[ModuleType]:
    """The module of made parsers; `by_name` does what a file's name says."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        yield import_module("misbehaving")


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
