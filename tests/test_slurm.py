"""Ten shards by an array of a real Slurm, one of its tasks killed, then train and explain: the README's own commands.

Unusual: the tests share one story, told in order by fixtures, since a notebook takes seconds. The killed task is at a
Word document of under a kilobyte whose million empty paragraphs take seconds, so that the kill comes in its midst.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZIP_BZIP2, ZipFile

import psutil
import pytest
import slurm

from nbpipe.array import NUM_SHARDS, SCHEDULERS, SHARD
from nbpipe.audit import Stamp
from nbpipe.claim import read_claim
from nbpipe.config import Preprocess
from nbpipe.preprocess.files import list_documents
from nbpipe.preprocess.plan import Plan
from nbpipe.preprocess.stage import finish, open_shard, parse_shard
from nbpipe.run import Run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SHARDS, SLOW, SLOW_PARAGRAPHS = 10, "sailing/slow.docx", 1_000_000
UNDER_WAY = {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING"}
NEVER = "DependencyNeverSatisfied"

pytestmark = pytest.mark.skipif(bool(slurm.lacking()), reason=slurm.lacking() or "Slurm is here")


def written(pattern: str) -> str:
    """Return the one place of the README that a pattern with one group finds."""
    (found,) = re.findall(pattern, README, re.MULTILINE)
    return found


def until(holds: Callable[[], object], seconds: float = 240) -> None:
    """Wait for something, and fail where it does not come."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "it did not come"
        time.sleep(0.1)


@dataclass(frozen=True)
class Site:
    """A folder with documents and batch scripts, on a machine of a Slurm cluster."""

    folder: Path
    cluster: slurm.Cluster

    @property
    def run(self) -> Run:
        """The run that params/*.yaml name."""
        return Run(self.folder / "runs" / "production")

    def type(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command line there."""
        hidden = {SHARD, NUM_SHARDS, *(scheduler.index for scheduler in SCHEDULERS)}
        kept = {name: value for name, value in self.cluster.environment.items() if name not in hidden}
        kept["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), kept["PATH"]])
        return subprocess.run(
            ["sh", "-c", command], cwd=self.folder, env=kept, capture_output=True, text=True, timeout=120
        )

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
    folder = tmp_path_factory.mktemp("slurm")
    make_corpus(folder / "documents", 10)
    for path in folder.glob("documents/*/00.txt"):
        path.write_text(path.read_text() * 5)  # dealt before the slow one, so that it is not in shard 0
    with ZipFile(folder / "documents" / SLOW, "w", ZIP_BZIP2) as archive:
        text = f"<d><p><t>wind and tide</t></p>{'<p/>' * SLOW_PARAGRAPHS}</d>"
        archive.writestr("word/document.xml", text)
    for name in ("notebooks", "params"):
        (folder / name).symlink_to(ROOT / name)
    index, first = written(r"^\| Slurm \| `(\w+)`"), written(r"preprocess\.sh`, which begins with `(.*?)`")
    command = written("^    (papermill .*INDEX.*)$").replace("$INDEX", f"${index}")
    (folder / "preprocess.sh").write_text(f"{first}\n{command}\n")
    with slurm.cluster() as made:
        yield Site(folder, made)


@pytest.fixture(scope="module")
def interrupted(site: Site) -> Interrupted:
    """The array, of which the task that reads the slow document loses its kernel meanwhile, as to a lack of memory."""
    sizes = {document.id: document.bytes for document in list_documents(site.folder / "documents")}
    (shard,) = [index for index, ids in enumerate(Plan(sizes, SHARDS).shards) if SLOW in ids]
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
    for shard in range(SHARDS):
        config = Preprocess(
            documents=site.folder / "documents", run=tmp_path, shard=shard, num_shards=SHARDS, workers=1
        )
        finish(parse_shard(open_shard(config)), Stamp.now(config))
    here, there = (
        {str(path.relative_to(run)): path.read_bytes() for path in run.glob("shards/*/part-*.parquet")}
        for run in (tmp_path, site.run.folder)
    )
    assert here == there
    assert len(here) == SHARDS
