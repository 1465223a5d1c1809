"""Receipts prove what they name."""

import json
from pathlib import Path

import pytest

from nbpipe.audit import (
    Receipt,
    Stamp,
    differences,
    digested,
    find_receipt,
    read_receipt,
    trusted,
    with_digest,
    write_receipt,
)
from nbpipe.config import Train
from nbpipe.errors import WorkError


@pytest.fixture
def receipt(tmp_path: Path) -> Receipt:
    """The receipt of a stage that wrote two files."""
    (tmp_path / "pages").mkdir()
    (tmp_path / "data.parquet").write_bytes(b"data")
    (tmp_path / "pages" / "one.png").write_bytes(b"one")
    (tmp_path / ".draft").touch()
    return write_receipt(tmp_path, "train", Stamp.now(Train(run=tmp_path, seed=7)), inputs={"a": "b"}, rows=3)


def test_a_receipt_says_what_was_made_from_what(receipt: Receipt) -> None:
    assert receipt.facts["files"].keys() == {"data.parquet", "pages/one.png"}
    assert (receipt.facts["rows"], receipt.facts["inputs"]) == (3, {"a": "b"})
    assert receipt.facts["config"]["seed"] == receipt.facts["stamp"]["seed"] == 7
    assert receipt.facts["stamp"]["packages"]["pyarrow"]


def test_nothing_private_is_in_a_receipt(receipt: Receipt) -> None:
    text = receipt.data.decode()
    assert str(receipt.folder.parent) not in text
    assert str(Path.home()) not in text or Path.home() == Path("/")


def test_an_untouched_folder_is_trusted(receipt: Receipt) -> None:
    assert trusted(receipt.folder).digest == receipt.digest


def test_a_changed_a_missing_and_an_added_file_are_found(receipt: Receipt) -> None:
    (receipt.folder / "data.parquet").write_bytes(b"tada")
    (receipt.folder / "pages" / "one.png").rename(receipt.folder / "pages" / "two.png")
    assert differences(receipt) == [
        "train: data.parquet does not match its digest",
        "train: pages/one.png is missing",
        "train: pages/two.png is not in the receipt",
    ]
    with pytest.raises(WorkError, match=r"data.parquet does not match"):
        trusted(receipt.folder)


def test_no_receipt_means_not_finished(tmp_path: Path) -> None:
    assert find_receipt(tmp_path) is None
    with pytest.raises(WorkError, match="has no receipt"):
        read_receipt(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", json.dumps({"stage": "train"}).encode(), b'{"stage": "train", "files": []}']
)
def test_a_damaged_receipt_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "receipt.json").write_bytes(content)
    with pytest.raises(WorkError, match=r"receipt.json: damaged"):
        read_receipt(tmp_path)


def test_the_receipt_shows_its_own_digest(receipt: Receipt) -> None:
    assert receipt.digest in receipt._repr_html_()
    assert receipt.digest in repr(receipt)


def test_the_stamp_names_what_was_asked_for_and_not_the_tools_of_tests(receipt: Receipt) -> None:
    packages = receipt.facts["stamp"]["packages"]
    assert packages.keys() >= {"click", "numpy", "papermill", "pillow", "psutil", "pyarrow", "pydantic", "torch"}
    assert not packages.keys() & {"pytest", "hypothesis", "ruff", "nbpipe"}
    assert len(receipt.facts["stamp"]["code"]) == 64


def test_json_with_its_own_digest_shows_any_change() -> None:
    data = with_digest({"b": [1.5, "é"], "a": None})
    assert digested(data) == {"a": None, "b": [1.5, "é"]}
    for other in (data.replace(b"1.5", b"1.6"), data + b" ", data.replace(b'"a"', b'"c"'), b"[]", b"{}"):
        with pytest.raises(ValueError, match=r"not as it was written"):
            digested(other)
