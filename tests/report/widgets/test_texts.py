"""Documents are found by status and words, and their pages in the right part, of proven files only."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from nbpipe.config import Preprocess
from nbpipe.errors import RequestError, WorkError
from nbpipe.preprocess.parsed import Parsed
from nbpipe.preprocess.stage import open_shard, parse_shard
from nbpipe.records import LEDGER
from nbpipe.report.widgets.texts import Source, Texts, texts_of

Write = Callable[..., Path]


def test_documents_are_found_by_status_and_by_words_of_path_or_reason(write_texts: Write) -> None:
    locked = Parsed("encrypted", "opens with a Password")
    texts = texts_of(write_texts({"a/One.txt": ["1"], "b/two.txt": ["2"], "c.pdf": locked}))
    assert [texts.row(number)["path"] for number in texts.find("ok")] == ["a/One.txt", "b/two.txt"]
    assert texts.find("", " one ") == [0]
    assert texts.find("", "PASSWORD") == [2]
    assert texts.find("ok", "password") == []
    assert texts.counts == {"ok": 2, "encrypted": 1}


def test_pages_are_those_of_the_document_in_any_shard_and_part(write_texts: Write) -> None:
    texts = texts_of(write_texts({f"{number:03d}.txt": [f"page of {number:03d}"] for number in range(230)}, 2))
    paths = texts.ledger["path"].to_pylist()
    assert sorted(paths) != paths
    for number in (0, 99, 100, 114, 115, 229):
        assert texts.pages(number) == [f"page of {paths[number][:3]}"]


def test_a_shard_that_is_not_finished_is_named_and_not_shown(write_texts: Write) -> None:
    run = write_texts({f"{number}.txt": ["text"] for number in range(4)}, 2)
    (run / "shards" / "00001-of-00002" / "receipt.json").unlink()
    texts = texts_of(run)
    assert (texts.ledger.num_rows, texts.lacking) == (2, ("00001-of-00002",))


@pytest.mark.parametrize("name", ["ledger.parquet", "part-00000.parquet"])
def test_what_changed_since_its_receipt_is_refused(write_texts: Write, name: str) -> None:
    run, other = write_texts({"a.txt": ["text"]}), write_texts({"a.txt": ["else", "more"]}, name="other")
    shard = Path("shards", "00000-of-00001")
    (run / shard / name).write_bytes((other / shard / name).read_bytes())
    with pytest.raises(WorkError, match=f"{name} does not match its digest"):
        texts_of(run).pages(0)


def test_a_part_that_lists_other_documents_is_refused(write_texts: Write) -> None:
    source = texts_of(write_texts({"a.txt": ["text"]})).sources[0]
    ledger = source.ledger.set_column(0, LEDGER.field("path"), pa.array(["b.txt"]))
    with pytest.raises(WorkError, match="does not list the documents of the ledger"):
        Texts((Source(ledger, source.folders, source.receipt),)).pages(0)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"run = '.*no-run'.*no plan.json"):
        texts_of(tmp_path / "no-run")


def test_a_shard_at_work_is_shown_before_its_receipt_and_after_a_second_attempt(tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "a.txt").write_text("some text")
    (tmp_path / "documents" / "b.txt").write_text("")
    names = {"documents": tmp_path / "documents", "run": tmp_path / "run", "workers": 1}
    parsing = parse_shard(open_shard(Preprocess(**names)))
    texts = texts_of(parsing)
    assert (texts.counts, texts.pages(0)) == ({"ok": 1, "empty": 1}, ["some text"])
    assert texts.file(0) == tmp_path / "documents" / "a.txt"
