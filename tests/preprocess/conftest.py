"""A module of parsers that misbehave, importable from the worker processes."""

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

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
