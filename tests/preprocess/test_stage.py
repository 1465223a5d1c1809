"""A shard ends in the same bytes, whatever happens on the way."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nbpipe.audit import Stamp, read_receipt
from nbpipe.config import Preprocess
from nbpipe.cost import Terms
from nbpipe.errors import RequestError
from nbpipe.preprocess.engines import cores
from nbpipe.preprocess.forecast import given, keep
from nbpipe.preprocess.stage import Parsing, estimate, finish, open_shard, parse_shard
from nbpipe.records import PART, read_table
from nbpipe.run import Run

DRIVER = """
import sys
from nbpipe.audit import Stamp
from nbpipe.config import Preprocess
from nbpipe.preprocess.stage import finish, open_shard, parse_shard

if __name__ == "__main__":
    config = Preprocess(documents=sys.argv[1], run=sys.argv[2], workers=int(sys.argv[3]))
    finish(parse_shard(open_shard(config)), Stamp.now(config))
"""


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """A folder of three kinds of documents in two labels, one of them unsupported."""
    folder = tmp_path / "documents"
    for label in ("one", "two"):
        (folder / label).mkdir(parents=True)
        for index in range(4):
            (folder / label / f"{index}.txt").write_text(f"{label} {index}")
    (folder / "one" / "data.bin").write_bytes(b"\x00\x01")
    return folder


def run_shard(documents: Path, run: Path, shard: int = 0, num_shards: int = 1) -> Parsing:
    config = Preprocess(documents=documents, run=run, shard=shard, num_shards=num_shards, workers=1)
    parsing = parse_shard(open_shard(config))
    finish(parsing, Stamp.now(config))
    return parsing


def parts(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.glob("shards/*/part-*.parquet"))}


def test_every_document_has_its_row(documents: Path, tmp_path: Path) -> None:
    parsing = run_shard(documents, tmp_path / "run")
    (part,) = (read_table(path, PART) for path in parsing.shard.parts.paths)
    rows = {row["path"]: row for row in part.to_pylist()}
    assert len(rows) == 9
    assert rows["one/data.bin"]["status"] == "unsupported"
    assert rows["two/3.txt"]["pages"] == ["two 3"]
    assert (parsing.counts["ok"], parsing.ledger.num_rows) == (8, 9)


def test_all_shards_together_hold_each_document_once(documents: Path, tmp_path: Path) -> None:
    ledgers = [run_shard(documents, tmp_path / "run", shard, 3).ledger for shard in range(3)]
    found = [path for ledger in ledgers for path in ledger["path"].to_pylist()]
    assert sorted(found) == sorted(path.relative_to(documents).as_posix() for path in documents.glob("*/*"))


def test_a_shard_without_documents_is_done_too(documents: Path, tmp_path: Path) -> None:
    parsings = [run_shard(documents, tmp_path / "run", shard, 12) for shard in range(12)]
    assert sorted(parsing.ledger.num_rows for parsing in parsings) == [0] * 3 + [1] * 9


def test_the_receipt_says_what_was_done(documents: Path, tmp_path: Path) -> None:
    parsing = run_shard(documents, tmp_path / "run")
    facts = read_receipt(parsing.shard.parts.folder).facts
    assert (facts["rows"], facts["ok"], facts["failed"]) == (9, 8, 1)
    assert facts["files"].keys() == {"part-00000.parquet", "ledger.parquet"}
    assert facts["plan"] == parsing.shard.plan.fingerprint


def test_a_finished_shard_is_only_read(documents: Path, tmp_path: Path) -> None:
    first = run_shard(documents, tmp_path / "run")
    before = read_receipt(first.shard.parts.folder).digest
    again = run_shard(documents, tmp_path / "run")
    assert read_receipt(again.shard.parts.folder).digest == before
    assert again.ledger.equals(first.ledger)


def test_a_damaged_part_is_parsed_anew(documents: Path, tmp_path: Path) -> None:
    (path,) = run_shard(documents, tmp_path / "run").shard.parts.paths
    whole = path.read_bytes()
    path.write_bytes(b"damaged")
    run_shard(documents, tmp_path / "run")
    assert path.read_bytes() == whole


def test_a_document_added_since_the_plan_stops_the_shard(documents: Path, tmp_path: Path) -> None:
    run_shard(documents, tmp_path / "run", 0, 2)
    (documents / "one" / "late.txt").write_text("late")
    with pytest.raises(RequestError, match=r"1 added \('one/late.txt'\)"):
        run_shard(documents, tmp_path / "run", 1, 2)


def test_the_verdict_follows_from_the_ledger(documents: Path, tmp_path: Path) -> None:
    assert run_shard(documents, tmp_path / "run").verdict.text.startswith("No: 8 of 9 documents (88.9%)")
    (documents / "one" / "data.bin").unlink()
    assert run_shard(documents, tmp_path / "other").verdict.text.startswith("Yes: 8 of 8")


def test_the_estimate_comes_from_the_documents(documents: Path, tmp_path: Path) -> None:
    shard = open_shard(Preprocess(documents=documents, run=tmp_path / "run", workers=2))
    expected = estimate(shard)
    assert (expected.sampled, expected.documents, expected.whole.seconds > 0) == (9, 9, True)
    assert not shard.parts.folder.exists()


def test_the_estimate_of_one_shard_tells_of_the_whole_job_too(documents: Path, tmp_path: Path) -> None:
    shard = open_shard(Preprocess(documents=documents, run=tmp_path / "run", shard=1, num_shards=3, workers=1))
    expected = estimate(shard)
    assert (expected.sampled, expected.documents) == (3, 9)
    assert expected.whole.seconds > expected.shard.seconds
    assert "this shard, 1 process" in repr(expected)


def test_the_estimate_takes_prices_and_deadline_that_were_planned_with(documents: Path, tmp_path: Path) -> None:
    shard = open_shard(Preprocess(documents=documents, run=tmp_path / "run", workers=1))
    assert estimate(shard).terms == Terms(cores=cores())
    planned = Terms(vm_price=0.1, gpu_price=9.0, deadline=60.0, cores=4)
    keep(given(9, 2.0, planned), Run(tmp_path / "run"))
    assert estimate(shard).terms == planned


def test_a_shard_without_documents_has_nothing_to_estimate(documents: Path, tmp_path: Path) -> None:
    shards = (
        open_shard(Preprocess(documents=documents, run=tmp_path / "run", shard=i, num_shards=12)) for i in range(12)
    )
    expected = estimate(next(shard for shard in shards if not shard.documents))
    assert repr(expected).startswith("There are no documents here")
    assert repr(expected.picture) == "Machines against time: nothing was measured."


def test_kills_at_random_moments_leave_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "driver.py").write_text(DRIVER)
    (tmp_path / "documents").mkdir()
    for index in range(1500):
        (tmp_path / "documents" / f"{index:04d}.html").write_text(f"<p>{'<i>word</i> ' * 400}{index}")
    run_shard(tmp_path / "documents", tmp_path / "unbroken")
    whole = parts(tmp_path / "unbroken")
    moments = random.Random(7)
    for workers in (1, 2, 3, 1, 2):
        driver = drive(tmp_path, workers)
        time.sleep(moments.uniform(0.4, 0.8))
        driver.kill()
        assert driver.wait() == -signal.SIGKILL
    assert drive(tmp_path, 3).wait() == 0
    assert parts(tmp_path / "run") == whole


def drive(folder: Path, workers: int) -> subprocess.Popen[bytes]:
    """Start the shard in a process of its own."""
    return subprocess.Popen([sys.executable, "driver.py", "documents", "run", str(workers)], cwd=folder)


def test_a_list_of_passwords_that_is_not_there_stops_before_any_work(
    documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NBPIPE_PASSWORDS", str(tmp_path / "nowhere"))
    with pytest.raises(RequestError, match="NBPIPE_PASSWORDS: names no list of passwords"):
        run_shard(documents, tmp_path / "run")
    assert not (tmp_path / "run").exists()
