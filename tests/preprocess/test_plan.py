"""The plan is the same on every machine, and its shards are even."""

from pathlib import Path

import pytest

from nbpipe.errors import RequestError, WorkError
from nbpipe.preprocess.files import Document
from nbpipe.preprocess.plan import Plan, agree, deal
from nbpipe.run import Run

SIZES = {f"{index:03d}.pdf": 30_000 + (index * 7919) % 570_000 for index in range(120)}


def documents(sizes: dict[str, int]) -> list[Document]:
    return [Document(name, size, Path(name)) for name, size in sizes.items()]


def test_each_document_is_dealt_exactly_once() -> None:
    shards = deal(SIZES, 10)
    assert sorted(name for shard in shards for name in shard) == sorted(SIZES)


def test_the_order_of_listing_does_not_matter() -> None:
    assert deal(SIZES, 7) == deal(dict(reversed(SIZES.items())), 7)


@pytest.mark.parametrize("num_shards", [2, 3, 10])
def test_shards_are_even_in_bytes(num_shards: int) -> None:
    assert Plan(SIZES, num_shards).balance < 1.02


def test_empty_files_are_dealt_evenly_too() -> None:
    assert {len(shard) for shard in deal(dict.fromkeys(SIZES, 0), 10)} == {12}


def test_more_shards_than_documents_leaves_some_empty() -> None:
    assert sorted(map(len, deal({"a": 1, "b": 2}, 3))) == [0, 1, 1]


def test_two_machines_write_the_same_plan(tmp_path: Path) -> None:
    agree(documents(SIZES), Run(tmp_path / "one"), 3)
    agree(documents(SIZES), Run(tmp_path / "two"), 3)
    assert (tmp_path / "one/plan.json").read_bytes() == (tmp_path / "two/plan.json").read_bytes()
    assert agree(documents(SIZES), Run(tmp_path / "one"), 3) == Plan(SIZES, 3)


def test_a_folder_that_differs_from_the_plan_stops_with_the_ids(tmp_path: Path) -> None:
    agree(documents(SIZES), Run(tmp_path), 3)
    changed = {"new.pdf": 1, **SIZES, "001.pdf": 2}
    del changed["002.pdf"]
    with pytest.raises(RequestError) as caught:
        agree(documents(changed), Run(tmp_path), 3)
    assert "1 added ('new.pdf'), 1 removed ('002.pdf'), 1 changed ('001.pdf')" in str(caught.value)


def test_another_number_of_shards_is_refused(tmp_path: Path) -> None:
    agree(documents(SIZES), Run(tmp_path), 3)
    with pytest.raises(RequestError, match="num_shards = 4: this run was planned with num_shards = 3"):
        agree(documents(SIZES), Run(tmp_path), 4)


def test_an_empty_folder_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="holds no documents"):
        agree([], Run(tmp_path / "run"), 1)
    assert not (tmp_path / "run").exists()


def test_a_plan_that_was_edited_is_refused() -> None:
    data = Plan(SIZES, 3).encode().replace(b'"bytes": 30000}', b'"bytes": 1}')
    with pytest.raises(WorkError, match=r"plan.json: damaged"):
        Plan.decode(data)
