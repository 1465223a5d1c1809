"""Faults of the machine stop a shard with a clear error, and the same call goes on from there."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from nbpipe.audit import Stamp, trusted
from nbpipe.config import Preprocess
from nbpipe.errors import WorkError
from nbpipe.preprocess import attempt
from nbpipe.preprocess.stage import finish, open_shard, parse_shard
from nbpipe.records import OUTCOME, read_table
from nbpipe.run import Run
from nbpipe.status import read_status

DRIVER = """
import sys
from functools import partial

from nbpipe.audit import Stamp
from nbpipe.config import Preprocess
from nbpipe.errors import NbpipeError, StoppedError
from nbpipe.preprocess import attempt, engines, stage

sys.path.insert(0, sys.argv[3])
from misbehaving import slowly

attempt.KEEP_EVERY = 0.2
engines.parse_all = partial(engines.parse_all, parser=slowly)
config = Preprocess(documents=sys.argv[1], run=sys.argv[2], workers=2)
try:
    print(stage.finish(stage.parse_shard(stage.open_shard(config)), Stamp.now(config)).digest)
except (NbpipeError, StoppedError) as error:
    sys.exit(str(error))
"""  # without a guard: the processes must not run it again


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """A folder of 250 small texts: two whole parts and a half."""
    folder = tmp_path / "documents"
    folder.mkdir()
    for index in range(250):
        (folder / f"{index:03d}.txt").write_text(f"words of {index} " * 20)
    return folder


@pytest.fixture
def whole(documents: Path, tmp_path: Path) -> dict[str, bytes]:
    """The parts as an undisturbed run writes them."""
    run_all(documents, tmp_path / "whole")
    return parts(tmp_path / "whole")


def run_all(documents: Path, run: Path, **options: object) -> None:
    config = Preprocess(documents=documents, run=run, workers=2, **options)
    finish(parse_shard(open_shard(config)), Stamp.now(config))


def parts(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(run.glob("shards/*/part-*.parquet"))}


def drive(folder: Path) -> subprocess.Popen[str]:
    """Start the shard in a process of its own, with a parser that takes its time."""
    (folder / "driver.py").write_text(DRIVER)
    command = [sys.executable, "driver.py", "documents", "run", str(Path(__file__).parent)]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_until_done(run: Path, documents: int) -> None:
    """Wait until the shard's claim says that so many documents are done."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (run / "plan.json").exists() and read_status(Run(run)).shards[0].done >= documents:
            return
        time.sleep(0.1)
    raise AssertionError("the shard does not get on")


def test_sigterm_keeps_every_finished_document(documents: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    driver = drive(tmp_path)
    wait_until_done(tmp_path / "run", 20)
    asked = time.monotonic()
    driver.send_signal(signal.SIGTERM)
    _, said = driver.communicate(timeout=30)
    assert (driver.returncode, time.monotonic() - asked < 20) == (1, True)
    assert said.startswith("stopped by SIGTERM; what was finished is kept")
    folder = Run(tmp_path / "run").shard(0, 1)
    kept = read_table(folder / ".unfinished.parquet", OUTCOME).num_rows
    stopped = read_status(Run(tmp_path / "run")).shards[0]
    assert (stopped.state, stopped.done % 100) == ("stopped", kept)
    assert parse_again(documents, tmp_path / "run") == 250 - stopped.done
    assert parts(tmp_path / "run") == whole


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no fork server to end first")
def test_no_document_is_blamed_when_all_processes_of_a_shard_get_sigterm(
    documents: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    driver = drive(tmp_path)
    wait_until_done(tmp_path / "run", 20)
    for process in psutil.Process(driver.pid).children(recursive=True):
        process.terminate()
    time.sleep(0.1)  # as where the one that would stop them all hears last
    driver.terminate()
    _, said = driver.communicate(timeout=30)
    assert said.startswith("stopped by SIGTERM; what was finished is kept")
    parse_again(documents, tmp_path / "run")
    assert parts(tmp_path / "run") == whole


def parse_again(documents: Path, run: Path, **options: object) -> int:
    """Finish a shard, and return how many documents were parsed for that."""
    parsed = 0

    def count(outcomes: Iterator[object], total: int) -> Iterator[object]:
        nonlocal parsed
        parsed = total
        return outcomes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attempt, "progress", count)
        run_all(documents, run, **options)
    return parsed


def test_a_killed_shard_goes_on_after_what_it_last_kept(
    documents: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    driver = drive(tmp_path)
    wait_until_done(tmp_path / "run", 50)
    driver.kill()
    driver.communicate()
    kept = read_table(Run(tmp_path / "run").shard(0, 1) / ".unfinished.parquet", OUTCOME).num_rows
    assert kept > 0
    assert parse_again(documents, tmp_path / "run") <= 250 - kept
    assert parts(tmp_path / "run") == whole


def test_what_was_kept_under_other_options_is_not_taken_up(documents: Path, tmp_path: Path) -> None:
    driver = drive(tmp_path)
    wait_until_done(tmp_path / "run", 20)
    driver.terminate()
    driver.communicate(timeout=30)
    assert parse_again(documents, tmp_path / "run", max_pages=1) == 250


def test_two_processes_at_one_shard_both_end_with_the_same_receipt(
    documents: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    both = [drive(tmp_path), drive(tmp_path)]
    said = [driver.communicate(timeout=120) for driver in both]
    assert [driver.returncode for driver in both] == [0, 0], said
    digests = {out.splitlines()[-1] for out, _ in said}
    assert digests == {trusted(Run(tmp_path / "run").shard(0, 1)).digest}
    assert parts(tmp_path / "run") == whole


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 300 KB."""
    place = tmp_path / "disk"
    place.mkdir()
    options = ["-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(["mount", *options], capture_output=True).returncode:
        pytest.skip("only root can make a disk, and not in every container")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_stops_the_shard_and_room_lets_it_go_on(
    documents: Path, whole: dict[str, bytes], small_disk: Path
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(260_000))
    with pytest.raises(WorkError, match=r"run = 'run': cannot be written \(No space left on device\)"):
        run_all(documents, small_disk / "run")
    assert not list(small_disk.glob("run/shards/*/receipt.json"))
    ballast.unlink()
    run_all(documents, small_disk / "run")
    assert parts(small_disk / "run") == whole


def test_a_run_folder_that_may_only_be_read_stops_the_shard(
    documents: Path, whole: dict[str, bytes], small_disk: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(WorkError, match=r"run = 'run': cannot be written \(Read-only file system\)"):
        run_all(documents, small_disk / "run")
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    run_all(documents, small_disk / "run")
    assert parts(small_disk / "run") == whole


def test_a_quota_reached_in_the_middle_costs_no_finished_part(
    documents: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    def write(self: object, index: int, outcomes: list[object]) -> None:
        if len(written) == 2:
            raise OSError(122, "Disk quota exceeded")
        written.append(index)
        original(self, index, outcomes)

    original = attempt.Parts.write
    with monkeypatch.context() as patch:
        patch.setattr(attempt.Parts, "write", write)
        with pytest.raises(WorkError, match="Disk quota exceeded"):
            run_all(documents, tmp_path / "run")
    failed = read_status(Run(tmp_path / "run")).shards[0]
    assert (failed.state, len(parts(tmp_path / "run"))) == ("failed", 2)
    finished = sum(50 if index == 2 else 100 for index in written)  # the last part may be among the first to be whole
    assert parse_again(documents, tmp_path / "run") <= 250 - finished
    assert parts(tmp_path / "run") == whole
