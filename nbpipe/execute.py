"""Executes a stage's notebook with papermill, and keeps it as audit record only when its receipt agrees.

Unusual: papermill writes in place and saves a notebook whose kernel was killed as if it had completed. So it writes to
a temporary name in a process of its own, and the rename to RUN/audit/ waits for the receipt, and for its seal.
"""

import base64
import json
import secrets
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

import nbpipe
from nbpipe import seal
from nbpipe.addresses import TEMPORARY
from nbpipe.audit import RECEIPT, read_receipt, trusted
from nbpipe.book import SLOW_CHECKER, read_cells
from nbpipe.errors import WorkError
from nbpipe.run import Run, move, write
from nbpipe.verify import execution_problems, notebook_findings

_GRACE = 10  # seconds
_STARTS = 3  # of one notebook, whose kernel ends before it runs anything
_STILLBORN = "Kernel died before replying to kernel_info"  # in Jupyter's words
# What `python -m papermill` does, but sooner.
_PAPERMILL = f"import sys; sys.modules[{SLOW_CHECKER!r}] = None; from papermill.cli import papermill; papermill()"


@dataclass(frozen=True)
class Job:
    """One notebook to execute: its stage, the run, the parameters to inject, and the shard for preprocess."""

    stage: str
    run: Run
    parameters: dict[str, Any]
    shard: int = 0
    num_shards: int = 1

    @property
    def folder(self) -> Path:
        """Where the stage writes its receipt."""
        return self.run.of(self.stage, self.shard, self.num_shards)

    @property
    def notebook(self) -> Path:
        """Where the executed notebook is kept."""
        return self.run.notebook(self.stage, self.shard, self.num_shards)

    @property
    def failed(self) -> Path:
        """Where the notebook of a failed execution is kept, for reading."""
        return self.notebook.with_suffix(".failed.ipynb")

    def done(self, expected: dict[str, Any]) -> bool:
        """Return whether the receipt says all that is `expected`, and its files and its notebook agree with it."""
        try:
            receipt = trusted(self.folder)
        except WorkError:
            return False
        same = all(receipt.facts.get(name) == value for name, value in expected.items())
        return same and not notebook_findings(self.notebook, receipt)

    def start(self, starts: int = 1) -> "Execution":
        """Start papermill on this notebook in a process of its own. starts: this one and those before."""
        self.run.audit.mkdir(parents=True, exist_ok=True)
        draft = self.notebook.with_name(f"{TEMPORARY}{secrets.token_hex(4)}-{self.notebook.name}")
        given = base64.b64encode(json.dumps(self.parameters).encode()).decode()
        places = [_literal(source_folder() / f"{self.stage}.ipynb"), _literal(draft)]
        flags = ["--parameters_base64", given, "--no-progress-bar", "--log-level", "ERROR"]
        complaints = tempfile.TemporaryFile("w+")  # noqa: SIM115 - outlives this function, closed at the end of the execution
        process = subprocess.Popen(
            [sys.executable, "-c", _PAPERMILL, *places, *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
        )
        return Execution(self, draft, process, complaints, starts)


@dataclass(frozen=True)
class Execution:
    """A notebook that is being executed."""

    job: Job
    draft: Path
    process: subprocess.Popen[bytes]
    complaints: IO[str]
    starts: int

    def ended(self) -> bool:
        """Return whether papermill has ended."""
        return self.process.poll() is not None

    def restarted(self) -> "Execution | None":
        """Start anew, a few times, where the kernel ended before it ran anything: its port was taken, say."""
        if self.starts == _STARTS or _STILLBORN not in self._said():
            return None
        self.stop()
        return self.job.start(self.starts + 1)

    def _said(self) -> str:
        self.complaints.seek(0)
        return self.complaints.read()

    def keep(self) -> None:
        """Wait for the end; keep the notebook as audit record, or raise WorkError with what went wrong in it."""
        self.process.wait()
        complaint = self._said()
        self.complaints.close()
        book = _read(self.draft)
        self.draft.unlink(missing_ok=True)
        data = (json.dumps(_shareable(book), indent=1, ensure_ascii=False) + "\n").encode(errors="surrogatepass")
        if book:
            write(self.job.failed, data)
        if self.process.returncode or not book:
            raise WorkError(f"{self.job.notebook.stem}: {_failure(book, complaint)}")
        receipt = read_receipt(self.job.folder)
        wrong = list(execution_problems(read_cells(data), receipt))
        if wrong:
            raise WorkError("\n".join(f"{self.job.notebook.stem}: its notebook {problem}" for problem in wrong))
        seal.keep(self.job.notebook, seal.Seal.of(data, receipt))
        move(self.job.failed, self.job.notebook)
        seal.keep(self.job.notebook, seal.Seal.of(data, receipt), alone=True)

    def interrupt(self) -> None:
        """Ask the kernel to end: a stage then keeps what it has finished, and papermill ends by itself."""
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children():
                child.terminate()

    def stop(self) -> None:
        """End papermill, and with it the kernel, after a grace to those that were asked to end."""
        try:
            self.process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self.process.terminate()
            self.process.wait()
        self.complaints.close()
        self.draft.unlink(missing_ok=True)


def source_folder() -> Path:
    """Return the folder of the notebooks: in an installed package inside it, in a checkout beside it."""
    package = Path(nbpipe.__file__).parent
    return package / "notebooks" if (package / "notebooks").is_dir() else package.parent / "notebooks"


def _literal(path: Path) -> str:
    """Protect a path from papermill, which fills in what stands in braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _read(path: Path) -> dict[str, Any]:
    """Return what papermill saved; nothing where that is no notebook."""
    try:
        data = path.read_bytes()
        return json.loads(data) if read_cells(data) else {}
    except (OSError, ValueError):
        return {}


def _shareable(book: dict[str, Any]) -> dict[str, Any]:
    """Take out the machine's paths that papermill notes in a notebook."""
    noted = book.get("metadata", {}).get("papermill", {})
    for name in noted.keys() & {"input_path", "output_path"}:
        noted[name] = Path(noted[name] or "").name
    return book


def _failure(book: dict[str, Any], complaint: str) -> str:
    """Return what a person needs to know of a failed notebook."""
    outputs = [output for cell in book.get("cells", []) for output in cell.get("outputs", [])]
    errors = [output for output in outputs if output["output_type"] == "error"]
    if errors:
        name, said = errors[0]["ename"], errors[0]["evalue"]
        return said if name in ("RequestError", "WorkError", "StoppedError") else f"{name}: {said}"
    lines = complaint.strip().splitlines()
    return lines[-1] if lines else f"papermill ended without a word; {RECEIPT} was not written"
