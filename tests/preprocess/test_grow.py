"""A run takes in what was added to its folder: what was parsed is taken over, and the bytes are a new run's."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbpipe.audit import Stamp
from nbpipe.claim import claimed
from nbpipe.config import Preprocess
from nbpipe.errors import RequestError
from nbpipe.preprocess import engines
from nbpipe.preprocess.attempt import fill
from nbpipe.preprocess.grow import grow
from nbpipe.preprocess.plan import Plan
from nbpipe.preprocess.stage import Parsing, finish, open_shard, parse_shard
from nbpipe.run import Run

SHARDS = 3


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the documents that have been parsed, as they come."""
    ids: list[str] = []

    def parse_all(documents: list, *rest: object) -> Iterator:
        for outcome in original(documents, *rest):
            ids.append(outcome.id)
            yield outcome

    original = engines.parse_all
    monkeypatch.setattr(engines, "parse_all", parse_all)
    return ids


@pytest.fixture
def folder(tmp_path: Path, parsed: list[str]) -> Path:
    """Documents of two labels, and a finished run of them beside."""
    for index in range(300):
        path = tmp_path / "documents" / ("one", "two")[index % 2] / f"{index:03d}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text {index} " * (index % 7 + 1))
    preprocess(tmp_path, "run")
    parsed.clear()
    return tmp_path


def preprocess(folder: Path, name: str, shards: range = range(SHARDS)) -> list[Parsing]:
    """Run shards to their receipts."""
    made = []
    for shard in shards:
        config = Preprocess(
            documents=folder / "documents", run=folder / name, shard=shard, num_shards=SHARDS, workers=1
        )
        made.append(parse_shard(open_shard(config)))
        finish(made[-1], Stamp.now(config))
    return made


def parts(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.glob("shards/*/part-*.parquet"))}


def change(folder: Path) -> None:
    """Add two documents, remove one, change the size of one, and the bytes of one."""
    documents = folder / "documents"
    for name in ("one/new.txt", "three/new.txt"):
        (documents / name).parent.mkdir(exist_ok=True)
        (documents / name).write_text(f"text of {name}")
    (documents / "one" / "000.txt").unlink()
    (documents / "two" / "001.txt").write_text("longer text than before, by far")
    same_size = documents / "one" / "002.txt"
    same_size.write_text(same_size.read_text().replace("text", "TEXT"))


CHANGED = ["one/002.txt", "one/new.txt", "three/new.txt", "two/001.txt"]


def test_only_what_is_new_is_parsed_and_the_bytes_are_those_of_a_run_of_all(folder: Path, parsed: list[str]) -> None:
    change(folder)
    growth = grow(Run(folder / "run"), folder / "documents")
    assert growth.changes == {
        "added": ["one/new.txt", "three/new.txt"],
        "removed": ["one/000.txt"],
        "changed": ["two/001.txt"],
    }
    made = preprocess(folder, "run")
    assert sorted(parsed) == CHANGED
    assert sum(parsing.before for parsing in made) == 297
    assert "Not parsed this time, because they were before" in repr(made[0])
    preprocess(folder, "whole")
    assert parts(folder / "run") == parts(folder / "whole")
    assert not (folder / "run" / "earlier").exists()


def test_the_plan_says_what_it_grew_from_and_is_else_that_of_a_run_of_all(folder: Path) -> None:
    first = Plan.decode((folder / "run" / "plan.json").read_bytes())
    change(folder)
    grow(Run(folder / "run"), folder / "documents")
    preprocess(folder, "whole", range(1))
    grown, whole = (json.loads((folder / name / "plan.json").read_bytes()) for name in ("run", "whole"))
    (history,) = grown.pop("history")
    assert (history["fingerprint"], history["removed"]) == (first.fingerprint, ["one/000.txt"])
    assert grown == whole
    assert "2 added, 1 removed, 1 changed" in repr(Plan.decode((folder / "run" / "plan.json").read_bytes()))


def test_what_an_unfinished_run_has_done_is_taken_over_too(
    folder: Path, parsed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nbpipe.preprocess.parts.PART_ROWS", 10)
    config = Preprocess(documents=folder / "documents", run=folder / "cut", num_shards=SHARDS, shard=0, workers=1)
    shard = open_shard(config)
    stopping = iter(range(55))  # documents, and so five parts

    def parse(documents: list) -> Iterator:
        for outcome in engines.parse_all(documents, shard.options, 1):
            if next(stopping, None) is None:
                raise KeyboardInterrupt
            yield outcome

    with claimed(shard.parts.folder) as work, pytest.raises(KeyboardInterrupt):
        fill(shard.parts, parse, work)
    change(folder)
    grow(Run(folder / "cut"), folder / "documents")
    parsed.clear()
    (made,) = preprocess(folder, "cut", range(1))
    assert made.before >= 10
    assert len(parsed) == len(made.shard.documents) - made.before


def test_growing_twice_takes_over_from_both(folder: Path, parsed: list[str]) -> None:
    change(folder)
    grow(Run(folder / "run"), folder / "documents")
    preprocess(folder, "run", range(1))
    (folder / "documents" / "one" / "newer.txt").write_text("newer")
    grow(Run(folder / "run"), folder / "documents")
    preprocess(folder, "run")
    assert sorted(parsed) == sorted([*CHANGED, "one/newer.txt"])
    preprocess(folder, "whole")
    assert parts(folder / "run") == parts(folder / "whole")


@pytest.mark.parametrize("before", ["nbpipe.preprocess.grow.write", "nbpipe.run.Run.remember_documents"])
def test_cut_short_it_is_made_good(
    before: str, folder: Path, parsed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    change(folder)
    with monkeypatch.context() as patch:
        patch.setattr(before, stop)
        with pytest.raises(KeyboardInterrupt):
            grow(Run(folder / "run"), folder / "documents")
    grow(Run(folder / "run"), folder / "documents")
    preprocess(folder, "run")
    assert sorted(parsed) == CHANGED


def test_there_and_back_again_takes_over_from_both(folder: Path, parsed: list[str]) -> None:
    late = folder / "documents" / "one" / "late.txt"
    late.write_text("late")
    grow(Run(folder / "run"), folder / "documents")
    preprocess(folder, "run", range(2))
    late.unlink()
    grow(Run(folder / "run"), folder / "documents")
    preprocess(folder, "run", range(1))
    (folder / "documents" / "one" / "later.txt").write_text("later")
    grow(Run(folder / "run"), folder / "documents")
    preprocess(folder, "run")
    assert set(parsed) <= {"one/late.txt", "one/later.txt"}
    assert not (folder / "run" / "earlier").exists()


def test_a_damaged_receipt_beside_it_keeps_the_earlier_shards_and_stops_no_other(folder: Path) -> None:
    change(folder)
    grow(Run(folder / "run"), folder / "documents")
    preprocess(folder, "run", range(1))
    (Run(folder / "run").shard(0, SHARDS) / "receipt.json").write_text("damaged")
    preprocess(folder, "run", range(1, SHARDS))
    assert (folder / "run" / "earlier").exists()


def test_a_folder_that_has_not_changed_changes_nothing(folder: Path) -> None:
    before = parts(folder / "run")
    growth = grow(Run(folder / "run"), folder / "documents")
    assert "by id and size; there is nothing to take in" in repr(growth)
    assert (parts(folder / "run"), (folder / "run" / "earlier").exists()) == (before, False)


def test_a_shard_at_work_is_not_pulled_away(folder: Path) -> None:
    change(folder)
    with claimed(Run(folder / "run").shard(1, SHARDS)), pytest.raises(RequestError, match="is being worked on"):
        grow(Run(folder / "run"), folder / "documents")


def test_a_damaged_part_is_not_taken_over(folder: Path, parsed: list[str]) -> None:
    shard = Run(folder / "run").shard(0, SHARDS)
    (shard / "part-00000.parquet").write_bytes(b"damaged")
    change(folder)
    grow(Run(folder / "run"), folder / "documents")
    preprocess(folder, "run")
    assert len(parsed) > 90
    preprocess(folder, "whole")
    assert parts(folder / "run") == parts(folder / "whole")
