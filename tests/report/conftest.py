"""Run folders made by hand, with notebooks that say whatever a test wants them to say."""

import base64
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nbformat
import pyarrow as pa
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from nbpipe.audit import Receipt, Stamp, as_json, read_receipt, write_receipt
from nbpipe.config import Explain, Preprocess, Train
from nbpipe.preprocess.plan import Plan
from nbpipe.records import LEDGER, write_table
from nbpipe.run import Run, write
from nbpipe.seal import Seal, keep

SCORES = {
    "test": {"accuracy": 0.9, "macro_f1": 0.88},
    "untrained": {"accuracy": 0.2, "macro_f1": 0.05},
    "documents": {"test": 40},
    "baselines": {
        "majority": {"accuracy": 0.25, "macro_f1": 0.1},
        "linear_svc": {"accuracy": 0.91, "macro_f1": 0.9},
    },
    "intervals": {
        "bag": {
            "accuracy": {"value": 0.9, "low": 0.85, "high": 0.95},
            "macro_f1": {"value": 0.88, "low": 0.8, "high": 0.93},
        }
    },
}


class Maker:
    """Makes the stages of a run folder, one by one; receipts and notebooks agree."""

    def __init__(self, folder: Path) -> None:
        self.run, self.epochs = Run(folder), 7

    @staticmethod
    def shown(**data: str | bytes) -> nbformat.NotebookNode:
        """Return an output of MIME types, written as text_html="..." or image_png=b"..."."""
        bundle = {
            name.replace("_", "/", 1): base64.b64encode(value).decode() if isinstance(value, bytes) else value
            for name, value in data.items()
        }
        return new_output("execute_result", {"text/plain": "plain"} | bundle, execution_count=1)

    @staticmethod
    def code(source: str, *outputs: nbformat.NotebookNode, tags: Sequence[str] = ()) -> nbformat.NotebookNode:
        """Return a code cell with outputs and tags."""
        return new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})

    @staticmethod
    def save(path: Path, *cells: nbformat.NotebookNode) -> Path:
        """Write a notebook of these cells, its code cells counted as executed 1..n."""
        executed = [cell for cell in cells if cell.cell_type == "code"]
        for count, cell in enumerate(executed, start=1):
            cell.execution_count = count
        write(path, nbformat.writes(new_notebook(cells=list(cells))).encode())
        return path

    def preprocess(self, documents: dict[str, tuple[str, str]], num_shards: int = 1) -> None:
        """Write the plan and the shards of documents, given as path: (status, reason)."""
        plan = self.plan = Plan(dict.fromkeys(documents, 10), num_shards)
        write(self.run.plan, plan.encode())
        for index, paths in enumerate(plan.shards):
            folder = self.run.shard(index, num_shards)
            rows = [
                dict(zip(LEDGER.names, (path, *documents[path], "pdfium", 0.1, 1, 1, [], [], []), strict=True))
                for path in paths
            ]
            write_table(folder / "ledger.parquet", pa.Table.from_pylist(rows, LEDGER))
            stamp = Stamp.now(Preprocess(documents=folder, run="elsewhere"))
            receipt = write_receipt(folder, "preprocess", stamp, rows=len(rows), plan=plan.fingerprint)
            verdict = f"Yes: {len(rows)} documents were read."
            self.notebook("preprocess", receipt, verdict, shard=index, num_shards=num_shards)

    def train(self, **scores: Any) -> None:
        """Write a model folder with its scores, and its notebook."""
        write(self.run.model / "metrics.json", as_json(SCORES | scores))
        shards = {folder.name: read_receipt(folder).digest for folder in (self.run.folder / "shards").iterdir()}
        stamp = Stamp.now(Train(run=self.run.folder, epochs=self.epochs))
        receipt = write_receipt(self.run.model, "train", stamp, inputs=shards)
        self.notebook("train", receipt, "No: the baseline is as good.")

    def explain(self, *cells: nbformat.NotebookNode) -> None:
        """Write an explain folder, and its notebook with some cells."""
        write(self.run.explain / "explanations.parquet", b"")
        model = {"model": read_receipt(self.run.model).digest}
        receipt = write_receipt(self.run.explain, "explain", Stamp.now(Explain(run=self.run.folder)), inputs=model)
        self.notebook("explain", receipt, "Yes: its words matter more than random ones.", cells)

    def notebook(
        self,
        stage: str,
        receipt: Receipt,
        verdict: str,
        cells: Sequence[nbformat.NotebookNode] = (),
        **numbers: int,
    ) -> None:
        """Write an executed notebook with cells between its question and its verdict."""
        head = new_markdown_cell(f"# What of {stage}?\n\nReads and writes.")
        answer = self.code("verdict", self.shown(text_plain=verdict), tags=["verdict"])
        last = self.code("finish()", self.shown(text_plain=repr(receipt)), tags=["receipt"])
        path = self.save(self.run.notebook(stage, **numbers), head, *cells, answer, last)
        keep(path, Seal.of(path.read_bytes(), receipt))


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    """A maker of the run folder "demo"."""
    return Maker(tmp_path / "runs" / "demo")


@pytest.fixture(scope="session")
def make_maker() -> Callable[[Path], Maker]:
    """Return what makes a maker of a run folder."""
    return Maker


@pytest.fixture
def whole(maker: Maker) -> Callable[..., Run]:
    """Make a run of all stages; the cells go into its explain notebook."""

    def make(*cells: nbformat.NotebookNode) -> Run:
        maker.preprocess({"a/1.pdf": ("ok", ""), "b/2.pdf": ("ok", ""), "b/3.pdf": ("encrypted", "has a password")})
        maker.train()
        maker.explain(*cells)
        return maker.run

    return make
