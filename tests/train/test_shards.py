import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from nbpipe.errors import WorkError
from nbpipe.run import Run
from nbpipe.train import shards
from nbpipe.train.shards import check_shards, planned_paths, read_pages, stream_texts

TEXTS = {"a/1": "one", "a/2": "", "b/1": "two\fpages", "b/2": "three"}
MakeRun = Callable[..., Path]


@pytest.fixture
def run(make_run: MakeRun) -> Run:
    """A run of four documents: a/1 and b/1 in shard 0, a/2 and b/2 in shard 1."""
    return Run(make_run(TEXTS))


def test_every_document_comes_once_in_the_order_of_shards(run: Run):
    (documents,) = stream_texts(check_shards(run))
    assert documents.columns == ["path", "status", "text"]
    assert documents.rows() == [
        ("a/1", "ok", "one"),
        ("b/1", "ok", "two\npages"),
        ("a/2", "empty", ""),
        ("b/2", "ok", "three"),
    ]


def test_texts_come_in_pieces_of_whole_parts(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shards, "_PIECE", 5)
    assert [piece["path"].to_list() for piece in stream_texts(check_shards(run))] == [["a/1", "b/1"], ["a/2", "b/2"]]


def test_the_plan_names_every_document(run: Run):
    assert planned_paths(run).to_list() == ["a/1", "a/2", "b/1", "b/2"]


def test_pages_of_some_documents_are_read(run: Run):
    found = read_pages(check_shards(run), pl.Series(["b/2", "b/1", "nowhere"]))
    assert found.rows() == [("b/1", ["two", "pages"], "two\npages"), ("b/2", ["three"], "three")]
    assert read_pages(check_shards(run), pl.Series([], dtype=pl.String)).is_empty()


def test_the_receipts_are_returned_in_the_order_of_shards(run: Run):
    assert [receipt.facts["shard"] for receipt in check_shards(run)] == [0, 1]


def test_a_missing_shard_is_named(run: Run):
    shutil.rmtree(run.shard(1, 2))
    with pytest.raises(WorkError, match=r"00001-of-00002: is missing.*shard = 1"):
        check_shards(run)


def test_a_shard_without_receipt_is_not_finished(run: Run):
    (run.shard(0, 2) / "receipt.json").unlink()
    with pytest.raises(WorkError, match="00000-of-00002: is missing or unfinished"):
        check_shards(run)


def test_a_changed_part_is_named(run: Run):
    part = run.shard(0, 2) / "part-00000.parquet"
    part.write_bytes(part.read_bytes() + b"x")
    with pytest.raises(WorkError, match=r"part-00000\.parquet does not match its digest"):
        check_shards(run)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"plan": "p2"}, r"00001-of-00002: its receipt says plan = 'p2', not 'p1'"),
        ({"num_shards": 3}, r"receipt says num_shards = 3, not 2"),
        ({"parser": "parser 2"}, r"disagree on parser \(parser 1: 00000-of-00002; parser 2: 00001-of-00002\)"),
        ({"rows": 7}, "the shards hold 9 rows, plan.json names 4 documents"),
    ],
)
def test_shards_that_disagree_are_named(run: Run, rewrite: Callable[..., None], facts: dict[str, object], said: str):
    rewrite(run, 1, 2, {"a/2": "", "b/2": "three"}, **facts)
    with pytest.raises(WorkError, match=said):
        check_shards(run)


def test_a_shard_of_another_number_is_named(run: Run):
    shutil.copytree(run.shard(0, 2), run.shard(0, 4))
    with pytest.raises(WorkError, match=r"00000-of-00004: plan\.json says num_shards = 2"):
        check_shards(run)


def test_everything_wrong_is_named_at_once(run: Run):
    shutil.rmtree(run.shard(0, 2))
    (run.shard(1, 2) / "ledger.parquet").unlink()
    with pytest.raises(WorkError, match=r"(?s)00000-of-00002: is missing.*ledger\.parquet is missing"):
        check_shards(run)


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}"])
def test_a_damaged_plan_is_refused(run: Run, content: bytes):
    run.plan.write_bytes(content)
    with pytest.raises(WorkError, match=r"plan\.json: damaged"):
        check_shards(run)


def test_a_folder_without_plan_is_refused(tmp_path: Path):
    with pytest.raises(WorkError, match=r"holds no plan\.json"):
        check_shards(Run(tmp_path))
