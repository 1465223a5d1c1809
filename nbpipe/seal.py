"""Seals: what a notebook's cells were and showed when they ran, kept beside it, so that any later change is found.

Unusual: the kernel itself seals, in the moment its last cell shows the receipt, because papermill leaves no room for
code of ours after it has saved. By then papermill has written every cell and every output before the last cell to the
file that it is making, and that file is what is sealed. Where no such file is found, as in an open notebook, the seal
holds the sources that ran and no outputs. A seal's name holds its own digest, and there may be several of one receipt:
running a finished stage once more makes another notebook that is just as true.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from nbpipe.audit import Receipt, as_json
from nbpipe.book import Cell, digest_of, read_cells, shown_as
from nbpipe.copies import fetch
from nbpipe.run import remove, write

FOLDER = "seals"
_UNKNOWN = {"shows": None, "prints": None}
_MOST = 5  # findings named of one notebook


@dataclass(frozen=True)
class Seal:
    """What is known of one execution of a notebook, for the receipt that it made or found.

    sources: digests of the code cells, in the order they ran; cells: the digests of every cell, None where only its
    sources are known; file: the digest of the saved file, None where it was saved after the seal.
    """

    receipt: str
    sources: list[str]
    cells: list[dict[str, str | None]] | None = None
    file: str | None = None

    @classmethod
    def of(cls, data: bytes, receipt: Receipt) -> "Seal":
        """Return the seal of an executed notebook as it is saved; raise ValueError where it is none."""
        cells = read_cells(data)
        return cls(receipt.digest, _sources(cells), [cell.digests for cell in cells], hashlib.sha256(data).hexdigest())

    def differences(self, cells: list[Cell], file: str) -> list[str]:
        """Return how a notebook differs from this seal, in words that follow its name."""
        if self.cells is None:
            return list(_changes(self.sources, _sources(cells), "code cell"))
        now = [cell.digests for cell in cells]
        lines = list(_changes([cell["is"] for cell in self.cells], [cell["is"] for cell in now], "cell"))
        if not lines:
            lines = [
                line
                for number, pair in enumerate(zip(self.cells, now, strict=True), 1)
                for line in _shown(number, *pair)
            ]
        if not lines and self.file not in (None, file):
            lines = ["was saved again after its run; its cells are as they were"]
        return lines


def keep(notebook: Path, seal: Seal, alone: bool = False) -> None:
    """Write a seal of a notebook, and remove those that name another receipt; alone: all others."""
    content = as_json(asdict(seal))
    own = notebook.parent / FOLDER / f"{notebook.stem}-{hashlib.sha256(content).hexdigest()[:16]}.json"
    write(own, content)
    fetch(notebook.parent, f"{FOLDER}/{notebook.stem}-*")
    for path in paths(notebook):
        with suppress(ValueError, OSError):
            if path == own or (_read(path).receipt == seal.receipt and not alone):
                continue
        remove(path)


def findings(notebook: Path, cells: list[Cell], data: bytes, receipt: str) -> list[str]:
    """Return how a notebook differs from what was sealed when it ran, in words that follow its name."""
    lines, seals = _known(notebook, receipt)
    if not seals:
        return lines or [f"has no seal in audit/{FOLDER}/, so nothing proves what its cells were and showed"]
    file = hashlib.sha256(data).hexdigest()
    least = min((seal.differences(cells, file) for seal in seals), key=len)
    more = [f"{len(least) - _MOST:,} more of its cells differ"] if len(least) > _MOST else []
    return [*lines, *least[:_MOST], *more]


def outputs_known(notebook: Path, receipt: str) -> bool:
    """Return whether a seal of this receipt holds what the notebook's cells showed."""
    return any(seal.cells is not None for seal in _known(notebook, receipt)[1])


def from_kernel(history: list[str], draft: bytes | None, receipt: Receipt, shown: tuple[dict, dict]) -> Seal:
    """Return the seal of the notebook that is running.

    history: the sources that ran, the last of which shows the receipt; draft: the notebook as it is saved so far;
    shown: data and metadata of the receipt's own output.
    """
    ran = [digest_of(source.rstrip("\n")) for source in history]
    with suppress(ValueError):
        cells = read_cells(draft or b"")
        places = [place for place, cell in enumerate(cells) if cell.code]
        if _sources(cells)[: len(ran)] == ran:
            return Seal(receipt.digest, _sources(cells), _until(cells, places[len(ran) - 1], shown))
    return Seal(receipt.digest, ran)


def _until(cells: list[Cell], last: int, shown: tuple[dict, dict]) -> list[dict[str, str | None]]:
    """Return the digests of cells; of those from the running one on, only what is known of them."""
    known: list[dict[str, Any]] = [cell.digests for cell in cells]
    for place in range(last, len(cells)):
        if cells[place].code:
            known[place] |= {"shows": shown_as(*shown), "prints": digest_of({})} if place == last else _UNKNOWN
    return known


def _sources(cells: list[Cell]) -> list[str]:
    return [digest_of(cell.source.rstrip("\n")) for cell in cells if cell.code]


def _changes(before: list[str | None], now: list[str | None], what: str) -> Iterator[str]:
    """Yield how one list of cells differs from another."""
    if before != now and sorted(before) == sorted(now):
        yield "its cells stand in another order than they ran in"
        return
    for kind, start, end, first, last in SequenceMatcher(None, before, now, autojunk=False).get_opcodes():
        common = min(end - start, last - first) if kind == "replace" else 0
        yield from (f"{what} {first + number} was changed after its run" for number in range(1, common + 1))
        if kind != "equal" and end - start > common:
            lost = "a cell" if end - start - common == 1 else f"{end - start - common} cells"
            yield f"lacks {lost} that stood after {what} {first + common}"
        if kind != "equal" and last - first > common:
            yield f"{what} {first + common + 1} was not in it when it ran"


def _shown(number: int, before: dict[str, str | None], now: dict[str, str | None]) -> Iterator[str]:
    for name in ("shows", "prints"):
        if before[name] not in (None, now[name]):
            yield f"what cell {number} {name} was changed after its run"


def _known(notebook: Path, receipt: str) -> tuple[list[str], list[Seal]]:
    """Return what is wrong with seals of a notebook, and those of a receipt: if some hold outputs, only these."""
    lines, seals = [], []
    for path in paths(notebook):
        try:
            seals.append(_read(path))
        except ValueError:
            lines.append(f"its seal {FOLDER}/{path.name} is damaged")
    seals = [seal for seal in seals if seal.receipt == receipt]
    return lines, [seal for seal in seals if seal.cells is not None] or seals


def paths(notebook: Path) -> list[Path]:
    """Return the seals of a notebook."""
    named = re.compile(re.escape(notebook.stem) + r"-[0-9a-f]{16}\.json")
    return sorted(path for path in (notebook.parent / FOLDER).glob("*.json") if named.fullmatch(path.name))


def _read(path: Path) -> Seal:
    """Return a seal; raise ValueError where it is not as it was written."""
    data = path.read_bytes()
    try:
        if hashlib.sha256(data).hexdigest()[:16] == path.stem[-16:]:
            return Seal(**json.loads(data))
    except TypeError:
        pass
    raise ValueError("damaged")
