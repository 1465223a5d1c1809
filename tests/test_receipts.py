"""A receipt holds over any files, and any damage to them is found."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbpipe.audit import RECEIPT, Stamp, differences, trusted, write_receipt
from nbpipe.errors import WorkError

same = settings(derandomize=True, deadline=None, max_examples=30)  # the same on every machine; each flushes files
STAMP = Stamp({"config": {}})
names = st.text("ab1 _'\n漢ä", min_size=1, max_size=20)
places = st.builds("{}{}".format, st.sampled_from(["", "pages/", ".hidden/"]), names)
folders = st.dictionaries(places | st.just(f"pages/{RECEIPT}"), st.binary(min_size=1, max_size=50), min_size=1)


def change(path: Path, data: st.DataObject) -> None:
    whole = bytearray(path.read_bytes())
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(whole)


def insert(path: Path, data: st.DataObject) -> None:
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:at] + data.draw(st.binary(min_size=1, max_size=1)) + whole[at:])


def drop(path: Path, data: st.DataObject) -> None:
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:at] + whole[at + 1 :])


def delete(path: Path, data: st.DataObject) -> None:
    path.unlink()


def add(path: Path, data: st.DataObject) -> None:
    path.with_name(data.draw(st.sampled_from(["more", f"{path.name}.2"]))).write_bytes(data.draw(st.binary()))


@pytest.mark.parametrize("damage", [change, insert, drop, delete, add])
@same
@given(files=folders, data=st.data())
def test_any_damage_to_any_file_is_found(damage: Callable, files: dict[str, bytes], data: st.DataObject) -> None:
    with TemporaryDirectory() as name:
        receipt = write_receipt(filled(Path(name), files), "train", STAMP, rows=3)
        assert differences(receipt) == []
        assert trusted(receipt.folder).digest == receipt.digest
        damage(receipt.folder / data.draw(st.sampled_from(sorted(files))), data)
        assert len(differences(receipt)) == 1
        with pytest.raises(WorkError):
            trusted(receipt.folder)


@same
@given(files=folders, data=st.data())
def test_a_changed_byte_of_a_receipt_changes_its_digest_and_raises_nothing_else(
    files: dict[str, bytes], data: st.DataObject
) -> None:
    with TemporaryDirectory() as name:
        receipt = write_receipt(filled(Path(name), files), "train", STAMP, rows=3)
        change(receipt.folder / RECEIPT, data)
        with suppress(WorkError):
            assert trusted(receipt.folder).digest != receipt.digest


def filled(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files to a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return folder
