"""Parts resume, and their bytes depend on the documents alone."""

from pathlib import Path

import pytest

from nbpipe.preprocess import parts as parts_module
from nbpipe.preprocess.files import Document
from nbpipe.preprocess.parsers import Parsed
from nbpipe.preprocess.parts import Gathering, Parts
from nbpipe.preprocess.sandbox import Outcome
from nbpipe.records import LEDGER, PART, read_table

IDENTITY = {"plan": "f00d", "shard": 0, "num_shards": 1, "parser": "1"}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_module, "PART_ROWS", 3)


def shard(folder: Path, count: int = 7) -> Parts:
    documents = [Document(f"{index}.txt", index, Path(f"{index}.txt")) for index in range(count)]
    return Parts(folder, documents, IDENTITY)


def outcome(document: Document, seconds: float = 1.0) -> Outcome:
    parsed = Parsed("ok", "", "text", [f"text of {document.id}"])
    return Outcome(document.id, "00", document.bytes, parsed, seconds, 1000)


def fill(parts: Parts, seconds: float = 1.0) -> None:
    for index, group in parts.lacking().items():
        parts.write(index, [outcome(document, seconds) for document in group])


def test_a_part_comes_out_in_its_documents_order_when_the_last_has_come(tmp_path: Path) -> None:
    gathering = Gathering(dict(enumerate(shard(tmp_path).groups)))
    arriving = [outcome(document) for document in reversed(shard(tmp_path).documents)]
    gathered = [whole for whole in map(gathering.take, arriving) if whole]
    assert [index for index, _ in gathered] == [2, 1, 0]
    assert [found.id for found in gathered[2][1]] == ["0.txt", "1.txt", "2.txt"]


def test_finished_parts_are_not_made_again(tmp_path: Path) -> None:
    parts = shard(tmp_path)
    parts.write(1, [outcome(document) for document in parts.groups[1]])
    assert parts.lacking().keys() == {0, 2}


@pytest.mark.parametrize("damage", ["truncated", "swapped", "unvouched", "fragment", "other parser"])
def test_a_part_that_nothing_vouches_for_is_made_again(tmp_path: Path, damage: str) -> None:
    parts = shard(tmp_path)
    fill(parts)
    if damage == "truncated":
        parts.path(1).write_bytes(parts.path(1).read_bytes()[:-1])
    elif damage == "swapped":
        parts.path(1).write_bytes(parts.path(0).read_bytes())
    elif damage == "fragment":
        whole = parts.fragment(1).read_bytes()
        parts.fragment(1).write_bytes(whole[:4] + bytes(100) + whole[104:])
    elif damage == "unvouched":
        parts.fragment(1).unlink()
    else:
        parts = Parts(tmp_path, parts.documents, IDENTITY | {"parser": "2"})
    assert 1 in parts.lacking()


def test_bytes_do_not_depend_on_time(tmp_path: Path) -> None:
    one, two = shard(tmp_path / "one"), shard(tmp_path / "two")
    fill(one, seconds=1)
    fill(two, seconds=2)
    assert [path.read_bytes() for path in one.paths] == [path.read_bytes() for path in two.paths]


def test_the_ledger_joins_all_fragments_in_order(tmp_path: Path) -> None:
    parts = shard(tmp_path)
    fill(parts)
    (tmp_path / "part-00099.parquet").touch()
    parts.close()
    rows = read_table(parts.ledger, LEDGER)["path"].to_pylist()
    assert rows == [path for part in parts.paths for path in read_table(part, PART)["path"].to_pylist()]
    assert len(rows) == 7
    assert not (tmp_path / "part-00099.parquet").exists()


def test_an_empty_shard_has_an_empty_ledger(tmp_path: Path) -> None:
    parts = shard(tmp_path, count=0)
    assert parts.lacking() == {}
    parts.close()
    assert read_table(parts.ledger, LEDGER).num_rows == 0
