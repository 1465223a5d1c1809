"""A parser's process gets the words of the config, and of passwords only their place."""

from dataclasses import asdict
from pathlib import Path

import pytest

from nbpipe.config import Preprocess
from nbpipe.preprocess.options import PASSWORDS, Options


def test_the_defaults_are_those_of_the_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PASSWORDS, raising=False)
    assert Options.of(Preprocess(documents=tmp_path, run=tmp_path / ".." / "run").model_dump()) == Options()


def test_of_passwords_only_the_place_travels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "passwords").write_text("secret\n")
    monkeypatch.setenv(PASSWORDS, str(tmp_path / "passwords"))
    options = Options.of(asdict(Options()))
    assert options.passwords == tmp_path / "passwords"
    assert "secret" not in repr(options)
