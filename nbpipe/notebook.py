"""Reads a stage's config from the notebook that is being executed, and seals that notebook once its receipt is shown.

Unusual: it looks into IPython's input history and, under papermill, at the parent's command line. Globals alone would
refuse a re-run in an open notebook, where many names exist; and papermill has already turned `1_0` into 10 and only
warned about a misspelt name when the kernel sees them.
"""

import ast
import json
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
from IPython import get_ipython

from nbpipe import crate, storage
from nbpipe.addresses import address_of, is_address, path_of
from nbpipe.audit import Receipt
from nbpipe.config import Config
from nbpipe.errors import RequestError, WorkError
from nbpipe.progress import say
from nbpipe.run import remove
from nbpipe.seal import from_kernel, keep

C = TypeVar("C", bound=Config)
_TRIES, _PAUSE = 5, 0.2


def configure(kind: type[C]) -> C:
    """Return the config of `kind` from this notebook's parameters cells.

    From then on, the cell that shows the stage's receipt seals the notebook. Raises RequestError for an unknown name, a
    wrong type, a number whose spelling was lossy, or no notebook at all.
    """
    shell = get_ipython()
    if shell is None:
        raise RequestError(f"not in a notebook: call nbpipe.config.{kind.__name__}(...) with keyword arguments")
    names = parameter_names(shell.user_ns["In"], set(kind.model_fields))
    refuse_lossy(kind, papermill_arguments())
    shell.events.register("post_run_cell", Witness(shell, kind.__name__.lower()))  # an equal one is registered once
    return kind(**{name: shell.user_ns[name] for name in names if name in shell.user_ns})


def parameter_names(sources: list[str], fields: set[str]) -> list[str]:
    """Return the names set by the newest parameters cell, and by a cell that papermill injected after it.

    sources: the cells executed so far. The parameters cell is the newest one that annotates a field (`shard: int = 0`).
    """
    cells = [_assigned(source) for source in sources]
    annotated = [i for i, cell in enumerate(cells) if fields & {name for name, typed in cell if typed}]
    start = annotated[-1] if annotated else 0
    injected = [i for i in range(start, len(cells)) if sources[i].startswith("# Parameters\n")]
    chosen = [*annotated[-1:], *injected[-1:]]
    return list(dict.fromkeys(name for i in chosen for name, _ in cells[i]))


def _assigned(source: str) -> list[tuple[str, bool]]:
    """Return the names a cell assigns at top level, and whether each is annotated."""
    try:
        body = ast.parse(source).body
    except SyntaxError:  # magics and shell lines are IPython's, not Python's
        return []
    plain = [(t.id, False) for n in body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)]
    typed = [(n.target.id, True) for n in body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
    return plain + typed


def papermill_arguments() -> dict[str, str]:
    """Return what papermill's command line says after each -p, to the letter; {} when papermill is not the parent."""
    words = _papermill()[0]
    flags = [i for i, word in enumerate(words[:-2]) if word in ("-p", "--parameters")]
    return {words[i + 1]: words[i + 2] for i in flags}


def papermill_draft() -> bytes | None:
    """Return the notebook that papermill's command is making, as it is saved so far; None where none is found."""
    words, folder = _papermill()
    names = [word.replace("{{", "{").replace("}}", "}") for word in words if word.endswith(".ipynb")]
    for _ in range(_TRIES if names else 0):
        for name in reversed(names):
            with suppress(OSError, WorkError, ValueError, TypeError, KeyError):
                path = path_of(name) if is_address(name) else folder / name
                data = storage.read(path) if address_of(path) else path.read_bytes()
                noted = json.loads(data)["metadata"]["papermill"]
                if noted["end_time"] is None and Path(noted["output_path"]).name == path.name:
                    return data
        time.sleep(_PAUSE)  # papermill may be writing it in this moment
    return None


def _papermill() -> tuple[list[str], Path]:
    """Return the words of the papermill command that this kernel runs for, and its folder; none where it is another."""
    try:
        parent = psutil.Process().parent()
        words = parent.cmdline()
        if any("papermill" in word for word in words[:4]):
            return words, Path(parent.cwd())
    except (psutil.Error, AttributeError):
        pass
    return [], Path()


@dataclass(frozen=True)
class Witness:
    """Called after each cell: seals the notebook when a cell ends in the receipt of this notebook's stage."""

    shell: Any
    stage: str

    def __call__(self, done: Any) -> None:
        """Seal; a seal that cannot be written is said, and found missing by `nbpipe verify`."""
        receipt = done.result
        if not isinstance(receipt, Receipt) or receipt.facts["stage"] != self.stage:
            return
        history = self.shell.history_manager.input_hist_raw[1:]
        try:
            keep(
                receipt.notebook,
                from_kernel(history, papermill_draft(), receipt, self.shell.display_formatter.format(receipt)),
            )
            remove(receipt.notebook.parents[1] / crate.NAME)  # it describes what was there before
        except (OSError, WorkError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            say(f"the notebook's seal cannot be written ({reason}); run the notebook again")


def refuse_lossy(kind: type[Config], given: dict[str, str]) -> None:
    """Raise RequestError for a number that Python reads but a person would not write, such as `1_0`."""
    for name in given.keys() & kind.model_fields.keys():
        kind.read(name, given[name])
