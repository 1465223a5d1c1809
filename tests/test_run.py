"""Files of a run appear whole or not at all."""

from pathlib import Path

import pytest

from nbpipe.errors import WorkError
from nbpipe.run import Run, planned, replacing, sweep, write, write_once


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_replaces_what_was_there(tmp_path: Path) -> None:
    write(tmp_path / "deep" / "a.json", b"1")
    write(tmp_path / "deep" / "a.json", b"2")
    assert (tmp_path / "deep" / "a.json").read_bytes() == b"2"
    assert names(tmp_path / "deep") == ["a.json"]


def fail_halfway(path: Path) -> None:
    with replacing(path) as draft:
        draft.write_bytes(b"half")
        raise OSError("disk full")


def test_a_failure_halfway_keeps_the_old_file(tmp_path: Path) -> None:
    write(tmp_path / "a.json", b"old")
    with pytest.raises(OSError, match="disk full"):
        fail_halfway(tmp_path / "a.json")
    assert (tmp_path / "a.json").read_bytes() == b"old"
    assert names(tmp_path) == ["a.json"]


def test_of_two_writers_the_first_wins(tmp_path: Path) -> None:
    assert write_once(tmp_path / "plan.json", b"first")
    assert not write_once(tmp_path / "plan.json", b"second")
    assert (tmp_path / "plan.json").read_bytes() == b"first"
    assert names(tmp_path) == ["plan.json"]


def test_drafts_of_a_killed_writer_are_swept(tmp_path: Path) -> None:
    (tmp_path / ".tmp-1234-part").touch()
    (tmp_path / "part").touch()
    sweep(tmp_path)
    assert names(tmp_path) == ["part"]


def test_a_long_name_leaves_room_for_its_draft(tmp_path: Path) -> None:
    write(tmp_path / ("x" * 250), b"1")
    assert names(tmp_path) == ["x" * 250]


def test_each_stage_has_its_place(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.shard(2, 10) == tmp_path / "shards" / "00002-of-00010"
    assert run.notebook("preprocess", 2, 10) == tmp_path / "audit" / "preprocess-00002-of-00010.ipynb"
    assert run.notebook("train") == tmp_path / "audit" / "train.ipynb"
    assert run.of("train") == tmp_path / "model"


def test_the_plan_says_how_many_shards_there_are(tmp_path: Path) -> None:
    assert planned(Run(tmp_path)) is None
    write(tmp_path / "plan.json", b'{"num_shards": 10}')
    assert planned(Run(tmp_path)) == 10
    assert planned(Run(tmp_path / "plan.json")) is None


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"{}", b'{"num_shards": "10"}', b'{"num_shards": 0}'])
def test_a_damaged_plan_is_said_to_be(content: bytes, tmp_path: Path) -> None:
    write(tmp_path / "plan.json", content)
    with pytest.raises(WorkError, match=r"plan.json: damaged"):
        planned(Run(tmp_path))
