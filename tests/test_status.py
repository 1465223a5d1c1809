"""How far a run is can be read from its folder alone."""

import json
import os
import time
from pathlib import Path

import pytest

from nbpipe import status as status_module
from nbpipe.audit import read_receipt
from nbpipe.claim import SILENT, claimed
from nbpipe.errors import RequestError
from nbpipe.preprocess.plan import Plan
from nbpipe.run import Run, write
from nbpipe.status import Status, read_status, watch


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run of ten documents in two shards, planned and not begun."""
    write(tmp_path / "plan.json", Plan({f"{index}.txt": 10 for index in range(10)}, 2).encode())
    return Run(tmp_path)


def finish(run: Run, shard: int, **statuses: int) -> None:
    facts = {"stage": "preprocess", "files": {}, "config": {}, "stamp": {"finished": "then"}, "statuses": statuses}
    write(run.shard(shard, 2) / "receipt.json", json.dumps(facts).encode())


def test_a_shard_that_nobody_began_is_waiting(run: Run) -> None:
    status = read_status(run)
    assert [(shard.state, shard.done, shard.total) for shard in status.shards] == [("waiting", 0, 5)] * 2
    assert status.missing == [0, 1]


def test_a_running_shard_tells_its_documents_rate_and_end(run: Run) -> None:
    with claimed(run.shard(1, 2)) as work:
        work.begin(5, {"ok": 1})
        work.progress.begun -= 4
        work.count("empty")
        work.count("ok")
        work.write()
        shard = read_status(run).shards[1]
    assert (shard.state, shard.statuses, shard.silence < 30) == ("running", {"ok": 2, "empty": 1}, True)
    assert shard.rate == pytest.approx(0.5, rel=0.2)
    assert shard.left == pytest.approx(4, rel=0.2)


def test_a_silent_shard_is_stalled(run: Run) -> None:
    owner = {"machine": "another", "pid": 1, "started": 0.0}
    path = run.shard(0, 2) / ".claim-00001"
    write(path, json.dumps({"owner": owner, "progress": {"total": 5, "done": {"ok": 2}}}).encode())
    os.utime(path, (0, time.time() - SILENT - 60))
    status = read_status(run)
    assert (status.shards[0].state, status.shards[0].done) == ("stalled", 2)
    assert "stalled" in repr(status)


@pytest.mark.parametrize(("error", "state"), [(OSError("no"), "failed"), (KeyboardInterrupt(), "stopped")])
def test_a_shard_that_ended_early_says_how(run: Run, error: BaseException, state: str) -> None:
    with pytest.raises(type(error)), claimed(run.shard(0, 2)):
        raise error
    assert (read_status(run).shards[0].state, read_status(run).shards[0].detail) == (state, type(error).__name__)


def test_a_failed_notebook_without_a_claim_is_failed_too(run: Run) -> None:
    write(run.audit / "preprocess-00001-of-00002.failed.ipynb", b"{}")
    assert read_status(run).shards[1].detail == "see audit/preprocess-00001-of-00002.failed.ipynb"


def test_documents_are_counted_over_all_shards(run: Run) -> None:
    finish(run, 0, ok=4, timeout=1, crashed=0)
    finish(run, 1, ok=5, timeout=0, crashed=0)
    status = read_status(run)
    assert status.statuses == {"ok": 9, "timeout": 1}
    assert status.summary.text == "Shards: 2 done. Documents: 10 of 10."
    assert status.missing == []


def test_a_damaged_receipt_is_named(run: Run) -> None:
    write(run.shard(1, 2) / "receipt.json", b"{")
    assert read_status(run).shards[1].state == "damaged"


def test_the_status_shows_itself_in_a_notebook_escaped(run: Run) -> None:
    with pytest.raises(RequestError), claimed(run.shard(0, 2)):
        raise RequestError("<script>")
    shown = read_status(run)._repr_html_()
    assert "&lt;script&gt;" in shown
    assert "<script" not in shown


def test_watching_ends_when_everything_is_done(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_module, "_WATCH", 0)
    seen: list[Status] = []

    def show(status: Status) -> None:
        seen.append(status)
        if len(seen) == 2:
            for shard in (0, 1):
                finish(run, shard, ok=5)
            for folder in (run.model, run.explain):
                made_from = [run.shard(0, 2), run.shard(1, 2)] if folder == run.model else [run.model]
                inputs = {place.name: read_receipt(place).digest for place in made_from}
                facts = {"stage": folder.name, "files": {}, "config": {}, "stamp": {}, "inputs": inputs}
                write(folder / "receipt.json", json.dumps(facts).encode())

    watch(run, show)
    assert [status.done for status in seen] == [False, False, True]


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"no run folder \(it holds no plan.json\)"):
        read_status(Run(tmp_path))


def test_a_model_of_shards_that_were_made_again_is_outdated(run: Run) -> None:
    facts = {"stage": "train", "files": {}, "config": {}, "stamp": {}, "inputs": {"00000-of-00002": "another"}}
    write(run.model / "receipt.json", json.dumps(facts).encode())
    finish(run, 0, ok=5)
    assert [stage.state for stage in read_status(run).stages] == ["done", "waiting", "outdated", "waiting"]


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"owner": null, "progress": {}}', '{"owner": {}, "progress": {"x": 1}}']
)
def test_a_damaged_claim_is_no_obstacle(run: Run, content: str) -> None:
    path = run.shard(0, 2) / ".claim-00001"
    write(path, content.encode())
    (path.parent / ".claim-x").touch()
    os.utime(path, (0, time.time() - SILENT - 60))
    assert read_status(run).shards[0].state == "stalled"
    finish(run, 0, ok=5)
    assert read_status(run).shards[0].state == "done"


def test_a_receipt_without_its_counts_is_damaged(run: Run) -> None:
    facts = {"stage": "preprocess", "files": {}, "config": {}, "stamp": {}, "statuses": ["ok"]}
    write(run.shard(0, 2) / "receipt.json", json.dumps(facts).encode())
    assert read_status(run).shards[0].state == "damaged"
