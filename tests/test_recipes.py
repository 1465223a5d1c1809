"""The README's recipes for schedulers, as far as they can be tried without them: what is typed, what a task gets."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from nbpipe.array import SCHEDULERS, place, resubmissions

README = (Path(__file__).parents[1] / "README.md").read_text()
ROW = r"^\| ([^|]+) \| `([A-Z]+_[A-Z_]+)` \| (.+) \|$"
ROWS = {name: (index, recipe) for name, index, recipe in re.findall(ROW, README, re.MULTILINE)}
(COMMAND,) = re.findall("^    (papermill .*INDEX.*)$", README, re.MULTILINE)
# What each scheduler sets in a task of an array of ten, besides its index and according to its documentation.
BESIDES = {
    "Slurm": {
        "SLURM_ARRAY_TASK_COUNT": "10",
        "SLURM_ARRAY_TASK_MIN": "0",
        "SLURM_ARRAY_TASK_MAX": "9",
        "SLURM_ARRAY_TASK_STEP": "1",
    },
    "Kubernetes": {},
    "AWS Batch": {"AWS_BATCH_JOB_ID": "5c1-9:7", "AWS_BATCH_JOB_ARRAY_SIZE": "10"},
    "Google Batch": {"BATCH_TASK_COUNT": "10"},
    "Cloud Run": {"CLOUD_RUN_TASK_COUNT": "10", "CLOUD_RUN_TASK_ATTEMPT": "0"},
    "SkyPilot": {"SKYPILOT_NUM_JOBS": "10", "SKYPILOT_NODE_RANK": "0", "SKYPILOT_NUM_NODES": "1"},
    "dstack": {"DSTACK_NODES_NUM": "10", "DSTACK_GPUS_NUM": "0"},
}
FLAGS = {
    "Slurm": "--array=0-9",
    "AWS Batch": "--array-properties size=10",
    "Cloud Run": "--tasks 10",
    "SkyPilot": "--num-jobs 10",
}
SETTINGS = {
    "Kubernetes": {"spec": {"completionMode": "Indexed", "completions": 10, "parallelism": 10}},
    "Google Batch": {"taskCount": 10},
    "dstack": {"nodes": 10},
}


def typed(name: str) -> str:
    """Return the command of a scheduler's recipe."""
    return re.findall("`(.+?)`", ROWS[name][1])[0]


def settings(name: str) -> Any:
    """Return what the file that the command names must hold, read as the kind of file that it is."""
    _, text = re.findall("`(.+?)`", ROWS[name][1])
    return json.loads(f"{{{text}}}") if ".json" in typed(name) else yaml.safe_load(text)


def test_every_row_is_tried() -> None:
    assert list(ROWS) == list(BESIDES)
    assert sorted(ROWS) == sorted(FLAGS | SETTINGS)


@pytest.mark.parametrize("name", ROWS)
def test_a_task_takes_its_shard_from_the_variable_of_the_row(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in {ROWS[name][0]: "7", **BESIDES[name]}.items():
        monkeypatch.setenv(variable, value)
    counted = name not in ("Slurm", "Kubernetes")  # on these two the count is the plan's
    assert place(None, None, lambda: None if counted else 10) == (7, 10)


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize(("own", "shard"), [({}, "00007"), ({"NBPIPE_SHARD": "3"}, "00003")])
def test_a_task_names_its_notebook_by_its_shard(name: str, own: dict[str, str], shard: str) -> None:
    shell = f"papermill() {{ echo $2; }}; {COMMAND.replace('$INDEX', f'${ROWS[name][0]}')}"
    done = subprocess.run(["sh", "-c", shell], env={ROWS[name][0]: "7"} | own, capture_output=True, text=True)
    assert done.stdout == f"runs/production/audit/preprocess-{shard}-of-00010.ipynb\n"


@pytest.mark.parametrize("name", FLAGS)
def test_a_command_asks_for_ten_tasks(name: str) -> None:
    assert f" {FLAGS[name]} " in f" {shlex.join(shlex.split(typed(name)))} "


@pytest.mark.parametrize("name", SETTINGS)
def test_a_file_asks_for_ten_tasks(name: str) -> None:
    assert settings(name) == SETTINGS[name]


@pytest.mark.parametrize("name", [scheduler.name for scheduler in SCHEDULERS])
def test_a_retry_is_asked_of_the_same_tool_and_file(name: str) -> None:
    again = dict(resubmissions([3, 7], 10))[name]
    tool, file = typed(name).split()[0], re.compile(r"\bpreprocess\.[.\w]+")
    assert re.search(rf"\b{tool} ", again) or name == "Google Batch"  # there the file alone changes
    assert set(file.findall(again)) == set(file.findall(typed(name)))


def test_a_retry_over_ssh_is_the_same_command_for_some_shards() -> None:
    (command,) = re.findall(r"^    (parallel (?:.*\\\n)*.*)$", README, re.MULTILINE)
    again = dict(resubmissions([3, 7], 10))["SSH"]
    assert again.split() == command.replace("\\\n", "").replace("$(seq 0 9)", "3 7").split()
