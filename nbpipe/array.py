"""Which shard this machine takes: what a scheduler of array jobs says of it, where no parameter does.

Unusual: one table holds all that is known of a scheduler. Slurm's count is not believed, since a retry of two tasks
reports 2; there the parameters or the run's plan say it. torchrun's RANK is never read: it counts the processes of one
job. A variable that is set but empty is an error: a fleet whose index got lost would parse shard 0 on every machine.
"""

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from nbpipe.errors import RequestError

SHARD, NUM_SHARDS = "NBPIPE_SHARD", "NBPIPE_NUM_SHARDS"
_HOW = f"say it with -p num_shards N or {NUM_SHARDS}=N"


@dataclass(frozen=True)
class Scheduler:
    """How one scheduler tells a task its place in an array, and how it is asked to run some shards again.

    index, count: environment variables; count is None where none is to be believed. again: what to type or to change,
    with %(ranges)s, %(each)s, %(environments)s and %(num_shards)s to fill in. steps: the variables with the size, the
    first index and the step of an array that need not count 0, 1, 2.
    """

    name: str
    index: str
    count: str | None
    again: str
    steps: tuple[str, str, str] | None = None


SCHEDULERS = (
    Scheduler(
        "Slurm",
        "SLURM_ARRAY_TASK_ID",
        None,
        "sbatch --array=%(ranges)s preprocess.sh",
        ("SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP"),
    ),
    Scheduler(
        "Kubernetes",
        "JOB_COMPLETION_INDEX",
        None,
        "for shard in %(each)s; do kubectl patch --local -f preprocess.yaml -o json --type merge -p "
        """'{"metadata": {"name": null, "generateName": "preprocess-"}, """
        """"spec": {"completions": 1, "parallelism": 1}}' """
        "| kubectl set env --local -f - -o json NBPIPE_SHARD=$shard NBPIPE_NUM_SHARDS=%(num_shards)s "
        "| kubectl create -f -; done",
    ),
    Scheduler(
        "AWS Batch",
        "AWS_BATCH_JOB_ARRAY_INDEX",
        "AWS_BATCH_JOB_ARRAY_SIZE",
        "for shard in %(each)s; do aws batch submit-job --job-name preprocess-$shard --job-queue QUEUE "
        '--job-definition preprocess --container-overrides "environment=[{name=NBPIPE_SHARD,value=$shard},'
        '{name=NBPIPE_NUM_SHARDS,value=%(num_shards)s}]"; done',
    ),
    Scheduler(
        "Google Batch",
        "BATCH_TASK_INDEX",
        "BATCH_TASK_COUNT",
        'in place of taskCount in preprocess.json: "taskEnvironments": %(environments)s',
    ),
    Scheduler(
        "Cloud Run",
        "CLOUD_RUN_TASK_INDEX",
        "CLOUD_RUN_TASK_COUNT",
        "for shard in %(each)s; do gcloud run jobs execute preprocess --tasks 1 "
        "--update-env-vars NBPIPE_SHARD=$shard,NBPIPE_NUM_SHARDS=%(num_shards)s; done",
    ),
    Scheduler(
        "SkyPilot",
        "SKYPILOT_JOB_RANK",
        "SKYPILOT_NUM_JOBS",
        "for shard in %(each)s; do sky jobs launch -y -d --pool POOL --env NBPIPE_SHARD=$shard "
        "--env NBPIPE_NUM_SHARDS=%(num_shards)s preprocess.yaml; done",
    ),
    Scheduler(
        "dstack",
        "DSTACK_NODE_RANK",
        "DSTACK_NODES_NUM",
        "with nodes: 1 in the file: for shard in %(each)s; do dstack apply -y -d -n preprocess-$shard "
        "-e NBPIPE_SHARD=$shard -e NBPIPE_NUM_SHARDS=%(num_shards)s -f preprocess.dstack.yml; done",
    ),
)
_SSH = (
    "parallel --slf hosts --jobs 1 --wd . --env PATH --retries 3 --ungroup "
    "--ssh 'ssh -o BatchMode=yes -o ConnectTimeout=15 -o ServerAliveInterval=15' "
    "'NBPIPE_SHARD={} sh preprocess.sh || { echo shard {} failed on $PARALLEL_SSHHOST; exit 1; }' ::: %(each)s"
)
_HERE = (
    "for shard in %(each)s; do papermill notebooks/preprocess.ipynb "
    "RUN/audit/preprocess-$(printf %%05d $shard)-of-%(num_shards)05d.ipynb "
    "-f params/preprocess.yaml -p shard $shard -p num_shards %(num_shards)s; done"
)


def place(shard: Any, num_shards: Any, planned: Callable[[], int | None]) -> tuple[Any, Any]:
    """Return the shard and the number of shards; what is given stays, None is looked up, each by itself.

    Looked up in NBPIPE_SHARD and NBPIPE_NUM_SHARDS, then in the one scheduler that is there, then, for the number of
    shards, in the run's plan, by calling `planned`. Where nothing says anything it is shard 0 of 1. Raises RequestError
    for two schedulers, an index without a count, an index outside, or a variable that is no whole number.
    """
    total = _count(planned) if num_shards is None else num_shards
    return (_index(total) if shard is None else shard), total


def outside(shard: int, num_shards: int) -> str:
    """Return what is said of a shard that is none of `num_shards`."""
    last = f"; shards count from 0, so the last is {num_shards - 1}" if shard > 0 else ""
    return f"shard = {shard}: accepted is 0 <= shard < num_shards, and num_shards is {num_shards}{last}"


def resubmissions(shards: list[int], num_shards: int) -> list[tuple[str, str]]:
    """Return how to run only these shards again: each scheduler's name and what to type, then over SSH and here.

    RUN, QUEUE and POOL stand for names that only the reader knows; file and job names are those of the README.
    """
    wanted = sorted(set(shards))
    values = {
        "ranges": _ranges(wanted),
        "each": " ".join(map(str, wanted)),
        "num_shards": num_shards,
        "environments": json.dumps(
            [{"variables": {SHARD: str(shard), NUM_SHARDS: str(num_shards)}} for shard in wanted]
        ),
    }
    rows = [(scheduler.name, scheduler.again) for scheduler in SCHEDULERS]
    return [(name, text % values) for name, text in [*rows, ("SSH", _SSH), ("this machine", _HERE)]]


def _ranges(numbers: list[int]) -> str:
    """Write sorted numbers as Slurm takes them, such as 3,7-9."""
    runs = [list(run) for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])]
    return ",".join(f"{run[0][1]}-{run[-1][1]}" if len(run) > 1 else str(run[0][1]) for run in runs)


def _count(planned: Callable[[], int | None]) -> int:
    if NUM_SHARDS in os.environ:
        return _number(NUM_SHARDS, 1)
    scheduler = _scheduler()
    if scheduler and scheduler.count and scheduler.count in os.environ:
        return _number(scheduler.count, 1)
    total = planned()
    if total is None and (SHARD in os.environ or scheduler):
        index = SHARD if SHARD in os.environ else scheduler.index
        raise RequestError(f"{_told(index)}: an index, but nothing gives the number of shards; {_HOW}")
    return 1 if total is None else total


def _index(num_shards: Any) -> int:
    scheduler = None if SHARD in os.environ else _scheduler()
    source = scheduler.index if scheduler else SHARD
    if source not in os.environ:
        return 0
    shard = _number(source)
    if scheduler and scheduler.steps:
        shard = _from_zero(shard, scheduler.steps, num_shards)
    if isinstance(num_shards, int) and 0 < num_shards <= shard:  # other numbers of shards are refused on their own
        raise RequestError(f"{outside(shard, num_shards)}; it comes from {_told(source)}")
    return shard


def _from_zero(index: int, steps: tuple[str, str, str], num_shards: Any) -> int:
    """Return the shard of an index where an array of as many tasks as shards counts otherwise, such as 1-10 or 0-18:2.

    An array of another size is a retry of some shards, such as --array=3,7: there the index is the shard.
    """
    if not all(name in os.environ for name in steps):
        return index
    size, first, step = (_number(name, least) for name, least in zip(steps, (1, 0, 1), strict=True))
    position, rest = divmod(index - first, step)
    return position if size == num_shards and not rest else index


def _scheduler() -> Scheduler | None:
    found = [scheduler for scheduler in SCHEDULERS if scheduler.index in os.environ]
    if len(found) > 1:
        raise RequestError(
            f"{' and '.join(_told(scheduler.index) for scheduler in found)}: {len(found)} schedulers give an index; "
            f"say which shard this is with -p shard and -p num_shards, or {SHARD} and {NUM_SHARDS}"
        )
    return found[0] if found else None


def _number(name: str, least: int = 0) -> int:
    text = os.environ[name]
    if re.fullmatch("[0-9]{1,9}", text) and int(text) >= least:
        return int(text)
    raise RequestError(f"{_told(name)}: accepted is a whole number, {least} or more")


def _told(name: str) -> str:
    return f"{name} = {os.environ[name]!r}"
