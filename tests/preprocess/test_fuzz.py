"""Damaged documents end as rows; `tests/bench/fuzz.py` does the same with thousands."""

import random
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

from nbpipe.audit import differences, read_receipt
from nbpipe.config import STATUSES
from nbpipe.records import PART, read_table

FILES = 250


@pytest.fixture(scope="module")
def bench() -> Iterator[SimpleNamespace]:
    """The modules of tests/bench that make originals, damage them, and run a shard over them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "bench")
        yield SimpleNamespace(**{name: import_module(name) for name in ("originals", "damage", "fuzz")})


def test_every_damaged_file_has_its_row_and_the_receipt_holds(bench: SimpleNamespace, tmp_path: Path) -> None:
    names = bench.fuzz.write(tmp_path / "documents", FILES, seed=1)
    parsing = bench.fuzz.run_shard(tmp_path / "documents", tmp_path / "run", workers=2, timeout=20)
    rows = [name for path in parsing.shard.parts.paths for name in read_table(path, PART)["path"].to_pylist()]
    assert rows == sorted(names) == parsing.ledger["path"].to_pylist()
    assert set(parsing.ledger["status"].to_pylist()) <= set(STATUSES)
    assert differences(read_receipt(parsing.shard.parts.folder)) == []
    assert bench.fuzz.wrong(parsing, names) == []


def test_a_row_too_few_and_a_changed_part_are_said(bench: SimpleNamespace, tmp_path: Path) -> None:
    names = bench.fuzz.write(tmp_path / "documents", 3, seed=2)
    parsing = bench.fuzz.run_shard(tmp_path / "documents", tmp_path / "run", workers=1)
    assert bench.fuzz.wrong(parsing, [*names, "lost.pdf"]) == ["3 rows for 4 files"]
    parsing.shard.parts.ledger.write_bytes(b"changed")
    (line,) = bench.fuzz.wrong(parsing, names)
    assert "ledger.parquet does not match its digest" in line


def test_a_number_always_gives_the_same_file(bench: SimpleNamespace) -> None:
    first = [bench.damage.damaged(index, 3) for index in range(30)]
    bench.originals.originals.cache_clear()
    assert [bench.damage.damaged(index, 3) for index in range(30)] == first
    assert [bench.damage.damaged(index, 4) for index in range(30)] != first


def test_no_file_is_left_whole(bench: SimpleNamespace) -> None:
    whole = set(bench.originals.originals().values())
    assert whole.isdisjoint(bench.damage.damaged(index, 5)[1] for index in range(100))


def test_every_mutation_changes_an_original_and_none_fails_on_its_own_work(bench: SimpleNamespace) -> None:
    rng, originals = random.Random(6), [*bench.originals.originals().values(), b""]
    for mutation in bench.damage.MUTATIONS:
        changed = [mutation(data, rng) for data in originals]
        assert changed != originals, mutation.__name__
        for other in bench.damage.MUTATIONS:
            assert isinstance(other(rng.choice(changed), rng), bytes)


def test_originals_are_read_as_what_they_are(bench: SimpleNamespace, tmp_path: Path) -> None:
    """Damage to a file that nothing can read to begin with would show little."""
    (tmp_path / "documents").mkdir()
    for name, data in bench.originals.originals().items():
        (tmp_path / "documents" / name).write_bytes(data)
    ledger = bench.fuzz.run_shard(tmp_path / "documents", tmp_path / "run", workers=1).ledger
    statuses = dict(zip(ledger["path"].to_pylist(), ledger["status"].to_pylist(), strict=True))
    assert {name: status for name, status in statuses.items() if status != "ok"} == {
        "locked.pdf": "encrypted",
        "scan.pdf": "empty",
    }
