"""One process at a time holds a claim, and everybody sees how far it is."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from nbpipe import claim
from nbpipe.claim import claimed, read_claim
from nbpipe.errors import WorkError

HOLDER = """
import sys, time
from pathlib import Path
from nbpipe.claim import claimed

with claimed(Path(sys.argv[1])) as work:
    work.begin(10, {"ok": 4})
    print(work.number, flush=True)
    time.sleep(float(sys.argv[2]))
    work.check()
"""


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "BEAT", 0.05)
    monkeypatch.setattr(claim, "_POLL", 0.02)


def holder(folder: Path, seconds: float) -> subprocess.Popen[str]:
    """Start a process that holds the claim for some seconds."""
    command = [sys.executable, "-c", HOLDER, str(folder), str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert int(process.stdout.readline()) == 1
    return process


def test_progress_is_seen_by_others_while_the_work_goes_on(tmp_path: Path) -> None:
    with claimed(tmp_path) as work:
        work.begin(3, {"ok": 1})
        work.count("empty")
        work.write()
        seen = read_claim(tmp_path)
        assert (seen.running, seen.stalled) == (True, False)
        assert (seen.progress.total, seen.progress.done, seen.progress.earlier) == (3, {"ok": 1, "empty": 1}, 1)
    assert read_claim(tmp_path).progress.state == "over"


def test_signs_of_life_come_without_any_progress(tmp_path: Path) -> None:
    with claimed(tmp_path):
        os.utime(next(tmp_path.glob(".claim-*")), (0, 0))
        deadline = time.monotonic() + 20
        while read_claim(tmp_path).silence > 1000:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_second_process_waits_for_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = holder(tmp_path, 1.0)
    with claimed(tmp_path):
        assert first.poll() is not None or read_claim(tmp_path).number == 2
    assert "another process is at it, with 4 of 10 documents done" in capsys.readouterr().out
    assert first.wait() == 0
    first.stdout.close()


def test_the_claim_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    first = holder(tmp_path, 600)
    first.kill()
    first.wait()
    first.stdout.close()
    assert read_claim(tmp_path).stalled
    with claimed(tmp_path):
        assert read_claim(tmp_path).number == 2


def test_the_claim_of_a_zombie_is_free_at_once(tmp_path: Path) -> None:
    first = holder(tmp_path, 600)
    first.kill()
    os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)  # until it is dead, and leaves it a zombie
    stalled = read_claim(tmp_path).stalled
    first.wait()
    first.stdout.close()
    assert stalled


def elsewhere(folder: Path, age: float) -> Path:
    """Make the claim of a process on another machine, last rewritten `age` seconds ago."""
    path = folder / ".claim-00001"
    content = {"owner": {"machine": "another", "pid": os.getpid(), "started": 0.0}, "progress": {"total": 5}}
    path.write_text(json.dumps(content))
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_another_machine_is_believed_until_it_was_silent_for_a_minute(tmp_path: Path) -> None:
    elsewhere(tmp_path, claim.SILENT - 30)
    assert not read_claim(tmp_path).stalled
    elsewhere(tmp_path, claim.SILENT + 30)
    assert read_claim(tmp_path).stalled


def test_who_was_taken_over_stops(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match="another process took over"):
        lose(tmp_path)


def lose(folder: Path) -> None:
    """Work on while another process makes the next claim."""
    with claimed(folder) as work:
        (folder / ".claim-00002").write_text((folder / ".claim-00001").read_text())
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            work.check()
            time.sleep(0.02)


def test_who_was_taken_over_stops_also_when_the_other_has_ended(tmp_path: Path) -> None:
    with claimed(tmp_path) as work:
        work.release()
        with pytest.raises(WorkError, match="another process took over"):
            work.check()
    assert list(tmp_path.iterdir()) == []


def test_of_many_that_take_a_stale_claim_over_one_at_a_time_holds_it(tmp_path: Path) -> None:
    elsewhere(tmp_path, claim.SILENT + 30)
    command = [sys.executable, "-c", HOLDER, str(tmp_path), "0.3"]
    many = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = [process.communicate()[0].split()[-1] for process in many]
    assert [process.returncode for process in many] == [0] * 4
    assert sorted(map(int, said)) == [2, 3, 4, 5]


def test_a_claim_made_on_an_outdated_view_does_not_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with claimed(tmp_path):
        pass
    (tmp_path / ".claim-00001").rename(tmp_path / ".claim-00003")
    views = iter([None])  # as when the claim that was listed was removed, by who made the next, before it was read
    monkeypatch.setattr(claim, "read_claim", lambda folder, now=None: next(views, read_claim(folder, now)))
    with claimed(tmp_path) as work:
        work.check()
        assert work.number == 4
    assert [path.name for path in tmp_path.iterdir()] == [".claim-00004"]


def test_who_is_done_leaves_the_claim_of_the_next_alone(tmp_path: Path) -> None:
    with claimed(tmp_path) as first:
        pass
    with claimed(tmp_path) as second:
        first.release()
        second.check()


def test_the_end_of_the_work_is_said_with_its_reason(tmp_path: Path) -> None:
    for error, state, reason in (
        (WorkError("the disk is full"), "failed", "the disk is full"),
        (ValueError("/home/somebody"), "failed", "ValueError"),
        (KeyboardInterrupt(), "stopped", "KeyboardInterrupt"),
    ):
        with pytest.raises(type(error)), claimed(tmp_path):
            raise error
        found = read_claim(tmp_path).progress
        assert (found.state, found.reason) == (state, reason)


def test_a_claim_that_is_just_being_made_counts_as_running(tmp_path: Path) -> None:
    (tmp_path / ".claim-00001").touch()
    found = read_claim(tmp_path)
    assert (found.running, found.stalled) == (True, False)


def test_no_thread_and_no_claim_are_left(tmp_path: Path) -> None:
    before = threading.active_count()
    with claimed(tmp_path) as work:
        pass
    work.release()
    assert (threading.active_count(), list(tmp_path.iterdir())) == (before, [])
