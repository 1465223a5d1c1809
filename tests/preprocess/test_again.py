"""Second chances change the rows they are for, all at once or not at all."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbpipe.audit import Stamp, digests, trusted
from nbpipe.config import Preprocess
from nbpipe.errors import RequestError, WorkError
from nbpipe.preprocess import again, engines, parts
from nbpipe.preprocess.stage import finish, open_shard, parse_shard
from nbpipe.records import PART, read_table


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", 3)


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """Nine texts in three parts; two of them have more bytes than a small limit lets in."""
    folder = tmp_path / "documents"
    folder.mkdir()
    for index in range(9):
        (folder / f"{index}.txt").write_text(f"words of {index}" + " and more" * (index in (1, 7)))
    return folder


def run(documents: Path, **options: object) -> list[dict[str, object]]:
    """Run the shard with some options, and return the ledger's rows."""
    config = Preprocess(documents=documents, run=documents.parent / "run", workers=1, **options)
    parsing = parse_shard(open_shard(config))
    finish(parsing, Stamp.now(config))
    return parsing.ledger.to_pylist()


def shard(documents: Path) -> Path:
    return documents.parent / "run" / "shards" / "00000-of-00001"


def test_only_documents_of_the_status_are_parsed_again(documents: Path) -> None:
    before = {row["path"]: row for row in run(documents, max_bytes="15B")}
    after = {row["path"]: row for row in run(documents, retry="too_large")}
    assert {path for path in after if after[path] != before[path]} == {"1.txt", "7.txt"}
    assert [before[path]["status"] for path in ("1.txt", "7.txt")] == ["too_large"] * 2
    assert after["1.txt"]["status"] == "ok"


def test_the_first_verdict_stays_in_the_ledger(documents: Path) -> None:
    run(documents, max_bytes="15B")
    run(documents, max_bytes="16B", retry="too_large")
    row = run(documents, retry="too_large")[1]
    assert [verdict["status"] for verdict in row["earlier"]] == ["too_large", "too_large"]
    assert [verdict["reason"][-14:] for verdict in row["earlier"]] == ["max_bytes = 15", "max_bytes = 16"]


def test_the_result_is_what_one_attempt_would_have_made(documents: Path) -> None:
    run(documents, max_bytes="15B")
    run(documents, retry="too_large")
    twice = {path.name: path.read_bytes() for path in shard(documents).glob("part-*")}
    shutil.rmtree(documents.parent / "run")
    run(documents)
    assert twice == {path.name: path.read_bytes() for path in shard(documents).glob("part-*")}
    assert len(twice) == 3


def test_the_receipt_holds_and_nothing_else_is_left(documents: Path) -> None:
    run(documents, max_bytes="15B")
    run(documents, retry="too_large, crashed")
    receipt = trusted(shard(documents))
    assert (receipt.facts["ok"], receipt.facts["config"]["retry"]) == (9, "too_large, crashed")
    assert {path.name for path in shard(documents).iterdir()} == {*receipt.facts["files"], "receipt.json"}


@pytest.mark.parametrize("moves", range(4))
def test_cut_short_it_is_all_old_or_becomes_all_new(
    documents: Path, moves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(documents, max_bytes="15B")
    replace, done = Path.replace, []

    def cut(self: Path, target: Path) -> Path:
        if self.parent.name == "merged" and target.parent == shard(documents):
            done.append(target)
            if len(done) > moves:
                raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", cut)
        with pytest.raises(KeyboardInterrupt):
            run(documents, retry="too_large")
    rows = run(documents)  # no retry asked for: what was decided is done all the same
    assert [row["status"] for row in rows] == ["ok"] * 9
    assert trusted(shard(documents)).facts["ok"] == 9


def test_cut_short_before_that_nothing_has_changed_and_it_resumes(
    documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(documents, max_bytes="15B")
    before, parsed = digests(shard(documents)), []

    def parse_all(documents: list[object], *rest: object) -> Iterator[object]:
        for outcome in original(documents, *rest):
            parsed.append(outcome.id)
            yield outcome

    def stop(self: object) -> None:
        raise KeyboardInterrupt

    original = engines.parse_all
    monkeypatch.setattr(engines, "parse_all", parse_all)
    with monkeypatch.context() as patch:
        patch.setattr(again.Again, "_merge_ledger", stop)
        with pytest.raises(KeyboardInterrupt):
            run(documents, retry="too_large")
    assert digests(shard(documents)) == before
    assert [row["status"] for row in run(documents, retry="too_large")] == ["ok"] * 9
    assert sorted(parsed) == ["1.txt", "7.txt"]


def test_an_unfinished_shard_is_finished_first(documents: Path) -> None:
    config = Preprocess(documents=documents, run=documents.parent / "run", workers=1, max_bytes="15B")
    parse_shard(open_shard(config))
    rows = run(documents, max_bytes="15B", timeout=90, retry="too_large")
    assert [row["status"] for row in rows].count("too_large") == 2
    assert len(rows[1]["earlier"]) == 1


def test_nothing_to_parse_again_changes_nothing(documents: Path) -> None:
    run(documents)
    before = trusted(shard(documents)).digest
    run(documents, retry="timeout")
    assert trusted(shard(documents)).digest == before


def test_texts_of_other_documents_are_left_alone(documents: Path) -> None:
    run(documents, max_bytes="15B")
    run(documents, retry="too_large")
    pages = [
        row["pages"] for path in sorted(shard(documents).glob("part-*")) for row in read_table(path, PART).to_pylist()
    ]
    assert pages == [[(documents / f"{index}.txt").read_text()] for index in range(9)]


def test_a_status_that_does_not_exist_is_refused(documents: Path) -> None:
    with pytest.raises(RequestError, match="retry = 'time-out': no such status; did you mean 'timeout'"):
        run(documents, retry="time-out")


def test_a_damaged_shard_is_not_read_anew_with_the_options_of_a_retry(documents: Path) -> None:
    run(documents, max_bytes="15B")
    (shard(documents) / "part-00001.parquet").unlink()
    with pytest.raises(WorkError, match="damaged or out of date; run it again without retry first"):
        run(documents, max_pages=1, retry="too_large")
    assert len(run(documents)) == 9
