"""The documents are compared with what a run says of them."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nbpipe.originals import compare
from nbpipe.preprocess.plan import Plan
from nbpipe.records import PART, write_table
from nbpipe.run import Run, write

TEXTS = {f"{name}/{number:02d}.txt": f"text {name} {number}" for name in "ab" for number in range(15)}


@pytest.fixture
def places(make_runs: Callable[..., Path], tmp_path: Path) -> tuple[Run, Path]:
    """A run of thirty documents in two shards, and their folder."""
    documents = tmp_path / "documents"
    for name, text in TEXTS.items():
        (documents / name).parent.mkdir(parents=True, exist_ok=True)
        (documents / name).write_text(text)
    run = Run(make_runs(tmp_path / "run", TEXTS))
    write(run.plan, Plan({name: len(text) for name, text in TEXTS.items()}, 2).encode())
    run.remember_documents(documents)
    return run, documents


def test_documents_as_they_were_are_no_finding(places: tuple[Run, Path]) -> None:
    assert compare(places[0]) == ([], [])


def test_a_changed_and_a_lost_document_are_named_and_a_new_one_is_a_remark(places: tuple[Run, Path]) -> None:
    run, documents = places
    (documents / "a" / "01.txt").write_text("TEXT a 1")  # as long as before
    (documents / "b" / "02.txt").unlink()
    (documents / "a" / "new.txt").touch()
    findings, remarks = compare(run)
    assert findings == [
        "documents: 'a/01.txt' was changed since it was read; restore it, or start a new run",
        "documents: 'b/02.txt' is gone since it was read; restore it, or start a new run",
    ]
    assert remarks == ["documents: 1 is new since the plan was made, so the run knows nothing of them"]


def test_documents_are_new_by_the_plan_whatever_parts_there_are(places: tuple[Run, Path]) -> None:
    run, _ = places
    shutil.copytree(run.shard(0, 2), run.shard(0, 3))
    (run.shard(1, 2) / "part-00000.parquet").unlink()
    assert compare(run)[1] == []
    run.plan.write_text("{}")
    assert compare(run)[1] == []


def test_many_changes_are_counted(places: tuple[Run, Path]) -> None:
    run, documents = places
    for name in TEXTS:
        (documents / name).write_text("other")
    findings, _ = compare(run)
    assert len(findings) == 21
    assert findings[-1] == "documents: 10 more were changed or are gone"


def test_a_document_that_was_not_opened_is_compared_by_size(places: tuple[Run, Path]) -> None:
    run, documents = places
    part = run.shard(0, 2) / "part-00000.parquet"
    rows = pq.read_table(part)
    nothing = pa.array([""] * rows.num_rows)
    write_table(part, rows.set_column(1, PART.field("sha256"), nothing))
    first = rows["path"][0].as_py()
    (documents / first).write_bytes((documents / first).read_bytes()[::-1])
    unknown = f"documents: {rows.num_rows} could not be read when the run was made, so their bytes are not known"
    assert compare(run) == ([], [unknown])
    (documents / first).write_text("longer than it ever was")
    assert "was changed" in compare(run)[0][0]


def test_a_document_in_whose_place_something_else_stands_is_changed(places: tuple[Run, Path]) -> None:
    run, documents = places
    (documents / "a" / "00.txt").unlink()
    os.mkfifo(documents / "a" / "00.txt")
    assert "'a/00.txt' was changed" in compare(run)[0][0]
