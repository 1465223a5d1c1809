"""Reads what a saved notebook holds: its cells, and the digests of what each is, shows and prints.

Unusual: it reads the file's JSON itself. nbformat would load a grammar of web addresses first, which takes longer than
proving a whole run, and kernels would wait for it at their end. Digests leave out what may change after a run without
changing what people read: times, ids, machine paths in metadata, and how text is cut into lines.
"""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

# What jsonschema, and so nbformat, loads to check international addresses: it takes seconds, and no notebook needs it.
SLOW_CHECKER = "rfc3987_syntax"

_RICH = ("display_data", "execute_result")


@dataclass(frozen=True)
class Cell:
    """One cell: its kind (code, markdown or raw), source, tags, the count of its execution, and its outputs."""

    kind: str
    source: str
    tags: list[str] = field(default_factory=list)
    count: int | None = None
    outputs: list[dict[str, Any]] = field(default_factory=list)
    attachments: dict[str, Any] = field(default_factory=dict)

    @property
    def code(self) -> bool:
        """Whether it is a cell that executes something."""
        return self.kind == "code" and bool(self.source.strip())

    @property
    def failed(self) -> bool:
        """Whether it shows an error."""
        return any(output["output_type"] == "error" for output in self.outputs)

    @cached_property
    def digests(self) -> dict[str, str | None]:
        """What it is, what it shows (tables, pictures, errors), and what it prints, as digests."""
        own = [self.kind, self.source, self.tags, self.attachments]
        shown = [_shown(output) for output in self.outputs if output["output_type"] != "stream"]
        printed: dict[str, str] = {}
        for output in self.outputs:
            if output["output_type"] == "stream":
                printed[output["name"]] = printed.get(output["name"], "") + _joined(output["text"])
        return {"is": digest_of(own), "shows": digest_of(shown), "prints": digest_of(printed)}


def read_cells(data: bytes) -> list[Cell]:
    """Return the cells of a notebook's file; raise ValueError for anything else."""
    try:
        book = json.loads(data)
        cells = [_cell(cell) for cell in book["cells"]]
        if book["nbformat"] == 4 and all(cell.digests for cell in cells):
            return cells
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    raise ValueError("no notebook that can be read")


def digest_of(value: Any) -> str:
    """Return the SHA-256 of a value of JSON types."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def shown_as(data: dict[str, Any], metadata: dict[str, Any]) -> str:
    """Return the digest "shows" of a cell whose only output is the value that it ends in."""
    return digest_of([_shown({"output_type": "execute_result", "data": data, "metadata": metadata})])


def _cell(cell: dict[str, Any]) -> Cell:
    source, tags = _joined(cell["source"]), cell["metadata"].get("tags", [])
    outputs = cell["outputs"] if cell["cell_type"] == "code" else []
    return Cell(cell["cell_type"], source, tags, cell.get("execution_count"), outputs, cell.get("attachments", {}))


def _shown(output: dict[str, Any]) -> list[Any]:
    """Return what people see of an output."""
    if output["output_type"] in _RICH:
        data = {kind: value if kind.endswith("json") else _joined(value) for kind, value in output["data"].items()}
        return [output["output_type"], data, output["metadata"]]
    return [output["output_type"], output["ename"], output["evalue"], output["traceback"]]


def _joined(text: str | list[str]) -> str:
    """Return text that a notebook may hold as a list of lines."""
    return text if isinstance(text, str) else "".join(text)
