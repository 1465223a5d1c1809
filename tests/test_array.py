"""Each task of an array takes its own shard, or stops."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nbpipe import pipeline
from nbpipe.array import SCHEDULERS, resubmissions
from nbpipe.config import Preprocess
from nbpipe.errors import RequestError, WorkError
from nbpipe.execute import Job

Told = Callable[..., tuple[int, int]]
ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
RETRY = {"ID": 7, "COUNT": 2, "MIN": 3, "STEP": 1}  # of sbatch --array=3,7
AWS = {"AWS_BATCH_JOB_ARRAY_INDEX": 4, "AWS_BATCH_JOB_ARRAY_SIZE": 5}
KUBERNETES = {"JOB_COMPLETION_INDEX": 2}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder that holds a folder of documents."""
    (tmp_path / "documents").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def told(here: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    """Return what a config makes of an environment and of parameters: (shard, num_shards)."""

    def ask(environment: dict[str, object], **parameters: object) -> tuple[int, int]:
        with monkeypatch.context() as context:
            for name, value in environment.items():
                context.setenv(name, str(value))
            config = Preprocess(documents="documents", run="run", **parameters)
        return config.shard, config.num_shards

    return ask


def slurm(**numbers: int) -> dict[str, object]:
    return {f"SLURM_ARRAY_TASK_{name}": value for name, value in numbers.items()}


def documents(here: Path) -> None:
    for number in range(4):
        (here / "documents" / f"{number}.txt").write_text(f"the wind and the tide of day {number}")


def plan(here: Path, content: str = '{"num_shards": 10}') -> None:
    (here / "run").mkdir()
    (here / "run" / "plan.json").write_text(content)


def test_slurm_gives_the_index_alone(told: Told, here: Path) -> None:
    array = slurm(ID=7, COUNT=10, MIN=0, MAX=9, STEP=1)
    assert told(array, num_shards=10) == (7, 10)
    with pytest.raises(RequestError, match=r"SLURM_ARRAY_TASK_ID = '7': .*-p num_shards N or NBPIPE_NUM_SHARDS=N"):
        told(array)
    plan(here)
    assert told(array) == (7, 10)


@pytest.mark.parametrize(
    ("array", "shard"),
    [
        ({"ID": 1, "COUNT": 10, "MIN": 1, "STEP": 1}, 0),
        ({"ID": 10, "COUNT": 10, "MIN": 1, "STEP": 1}, 9),
        ({"ID": 18, "COUNT": 10, "MIN": 0, "STEP": 2}, 9),
        (RETRY, 7),
        ({"ID": 7}, 7),
    ],
)
def test_slurm_may_count_otherwise_and_retry_some(told: Told, array: dict[str, int], shard: int) -> None:
    assert told(slurm(**array), num_shards=10) == (shard, 10)


def test_kubernetes_gives_the_index_alone(told: Told, here: Path) -> None:
    with pytest.raises(RequestError, match=r"JOB_COMPLETION_INDEX = '2': .*NBPIPE_NUM_SHARDS=N"):
        told(KUBERNETES)
    plan(here)
    assert told(KUBERNETES) == (2, 10)


def test_aws_batch_gives_index_and_count(told: Told) -> None:
    assert told(AWS) == (4, 5)


def test_google_batch_gives_index_and_count(told: Told) -> None:
    assert told({"BATCH_TASK_INDEX": 4, "BATCH_TASK_COUNT": 5}) == (4, 5)


def test_cloud_run_gives_index_and_count(told: Told) -> None:
    assert told({"CLOUD_RUN_TASK_INDEX": 4, "CLOUD_RUN_TASK_COUNT": 5}) == (4, 5)


def test_skypilot_gives_index_and_count(told: Told) -> None:
    assert told({"SKYPILOT_JOB_RANK": 4, "SKYPILOT_NUM_JOBS": 5}) == (4, 5)


def test_dstack_gives_index_and_count(told: Told) -> None:
    assert told({"DSTACK_NODE_RANK": 4, "DSTACK_NODES_NUM": 5}) == (4, 5)


def test_torchrun_is_no_scheduler(told: Told) -> None:
    assert told({"RANK": 4, "WORLD_SIZE": 5, "LOCAL_RANK": 0}) == (0, 1)


def test_parameters_go_before_our_variables_and_those_before_the_scheduler(told: Told, here: Path) -> None:
    plan(here)
    own = {"NBPIPE_SHARD": 1, "NBPIPE_NUM_SHARDS": 6}
    assert told(AWS | own, shard=0, num_shards=3) == (0, 3)
    assert told(AWS | own) == (1, 6)
    assert told(AWS | {"NBPIPE_SHARD": 1}) == (1, 5)
    assert told(AWS | {"NBPIPE_NUM_SHARDS": 6}) == (4, 6)
    assert told(AWS, shard=0) == (0, 5)


def test_without_any_scheduler_it_is_the_first_shard_of_the_plan(told: Told, here: Path) -> None:
    assert told({}) == (0, 1)
    plan(here)
    assert told({}) == (0, 10)
    assert told({}, shard=None, num_shards=None) == (0, 10)


def test_two_schedulers_are_refused_unless_something_goes_before_them(told: Told) -> None:
    both = AWS | KUBERNETES
    with pytest.raises(RequestError, match=r"JOB_COMPLETION_INDEX = '2' and AWS_BATCH_JOB_ARRAY_INDEX = '4': 2 sched"):
        told(both, num_shards=5)
    with pytest.raises(RequestError, match="2 schedulers"):
        told(both, shard=1)
    assert told(both, shard=1, num_shards=5) == (1, 5)
    assert told(both | {"NBPIPE_SHARD": 3, "NBPIPE_NUM_SHARDS": 6}) == (3, 6)


def test_an_index_without_a_count_is_refused(told: Told) -> None:
    with pytest.raises(RequestError, match="NBPIPE_SHARD = '0': an index, but nothing gives the number of shards"):
        told({"NBPIPE_SHARD": 0})


@pytest.mark.parametrize("value", ["", "-1", "1.0", "1_0", " 1", "two", "٣", "1" * 5000])
@pytest.mark.parametrize("name", ["NBPIPE_SHARD", "NBPIPE_NUM_SHARDS", "JOB_COMPLETION_INDEX"])
def test_a_variable_that_is_no_whole_number_is_refused(told: Told, name: str, value: str) -> None:
    given = {} if name == "NBPIPE_NUM_SHARDS" else {"num_shards": 5}
    with pytest.raises(RequestError, match=f"{name} = {re.escape(repr(value))}: accepted is a whole number"):
        told({name: value}, **given)


def test_an_array_of_no_tasks_is_refused(told: Told) -> None:
    with pytest.raises(RequestError, match="BATCH_TASK_COUNT = '0': accepted is a whole number, 1 or more"):
        told({"BATCH_TASK_INDEX": 0, "BATCH_TASK_COUNT": 0})


@pytest.mark.parametrize(
    ("environment", "source"),
    [
        (slurm(ID=10, COUNT=11, MIN=0, STEP=1), "SLURM_ARRAY_TASK_ID = '10'"),
        ({"NBPIPE_SHARD": 10}, "NBPIPE_SHARD = '10'"),
    ],
)
def test_an_index_outside_says_where_it_comes_from(told: Told, environment: dict[str, object], source: str) -> None:
    with pytest.raises(RequestError, match=f"shard = 10: .*num_shards is 10; .*the last is 9; it comes from {source}"):
        told(environment, num_shards=10)


def test_a_wrong_count_is_refused_as_such_also_on_a_scheduler(told: Told) -> None:
    for wrong in ("10", 0):
        with pytest.raises(RequestError, match=f"num_shards = {wrong!r} .*accepted is a whole number from 1"):
            told(KUBERNETES, num_shards=wrong)


def test_a_damaged_plan_gives_no_count(told: Told, here: Path) -> None:
    plan(here, "{}")
    with pytest.raises(WorkError, match=r"plan.json: damaged"):
        told(KUBERNETES)


@pytest.mark.parametrize(("given", "shards"), [({}, 1), ({"num_shards": 2}, 2)])
def test_a_run_on_one_machine_is_not_disturbed_by_a_scheduler(
    given: dict[str, int], shards: int, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def note(jobs: list[Job], *_: object) -> None:
        taken.extend(Preprocess(**job.parameters) for job in jobs)
        raise WorkError("noted")

    taken: list[Preprocess] = []
    documents(here)
    monkeypatch.setattr(pipeline, "_side_by_side", note)
    for name, value in (slurm(ID=7) | AWS).items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(WorkError, match="noted"):
        pipeline.run_all({"documents": here / "documents", "run": here / "run"} | given)
    assert [(config.shard, config.num_shards) for config in taken] == [(index, shards) for index in range(shards)]


def test_the_command_of_the_readme_runs_one_task(here: Path) -> None:
    documents(here)
    (here / "runs" / "production" / "audit").mkdir(parents=True)
    for name in ("notebooks", "params"):
        (here / name).symlink_to(ROOT / name)
    (command,) = re.findall(r"^    (papermill .*INDEX.*)$", README, re.MULTILINE)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "SLURM_ARRAY_TASK_ID": "1"}
    done = subprocess.run(
        ["sh", "-c", command.replace("$INDEX", "$SLURM_ARRAY_TASK_ID")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    (receipt,) = (here / "runs" / "production" / "shards").glob("*/receipt.json")
    facts = json.loads(receipt.read_text())
    assert (facts["shard"], facts["num_shards"], facts["config"]["shard"]) == (1, 10, 1)
    assert [book.name for book in (here / "runs/production/audit").glob("*.ipynb")] == [
        "preprocess-00001-of-00010.ipynb"
    ]


def test_the_readme_has_a_recipe_for_each_scheduler() -> None:
    rows = re.findall(r"^\| ([^|]+) \| `([A-Z_]+)` \| `[a-z]+ ", README, re.MULTILINE)
    assert rows == [(scheduler.name, scheduler.index) for scheduler in SCHEDULERS]


def test_slurm_runs_some_shards_again_as_one_array() -> None:
    assert dict(resubmissions([9, 3, 7, 8, 3], 10))["Slurm"] == "sbatch --array=3,7-9 preprocess.sh"


def test_google_batch_runs_some_shards_again_as_one_job() -> None:
    place, field = dict(resubmissions([3, 7], 10))["Google Batch"].split(": ", 1)
    assert place == "in place of taskCount in preprocess.json"
    assert [entry["variables"] for entry in json.loads(f"{{{field}}}")["taskEnvironments"]] == [
        {"NBPIPE_SHARD": shard, "NBPIPE_NUM_SHARDS": "10"} for shard in ("3", "7")
    ]


@pytest.mark.parametrize(
    ("name", "tool"),
    [
        ("Kubernetes", "kubectl"),
        ("AWS Batch", "aws"),
        ("Cloud Run", "gcloud"),
        ("SkyPilot", "sky"),
        ("dstack", "dstack"),
        ("this machine", "papermill"),
    ],
)
def test_elsewhere_each_shard_runs_again_as_a_job_of_its_own(name: str, tool: str) -> None:
    loop = dict(resubmissions([3, 7], 10))[name].removeprefix("with nodes: 1 in the file: ")
    shell = f"{tool}() {{ cat >&2; echo $* >&2; }}; {loop}"  # the tool says what it was called with
    said = subprocess.run(["sh", "-c", shell], stdin=subprocess.DEVNULL, capture_output=True, text=True).stderr
    for shard in ("3", "7"):
        assert re.search(f"(NBPIPE_SHARD(=|,value=)|-p shard ){shard}\\b", said)
    assert len(re.findall(r"(?i)num_shards[ =](value=)?10\b|NUM_SHARDS,value=10\b", said)) == 2
