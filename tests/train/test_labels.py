from pathlib import Path

import polars as pl
import pytest

from nbpipe.config import Train
from nbpipe.errors import RequestError
from nbpipe.train.labels import Labels, encoder_digest, read_labels

PATHS = pl.Series("path", ["a/one.pdf", "a/b/two.pdf", "three.pdf"])


def read(folder: Path, text: str) -> Labels:
    (folder / "labels.csv").write_text(text)
    return read_labels(folder / "labels.csv", PATHS)


def labelled(folder: Path, text: str) -> list[list[str] | None]:
    return read(folder, text).table["labels"].to_list()


def test_the_first_folder_is_the_label():
    labels = read_labels(None, PATHS)
    assert labels.table["labels"].to_list() == [["a"], ["a"], None]
    assert labels.table["group"].null_count() == 3


def test_a_folder_is_one_label_whatever_its_name_holds():
    labels = read_labels(None, pl.Series("path", ["a|b/one.pdf", "c/two.pdf"]))
    assert labels.table["labels"].to_list() == [["a|b"], ["c"]]
    assert not labels.multi


def test_a_csv_labels_what_it_names(tmp_path: Path):
    given = "note,label,path\n,007,three.pdf\n,x y,a/one.pdf\n"
    assert labelled(tmp_path, given) == [["x y"], None, ["007"]]
    assert read(tmp_path, given).table["path"].to_list() == PATHS.to_list()


def test_a_bar_gives_several_labels_trimmed_sorted_and_each_once(tmp_path: Path):
    labels = read(tmp_path, "path,label\na/one.pdf, tax | law||tax\nthree.pdf,law\n")
    assert labels.table["labels"].to_list() == [["law", "tax"], None, ["law"]]
    assert labels.multi


def test_a_bar_beside_one_label_is_one_label(tmp_path: Path):
    labels = read(tmp_path, "path,label\na/one.pdf,x|\nthree.pdf,|\n")
    assert labels.table["labels"].to_list() == [["x"], None, None]
    assert not labels.multi


def test_an_empty_label_is_none(tmp_path: Path):
    assert labelled(tmp_path, "path,label\na/one.pdf,\nthree.pdf,  \n") == [None, None, None]


def test_a_group_is_read_trimmed_also_without_a_label(tmp_path: Path):
    labels = read(tmp_path, "path,label,group\na/one.pdf,x, Ada \na/b/two.pdf,,Ada\nthree.pdf,y, \n")
    assert labels.table["group"].to_list() == ["Ada", "Ada", None]
    assert labels.table["labels"].to_list() == [["x"], None, ["y"]]


@pytest.mark.parametrize("name", ["Group", " group", "groups"])
def test_a_column_nearly_called_group_is_refused(tmp_path: Path, name: str):
    with pytest.raises(RequestError, match="nearly, not exactly, 'group'"):
        read(tmp_path, f"path,label,{name}\nthree.pdf,x,Ada\n")


def test_a_misspelt_column_is_named_with_the_nearest(tmp_path: Path):
    with pytest.raises(RequestError, match="no column 'label'; did you mean 'lable'"):
        read(tmp_path, "path,lable\nthree.pdf,x\n")


def test_unknown_paths_are_named_and_counted(tmp_path: Path):
    with pytest.raises(RequestError, match=r"1 of 2 paths.*'tree.pdf'; did you mean 'three.pdf'"):
        read(tmp_path, "path,label\ntree.pdf,x\na/one.pdf,y\n")


def test_a_document_that_is_gone_may_still_have_its_label(tmp_path: Path):
    (tmp_path / "labels.csv").write_text("path,label\nthree.pdf,x\ngone.pdf,y\n")
    found = read_labels(tmp_path / "labels.csv", pl.Series(["three.pdf"]), gone=["gone.pdf"]).table
    assert found["path"].to_list() == ["three.pdf"]


def test_two_rows_with_different_labels_are_refused_with_the_way_to_write_both(tmp_path: Path):
    with pytest.raises(RequestError, match=r"'three.pdf' with the labels 'x' and 'y'.*written a\|b"):
        read(tmp_path, "path,label\nthree.pdf,x\nthree.pdf,y\n")


def test_two_groups_for_one_path_are_refused(tmp_path: Path):
    with pytest.raises(RequestError, match=r"'three.pdf' with the groups 'Ada' and ''"):
        read(tmp_path, "path,label,group\nthree.pdf,x,Ada\nthree.pdf,x,\n")


def test_two_rows_that_say_the_same_are_harmless(tmp_path: Path):
    assert labelled(tmp_path, "path,label\nthree.pdf,x|y\nthree.pdf,y | x\n") == [None, None, ["x", "y"]]


def test_a_file_that_is_no_text_is_refused(tmp_path: Path):
    (tmp_path / "labels.csv").write_bytes(b"path,label\n\xff\xfe,x\n")
    with pytest.raises(RequestError, match=r"labels\.csv"):
        read_labels(tmp_path / "labels.csv", PATHS)


def test_an_encoder_counts_by_its_files(tmp_path: Path):
    for name in ("one", "two"):
        (tmp_path / name / "enc").mkdir(parents=True)
        (tmp_path / name / "enc" / "config.json").write_text("{}")
    one, two = (
        Train(run=tmp_path, model="pretrained", encoder=str(tmp_path / name / "enc")) for name in ("one", "two")
    )
    assert encoder_digest(one) == encoder_digest(two) != ""
    (two.encoder / "config.json").write_text("[]")
    assert encoder_digest(one) != encoder_digest(two)
    assert encoder_digest(Train(run=tmp_path, model="pretrained", encoder="org/name")) == "org/name"
    assert encoder_digest(Train(run=tmp_path)) == ""
