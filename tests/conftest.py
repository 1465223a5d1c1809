"""One finished run for the tests that read runs, made once by the command line itself."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nbpipe.array import NUM_SHARDS, SCHEDULERS, SHARD

TOPICS = {
    "cooking": "oven butter flour sugar recipe bake dough salt taste kitchen spoon simmer",
    "sailing": "wind sail harbour mast anchor deck tide rope crew port hull drift",
    "astronomy": "star orbit planet telescope galaxy comet light dust moon sky nebula lens",
}
SHARED = ["the", "of", "and", "to", "in", "it", "is", "was", "that", "for", "on", "with", "as", "at", "by", "this"]


def make_documents(folder: Path, each: int = 20) -> None:
    """Write text documents in one folder per topic, each with words of its own and words of all topics."""
    for topic, words in TOPICS.items():
        own = words.split()
        (folder / topic).mkdir(parents=True)
        for index in range(each):
            text = [
                own[(index * 7 + step * 5) % len(own)] if step % 3 else SHARED[(index + step) % len(SHARED)]
                for step in range(60)
            ]
            (folder / topic / f"{index:02d}.txt").write_text(f"{' '.join(text)} {index}")


def nbpipe(*words: object, where: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of nbpipe in a folder."""
    command = [sys.executable, "-c", "from nbpipe.cli import main; main()", *map(str, words)]
    return subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=300)


@pytest.fixture(autouse=True)
def _no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the scheduler that runs the tests themselves, if one does."""
    for name in (SHARD, NUM_SHARDS, *(scheduler.index for scheduler in SCHEDULERS)):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds documents/ and runs/documents, run in two shards; only to be read."""
    folder = tmp_path_factory.mktemp("finished")
    make_documents(folder / "documents")
    (folder / "documents" / "cooking" / "broken.pdf").write_bytes(b"%PDF-1.4 nothing more")
    done = nbpipe("run", "documents", "--shards", "2", where=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def run_copy(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to be damaged."""
    return shutil.copytree(finished / "runs" / "documents", tmp_path / "run")


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command of nbpipe in an empty folder."""
    return lambda *words: nbpipe(*words, where=tmp_path)
