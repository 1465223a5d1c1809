"""Proves a finished run: documents, shards, model, explanations and notebooks, each by the digests that the next holds.

Unusual: nothing of it is secret, so who can write to a run can write a whole new one. What is found is any change that
does not change all that follows from it. The digest of the run, which `prove` returns, stands for everything at once:
noted elsewhere, it proves that the run is still the one that was seen then.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nbpipe import crate, seal
from nbpipe.audit import RECEIPT, Receipt, as_json, differences, digest, digested, find_receipt
from nbpipe.book import Cell, read_cells
from nbpipe.errors import RequestError, WorkError
from nbpipe.originals import compare
from nbpipe.preprocess.plan import Plan
from nbpipe.run import Run


@dataclass
class Proof:
    """What was found about a run: findings, that speak against it, and remarks, on what could not be looked at."""

    findings: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    digest: str = ""


def prove(run: Run, documents: Path | None = None) -> Proof:
    """Prove a run and the documents that it was made from.

    documents: where they lie on this machine; where it is not given, where they lay when the run was made. Raises
    RequestError where the run or the given folder is none.
    """
    run.fetch(anew=True)
    proof = Proof(verify(run))
    proof.remarks += _outputs_unknown(run, proof.findings)
    if not proof.findings:  # else it is out of date with what was found, or described by it
        proof.findings += crate.findings(run)
    changed, remarks = compare(run, documents)
    proof.findings += changed
    proof.remarks += remarks
    if not proof.findings:
        proof.digest = run_digest(run)
    return proof


def run_digest(run: Run) -> str:
    """Return one digest that stands for the plan, every receipt, and thus every file, and every executed notebook."""
    paths = [run.plan, *run.folder.glob(f"shards/*/{RECEIPT}"), run.model / RECEIPT, run.explain / RECEIPT]
    paths += (path for path in run.audit.glob("*.ipynb") if not path.stem.endswith(".failed"))
    found = {path.relative_to(run.folder).as_posix(): digest(path) for path in paths if path.is_file()}
    return hashlib.sha256(as_json(found)).hexdigest()


def verify(run: Run) -> list[str]:
    """Return one line per thing that is wrong within a run's folder; none when everything in it is proven.

    Raises RequestError where the folder is no run.
    """
    run.fetch()
    if not run.plan.exists():
        raise RequestError(f"run = {run.folder.name!r}: no run folder (it holds no plan.json)")
    try:
        plan = Plan.decode(data := run.plan.read_bytes())
    except WorkError as error:
        return [str(error)]
    findings = [] if plan.encode() == data else ["plan.json: is not as it was written; restore it"]
    findings += _forecast(run)
    shards = [_receipt(run, "preprocess", findings, index, plan.num_shards) for index in range(plan.num_shards)]
    findings += _shards(plan, [shard for shard in shards if shard], run)
    model = _receipt(run, "train", findings)
    findings += _inputs(model, {shard.folder.name: shard.digest for shard in shards if shard})
    explained = _receipt(run, "explain", findings)
    findings += _strays(run, plan.num_shards)
    return findings + _inputs(explained, {"model": model.digest} if model else {})


def _strays(run: Run, num_shards: int) -> Iterator[str]:
    """Yield the notebooks beside those of the stages, save such as failed."""
    known = {run.notebook("preprocess", shard, num_shards) for shard in range(num_shards)}
    known |= {run.notebook("train"), run.notebook("explain")}
    for path in sorted(set(run.audit.glob("[!.]*.ipynb")) - known):
        if not path.stem.endswith(".failed"):
            yield f"audit/{path.name}: is the notebook of no stage of this run; remove it"


def _forecast(run: Run) -> list[str]:
    try:
        if run.forecast.exists():
            digested(run.forecast.read_bytes())
        return []
    except (OSError, ValueError):
        return ["forecast.json: is not as it was written; make it again with `nbpipe plan`, or delete it"]


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
        findings.append(f"{name}: its folder holds the receipt of {receipt.title}; run {name} again")
    for line in differences(receipt):
        remedy = "remove it" if line.endswith("is not in the receipt") else f"restore it, or run {name} again"
        findings.append(f"{line}; {remedy}")
    findings += notebook_findings(run.notebook(stage, shard, num_shards), receipt)
    return receipt


def _shards(plan: Plan, receipts: list[Receipt], run: Run) -> Iterator[str]:
    for receipt in receipts:
        if receipt.facts.get("plan") != plan.fingerprint:
            yield f"{receipt.title}: made from another plan than plan.json; run it again"
        expected = len(plan.shards[int(receipt.folder.name[:5])])
        if receipt.facts.get("rows") != expected:
            yield f"{receipt.title}: has {receipt.facts.get('rows')} rows, the plan says {expected}; run it again"
    if len({receipt.facts.get("parser") for receipt in receipts}) > 1:
        yield "preprocess: shards were parsed by different parser versions; run the older ones again"
    planned = {run.shard(index, plan.num_shards).name for index in range(plan.num_shards)}
    present = {folder.name for folder in (run.folder / "shards").glob("*") if folder.is_dir()}
    yield from (f"shards/{name}: is not a shard of this plan; remove it" for name in sorted(present - planned))


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
    """Return what is wrong with the executed notebook of a receipt: missing, failed, another's, changed since."""
    name = f"audit/{path.name}"
    try:
        data = path.read_bytes()
        cells = read_cells(data)
    except FileNotFoundError:
        return [f"{name}: is missing; `nbpipe run` makes it"]
    except (OSError, ValueError):
        return [f"{name}: is no notebook that can be read; run its stage again"]
    problems = list(execution_problems(cells, receipt)) or seal.findings(path, cells, data, receipt.digest)
    return [f"{name}: {problem}; restore it, or run {receipt.title} again" for problem in problems]


def execution_problems(cells: list[Cell], receipt: Receipt) -> Iterator[str]:
    """Yield what shows that these cells are not an execution from first to last that ended in the receipt."""
    code = [cell for cell in cells if cell.code]
    if [cell.count for cell in code] != list(range(1, len(code) + 1)):
        yield "was not executed from its first cell to its last, in order"
    if any(cell.failed for cell in code):
        yield "holds an error"
    if not code or receipt.digest not in str(code[-1].outputs):
        yield f"does not name the receipt of {receipt.title} (sha256 {receipt.digest[:12]}...)"


def _outputs_unknown(run: Run, findings: list[str]) -> Iterator[str]:
    """Yield a remark on each notebook of which only the sources are sealed, and of which nothing worse is found."""
    for folder in [*sorted(run.folder.glob("shards/*")), run.model, run.explain]:
        try:
            receipt = find_receipt(folder)
        except WorkError:
            continue
        if not receipt or any(line.startswith(f"audit/{receipt.notebook.name}") for line in findings):
            continue
        if receipt.notebook.exists() and not seal.outputs_known(receipt.notebook, receipt.digest):
            name = receipt.notebook.name
            yield f"audit/{name}: what its cells showed is not sealed, since it was not made by the papermill command"
