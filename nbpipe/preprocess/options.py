"""How one document is read, and what it may take: the same words as the parameters of the preprocess stage.

Unusual: the defaults stand here a second time, since a parser's process starts faster without the config's library; a
test holds them equal. Passwords travel as the place of a file that an environment variable names, never as values, so
that none can get into a config, a notebook, a ledger or a log.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from nbpipe.preprocess.passwords import PASSWORDS, check

MOST_TEXT = 20_000_000  # bytes of text kept of a document, so that a part of a hundred fits Arrow's 2 GB of text


@dataclass(frozen=True)
class Options:
    """Limits of one document, and how it is read.

    timeout: seconds. memory: bytes beyond what the parsers hold. max_pages: pages read. max_bytes: size of a file that
    is opened. ocr: "off" or "auto". ocr_languages: as Tesseract takes them. passwords: a file with one a line.
    """

    timeout: float = 60
    memory: int = 2_000_000_000
    max_pages: int = 10_000
    max_bytes: int = 500_000_000
    ocr: str = "off"
    ocr_languages: str = "eng"
    passwords: Path | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """Return the options that a config's values give, and the place of the passwords that the environment names.

        What is not given stays at its default. Raises RequestError where that is no file of passwords.
        """
        place = _place(os.environ.get(PASSWORDS, ""))
        names = cls.__dataclass_fields__.keys() - {"passwords"}
        given = {name: settings[name] for name in names & settings.keys()}
        return cls(**given, passwords=place)


def _place(given: str) -> Path | None:
    """Return the absolute path of the passwords' file, None where none is given."""
    if not given.strip():
        return None
    from nbpipe.config import resolve  # here alone: a parser's process does without

    place = resolve(given)
    check(place)
    return place
