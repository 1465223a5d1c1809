"""Ten shards by an array of a real Slurm, one of its tasks killed, then train and explain: the README's own commands.

Unusual: the tests share one story, told in order by fixtures, since a notebook takes seconds. The killed task is at a
document that takes seconds, so that the kill comes in its midst.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import recipe
import slurm
from recipe import SHARDS, parts, until, written

from nbpipe.claim import read_claim

UNDER_WAY = {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING"}
NEVER = "DependencyNeverSatisfied"

pytestmark = pytest.mark.skipif(bool(slurm.lacking()), reason=slurm.lacking() or "Slurm is here")


@dataclass(frozen=True)
class Site(recipe.Site):
    """A folder with documents and batch scripts, on a machine of a Slurm cluster."""

    cluster: slurm.Cluster

    def submit(self, command: str) -> str:
        """Hand in a job and return its ID."""
        done = self.type(command)
        assert done.stdout.startswith("Submitted batch job "), done.stderr
        return done.stdout.split()[-1]

    def submit_after(self, job: str, stage: str) -> str:
        """Hand in a stage's notebook, on a CPU, for when another job went well."""
        notebook = written(f"^    (papermill notebooks/{stage}.*)$").replace("-p device cuda", "-p device cpu")
        waiting = written('`(sbatch --dependency=afterok:ID --wrap "COMMAND")`')
        return self.submit(waiting.replace("ID", job).replace("COMMAND", notebook))

    def ask(self, job: str, field: str = "%T") -> dict[str, str]:
        """Return what squeue says of each task of a job, by index; of a job without tasks, by N/A."""
        rows = self.cluster.ask("squeue", "-h", "-r", "-t", "all", "-j", job, "-o", f"%K {field}").splitlines()
        return dict(row.split(maxsplit=1) for row in rows)

    def wait_for(self, job: str) -> dict[str, str]:
        """Wait for the end of a job, or until it is known never to start, and return the state of each of its tasks."""
        until(lambda: not UNDER_WAY & set(self.ask(job).values()) or NEVER in self.ask(job, "%r").values())
        return self.ask(job)


@dataclass(frozen=True)
class Interrupted:
    """What is seen of an array after one of its tasks was killed, and of the training that waits for it.

    shard: the killed task's; states: of each task; reason: why the training does not start.
    """

    shard: int
    states: dict[str, str]
    reason: str
    status: subprocess.CompletedProcess[str]
    retry: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, make_corpus: Callable[..., None]) -> Iterator[Site]:
    """What a user has before the first command of the README."""
    index, first = written(r"^\| Slurm \| `(\w+)`"), written(r"preprocess\.sh`, which begins with `(.*?)`")
    command = written("^    (papermill .*INDEX.*)$").replace("$INDEX", f"${index}")
    with slurm.cluster() as made:
        site = Site(tmp_path_factory.mktemp("slurm"), made.environment, made)
        site.furnish(make_corpus, f"{first}\n{command}\n")
        yield site


@pytest.fixture(scope="module")
def interrupted(site: Site) -> Interrupted:
    """The array, of which the task that reads the slow document loses its kernel meanwhile, as to a lack of memory."""
    shard = site.slow_shard()
    site.type(written("^    (mkdir .*)$"))
    array = site.submit(written(r"^\| Slurm \|.*`(sbatch --array=0-9 .*?)`"))
    train = site.submit_after(array, "train")
    folder = site.run.shard(shard, SHARDS)
    until(lambda: (claim := read_claim(folder)) and claim.progress.total)
    os.kill(read_claim(folder).owner["pid"], signal.SIGKILL)
    states = site.wait_for(array)
    until(lambda: site.ask(train, "%r")["N/A"] != "Dependency")
    reason = site.ask(train, "%r")["N/A"]
    site.cluster.ask("scancel", train)
    seen = [site.type(f"nbpipe {command} runs/production") for command in ("status", "retry")]
    return Interrupted(shard, states, reason, *seen)


@pytest.fixture(scope="module")
def went(site: Site, interrupted: Interrupted) -> dict[str, dict[str, str]]:
    """How each job went, after the line that nbpipe retry prints was typed, and train and explain wait for it."""
    (line,) = re.findall(r"^Slurm: (.*)$", interrupted.retry.stdout, re.MULTILINE)
    jobs = {"retry": site.submit(line)}
    jobs["train"] = site.submit_after(jobs["retry"], "train")
    jobs["explain"] = site.submit_after(jobs["train"], "explain")
    assert site.ask(jobs["explain"], "%E")["N/A"] == f"afterok:{jobs['train']}(unfulfilled)"
    return {name: site.wait_for(job) for name, job in jobs.items()}


def test_a_cluster_runs_a_command_and_leaves_nothing_behind() -> None:
    script = """sbatch --output=/dev/null --wrap "sleep 600" >&2; until squeue -h | grep -q " R "; do sleep 0.1; done
        echo $SLURM_CONF; exit 3"""
    done = subprocess.run(
        [sys.executable, slurm.__file__, "sh", "-c", script], capture_output=True, text=True, timeout=60
    )
    conf = Path(done.stdout.rstrip("\n"))
    assert (done.returncode, conf.name, conf.parent.exists()) == (3, "slurm.conf", False)
    assert not [pid for pid in psutil.pids() if environment(pid).get("SLURM_CONF") == str(conf)]


def environment(pid: int) -> dict[str, str]:
    try:
        return psutil.Process(pid).environ()
    except psutil.Error:
        return {}


def test_each_task_but_the_killed_one_does_its_shard(interrupted: Interrupted) -> None:
    shard = interrupted.shard
    assert shard > 0
    assert interrupted.states == {str(i): "FAILED" if i == shard else "COMPLETED" for i in range(SHARDS)}
    assert re.findall(r"^preprocess (\d+)-of-00010  +stalled ", interrupted.status.stdout, re.MULTILINE) == [
        f"{shard:05d}"
    ]
    assert "Shards: 9 done, 1 stalled." in interrupted.status.stdout


def test_train_does_not_start_after_a_killed_task(interrupted: Interrupted) -> None:
    assert interrupted.reason == NEVER


def test_retry_prints_the_array_of_the_killed_task(interrupted: Interrupted) -> None:
    assert interrupted.retry.returncode == 0, interrupted.retry.stderr
    assert f"Slurm: sbatch --array={interrupted.shard} preprocess.sh\n" in interrupted.retry.stdout


def test_that_array_is_one_task_after_which_train_and_explain_run(
    went: dict[str, dict[str, str]], interrupted: Interrupted
) -> None:
    assert went == {
        "retry": {str(interrupted.shard): "COMPLETED"},
        "train": {"N/A": "COMPLETED"},
        "explain": {"N/A": "COMPLETED"},
    }


@pytest.mark.usefixtures("went")
def test_the_run_is_proven_and_has_its_report(site: Site) -> None:
    proven = site.type("nbpipe verify runs/production")
    assert (proven.returncode, proven.stdout) == (0, "")
    assert proven.stderr.startswith("verified: every document, file, receipt and notebook agrees")
    index = site.folder / site.type("nbpipe report runs/production").stdout.strip()
    assert index == site.run.report / "index.html"
    assert all(f"preprocess-{number:05d}-of-00010" in index.read_text() for number in range(SHARDS))


@pytest.mark.usefixtures("went")
def test_the_parts_are_those_of_one_machine(site: Site, tmp_path: Path) -> None:
    here = site.parts_here(tmp_path)
    assert (parts(site.run.folder), len(here)) == (here, SHARDS)
