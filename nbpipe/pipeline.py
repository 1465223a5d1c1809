"""The whole pipeline on this machine: the three notebooks one after the other, shards side by side.

Unusual: it holds no state of its own. What is done is read from receipts and executed notebooks, so calling it again
goes on where an earlier call stopped, however that one ended.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tqdm import tqdm

from nbpipe.addresses import address_of
from nbpipe.array import resubmissions
from nbpipe.audit import read_receipt, trusted
from nbpipe.config import STATUSES, Config, Explain, Preprocess, Train, base, relative
from nbpipe.errors import RequestError, WorkError, nearest
from nbpipe.execute import Execution, Job
from nbpipe.preprocess.engines import cores
from nbpipe.preprocess.grow import Growth, grow
from nbpipe.preprocess.plan import Plan
from nbpipe.preprocess.stage import open_shard
from nbpipe.progress import say
from nbpipe.run import Run, planned, sweep
from nbpipe.status import Status, read_status
from nbpipe.storage import is_folder
from nbpipe.verify import notebook_findings

CONFIGS: dict[str, type[Config]] = {"preprocess": Preprocess, "train": Train, "explain": Explain}
_POLL = 0.2


def run_all(given: dict[str, Any]) -> Run:
    """Execute whatever is not done yet, and return the run.

    given: parameters by name, each for every stage that knows it. Raises RequestError before any work where one is
    wrong; WorkError where a notebook failed, with all that was finished kept.
    """
    _need_extras(given.get("model", ""))
    import polars as pl

    from nbpipe.train.labels import csv_labels, encoder_digest, labels_digest
    from nbpipe.train.shards import removed_paths

    stages = share_out(given)
    stages["preprocess"] = _as_planned(stages["preprocess"])
    config = Preprocess(**stages["preprocess"] | {"shard": 0})
    # Judged now, with a folder that is there in place of the run to come.
    train, _ = (CONFIGS[stage](**stages[stage] | {"run": Path.cwd()}) for stage in ("train", "explain"))
    shard, run = open_shard(config), Run(config.run)
    run.fetch()
    sweep(run.audit)
    if train.labels:
        csv_labels(train.labels, pl.Series("path", list(shard.plan.sizes)), removed_paths(run))
    _preprocess(run, shard.plan, stages["preprocess"], shard.parts.identity)
    names = [run.shard(index, config.num_shards) for index in range(config.num_shards)]
    inputs = {folder.name: read_receipt(folder).digest for folder in names}
    train = Train(**stages["train"] | {"run": run.folder})
    made_from = {"labels": labels_digest(train), "encoder": encoder_digest(train)}
    _alone(run, "train", stages["train"], {"inputs": inputs, **made_from})
    _alone(run, "explain", stages["explain"], {"inputs": {"model": read_receipt(run.model).digest}})
    return run


def _as_planned(parameters: dict[str, Any]) -> dict[str, Any]:
    """Take the number of shards from the run's plan where it is not given, else 1.

    A scheduler is not asked: all shards run here, also inside one task of an array.
    """
    total = parameters.get("num_shards")
    return parameters | {"num_shards": total if total is not None else planned(Run(parameters["run"])) or 1}


def share_out(given: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return each stage's parameters; raise RequestError for a name that no stage knows.

    Text of the command line becomes numbers where the parameter is one.
    """
    known = {name for kind in CONFIGS.values() for name in kind.model_fields}
    for name in given.keys() - known:
        accepted = ", ".join(sorted(known))
        raise RequestError(f"{name} = {given[name]!r}: no such parameter{nearest(name, known)} (accepted: {accepted})")
    return {
        stage: {name: kind.read(name, value) for name, value in given.items() if name in kind.model_fields}
        for stage, kind in CONFIGS.items()
    }


def _need_extras(model: str) -> None:
    wanted = ["torch", "sklearn", "nh3", "captum", *(["transformers"] if model == "pretrained" else [])]
    lacking = [name for name in wanted if find_spec(name) is None]
    if lacking:
        extra = "explain,pretrained" if model == "pretrained" else "explain"
        raise RequestError(f"{', '.join(lacking)}: not installed; all three stages need: pip install 'nbpipe[{extra}]'")


def _preprocess(run: Run, plan: Plan, parameters: dict[str, Any], identity: dict[str, Any]) -> None:
    parallel = _parallel(plan.num_shards, parameters)
    own = [{"shard": index, "num_shards": plan.num_shards} for index in range(plan.num_shards)]
    jobs = [_shard_job(run, parameters | numbers, parallel) for numbers in own]
    for job in jobs:
        _tell_ignored(job, parameters)
    jobs = [job for job, numbers in zip(jobs, own, strict=True) if not job.done(identity | numbers)]
    with _bar(f"preprocess (shards: {plan.num_shards})", len(jobs)) as bar:
        _side_by_side(jobs, parallel, bar)


def _tell_ignored(job: Job, parameters: dict[str, Any]) -> None:
    """Say where a shard that is finished was read otherwise than is asked now."""
    try:
        facts = read_receipt(job.folder).facts["config"]
    except WorkError:
        return
    asked = Preprocess(**parameters | {"shard": job.shard}).shareable()
    names = parameters.keys() & {"timeout", "memory", "max_pages", "max_bytes", "ocr", "ocr_languages"}
    for name in sorted(name for name in names if facts.get(name) != asked[name]):
        done = f"{job.folder.name} is finished and was read with {name} = {facts.get(name)}, not {asked[name]}"
        say(f"{done}; nbpipe retry reads some documents again, another --run all")


def _parallel(shards: int, parameters: dict[str, Any]) -> int:
    """Return how many shards run at once: one per core of this machine; one on Ray, which spreads each by itself."""
    return 1 if parameters.get("engine") == "ray" else min(shards, cores()) or 1


def _shard_job(run: Run, parameters: dict[str, Any], parallel: int) -> Job:
    """Return the job of one shard, of which `parallel` run at once on this machine."""
    usual = 0 if parameters.get("engine") == "ray" else max(1, cores() // parallel)
    workers = parameters.get("workers") or usual
    numbers = {name: parameters[name] for name in ("shard", "num_shards")}
    return Job("preprocess", run, _injected(parameters | {"workers": workers}), **numbers)


def retry_run(run: Run, statuses: str, given: dict[str, Any]) -> list[str]:
    """Parse documents of some statuses again in every finished shard; return how to run the shards that are missing.

    statuses: as in "timeout,crashed". given: parameters of the preprocess stage that differ from those before. Raises
    RequestError before any work where one is wrong, or the documents are not where they were.
    """
    run.fetch()
    status = read_status(run)
    for name in given.keys() & {"shard", "num_shards", "run", "retry"}:
        raise RequestError(f"-p {name}: is said otherwise here; see nbpipe retry --help")
    for name in given.keys() - Preprocess.model_fields.keys():
        raise RequestError(f"-p {name}: no parameter of preprocess{nearest(name, Preprocess.model_fields)}")
    if not statuses.strip(" ,"):
        raise RequestError(f"--status {statuses!r}: names no status (accepted: {', '.join(STATUSES)})")
    total = len(status.shards)
    done = [index for index, shard in enumerate(status.shards) if shard.state == "done"]
    parameters = [_again(run, index, total, given | {"retry": statuses}) for index in done]
    chosen = [own for own in parameters if own]
    parallel = _parallel(len(chosen), given)
    jobs = [_shard_job(run, own, parallel) for own in chosen]
    sweep(run.audit)
    with _bar(f"parse again (shards: {len(jobs)})", len(jobs)) as bar:
        _side_by_side(jobs, parallel, bar)
    for line in _remarks(read_status(run), statuses if not jobs else ""):
        say(line)
    missing = status.missing
    return [f"{name}: {how}" for name, how in resubmissions(missing, len(status.shards))] if missing else []


def grow_run(run: Run, documents: Path | None) -> Growth:
    """Extend a run's plan to what its documents' folder holds now; raise RequestError where that is nowhere known."""
    return grow(run, documents or _remembered(run, "--documents FOLDER"))


def _remembered(run: Run, remedy: str = "-p documents FOLDER") -> Path:
    run.fetch(".documents")
    place = run.documents()
    if place and is_folder(place):
        return place
    where = f"not where they were ({relative(place)})" if place else "nowhere known"
    raise RequestError(f"documents: {where} on this machine; say {remedy}")


def _remarks(status: Status, unfound: str) -> Iterator[str]:
    """Yield what a person should know after documents were parsed again, or none were."""
    if unfound:
        yield f"no document of a finished shard has the status {unfound}"
    running = [stage.name for stage in status.shards if stage.state == "running"]
    if running:
        yield f"left alone, because they are running: {', '.join(running)}"
    stale = [stage.name for stage in status.stages if stage.state == "outdated"]
    if stale:
        yield f"made from the shards as they were before: {', '.join(stale)}; nbpipe run makes them again"


def _again(run: Run, shard: int, num_shards: int, given: dict[str, Any]) -> dict[str, Any] | None:
    """Return the parameters of a second attempt at a shard, None where none of its documents has such a status.

    A shard whose notebook does not name its receipt is taken too: an earlier attempt at it was cut short.
    """
    receipt = trusted(run.shard(shard, num_shards))
    facts = receipt.facts
    own = {"run": run.folder, "shard": shard, "num_shards": num_shards}
    if "documents" not in given:
        own["documents"] = _remembered(run)
    typed = {name: Preprocess.read(name, value) for name, value in given.items()}
    kept = Preprocess.model_fields.keys() - {"engine", "ray_address"}  # a cluster need not be there any more
    usual = {name: value for name, value in facts["config"].items() if name in kept}
    config = Preprocess(**usual | typed | own)
    notebook = run.notebook("preprocess", shard, num_shards)
    cut_short = facts["config"].get("retry") and notebook_findings(notebook, receipt)
    wanted = cut_short or any(facts["statuses"].get(status) for status in config.statuses)
    return config.model_dump() | {"memory": int(config.memory), "max_bytes": int(config.max_bytes)} if wanted else None


def _alone(run: Run, stage: str, parameters: dict[str, Any], made_from: dict[str, Any]) -> None:
    expected = {"config": CONFIGS[stage](**parameters).shareable(), **made_from}
    job = Job(stage, run, _injected(parameters))
    jobs = [] if job.done(expected) else [job]
    with _bar(stage, len(jobs)) as bar:
        _side_by_side(jobs, 1, bar)


def _injected(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return parameters as papermill takes them; paths relative, so that none of the machine's is in a notebook."""
    paths = {name: Path(value) for name, value in parameters.items() if isinstance(value, str) and value[:1] == "/"}
    paths |= {name: value for name, value in parameters.items() if isinstance(value, Path)}
    return parameters | {
        name: address_of(path) or Path(os.path.relpath(path, base())).as_posix() for name, path in paths.items()
    }


def _side_by_side(jobs: list[Job], parallel: int, bar: tqdm) -> None:
    """Execute notebooks, `parallel` at a time; raise WorkError with every failure once all have ended."""
    waiting, active, failures = list(jobs), list[Execution](), list[str]()
    try:
        while waiting or active:
            while waiting and len(active) < parallel:
                active.append(waiting.pop(0).start())
            time.sleep(_POLL)
            for execution in [execution for execution in active if execution.ended()]:
                active.remove(execution)
                if again := execution.restarted():
                    active.append(again)
                    continue
                try:
                    execution.keep()
                except WorkError as error:
                    failures.append(str(error))
                bar.update()
            bar.refresh()
    finally:
        for execution in active:
            execution.interrupt()
        for execution in active:
            execution.stop()
    if failures:
        raise WorkError("\n".join(failures))


@contextmanager
def _bar(title: str, total: int) -> Iterator[tqdm]:
    """Show how many notebooks of a stage are executed; where there is no terminal, one line at the end."""
    began = time.monotonic()
    with tqdm(total=total, desc=title, unit="notebook", leave=False, disable=not sys.stderr.isatty()) as bar:
        yield bar
    ended = f"done in {time.monotonic() - began:.0f} s" if total else "was done already"
    say(f"{title}: {ended}")
