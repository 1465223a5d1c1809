"""Proves a finished run: every digest again, the chain of receipts, and the executed notebooks beside them."""

import json
from collections.abc import Iterator
from pathlib import Path

import nbformat

from nbpipe.audit import RECEIPT, Receipt, differences, find_receipt
from nbpipe.errors import RequestError, WorkError
from nbpipe.preprocess.plan import Plan
from nbpipe.run import Run


def verify(run: Run) -> list[str]:
    """Return one line per thing that is wrong with a run; none when everything is proven.

    Raises RequestError where the folder is no run.
    """
    if not run.plan.exists():
        raise RequestError(f"run = {run.folder.name!r}: no run folder (it holds no plan.json)")
    try:
        plan = Plan.decode(run.plan.read_bytes())
    except WorkError as error:
        return [str(error)]
    findings: list[str] = []
    shards = [_receipt(run, "preprocess", findings, index, plan.num_shards) for index in range(plan.num_shards)]
    findings += _shards(plan, [shard for shard in shards if shard], run)
    model = _receipt(run, "train", findings)
    findings += _inputs(model, {shard.folder.name: shard.digest for shard in shards if shard})
    if model and not model.explained:
        stale = (run.explain / RECEIPT).exists()
        return findings + [f"explain: is of an earlier model; remove {run.explain.name}/ and its notebook"] * stale
    explained = _receipt(run, "explain", findings)
    return findings + _inputs(explained, {"model": model.digest} if model else {})


def _receipt(run: Run, stage: str, findings: list[str], shard: int = 0, num_shards: int = 1) -> Receipt | None:
    """Return a stage's receipt, noting whatever does not agree with it: its files, its notebook."""
    folder = run.of(stage, shard, num_shards)
    name = f"{stage} {folder.name}" if stage == "preprocess" else stage
    try:
        receipt = find_receipt(folder)
    except WorkError as error:
        findings.append(str(error))
        return None
    if receipt is None:
        findings.append(f"{name}: has no receipt, so it is not finished; run it")
        return None
    if receipt.title != name:
        findings.append(f"{name}: its folder holds the receipt of {receipt.title}")
    findings += differences(receipt)
    findings += notebook_findings(run.notebook(stage, shard, num_shards), receipt)
    return receipt


def _shards(plan: Plan, receipts: list[Receipt], run: Run) -> Iterator[str]:
    for receipt in receipts:
        if receipt.facts.get("plan") != plan.fingerprint:
            yield f"{receipt.title}: made from another plan than plan.json"
        expected = len(plan.shards[int(receipt.folder.name[:5])])
        if receipt.facts.get("rows") != expected:
            yield f"{receipt.title}: has {receipt.facts.get('rows')} rows, the plan says {expected}"
    if len({receipt.facts.get("parser") for receipt in receipts}) > 1:
        yield "preprocess: shards were parsed by different parser versions; run the older ones again"
    planned = {run.shard(index, plan.num_shards).name for index in range(plan.num_shards)}
    present = {folder.name for folder in (run.folder / "shards").glob("*") if folder.is_dir()}
    yield from (f"shards/{name}: is not a shard of this plan" for name in sorted(present - planned))


def _inputs(receipt: Receipt | None, expected: dict[str, str]) -> list[str]:
    """Compare what a stage says it was made from with the receipts that are there."""
    if receipt is None:
        return []
    made = receipt.facts.get("inputs", {})
    names = sorted(name for name in made.keys() | expected.keys() if made.get(name) != expected.get(name))
    return [
        f"{receipt.title}: was made from another {name} than is there now; run {receipt.title} again" for name in names
    ]


def notebook_findings(path: Path, receipt: Receipt) -> list[str]:
    """Return what is wrong with the executed notebook of a receipt: missing, failed, not run 1..n, another's."""
    name = f"audit/{path.name}"
    try:
        book = nbformat.read(path, as_version=4)
        return [f"{name}: {problem}" for problem in _problems(book, receipt)]
    except FileNotFoundError:
        return [f"{name}: is missing; `nbpipe run` makes it"]
    except (ValueError, TypeError, AttributeError, nbformat.ValidationError):
        return [f"{name}: is no notebook that can be read"]


def _problems(book: nbformat.NotebookNode, receipt: Receipt) -> Iterator[str]:
    code = [cell for cell in book.cells if cell.cell_type == "code" and cell.source.strip()]
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        yield "was not executed from its first cell to its last, in order"
    if any(output.output_type == "error" for cell in code for output in cell.outputs):
        yield "holds an error"
    last = json.dumps(code[-1].outputs) if code else ""
    if receipt.digest not in last:
        yield f"does not name the receipt of {receipt.title} (sha256 {receipt.digest[:12]}...); it was run again since"
