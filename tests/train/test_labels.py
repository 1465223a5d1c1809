from pathlib import Path

import polars as pl
import pytest

from nbpipe.errors import RequestError
from nbpipe.train.labels import csv_labels, folder_labels

PATHS = pl.Series("path", ["a/one.pdf", "a/b/two.pdf", "three.pdf"])


def labelled(folder: Path, text: str) -> list[str | None]:
    (folder / "labels.csv").write_text(text)
    return csv_labels(folder / "labels.csv", PATHS).to_list()


def test_the_first_folder_is_the_label():
    assert folder_labels(PATHS).to_list() == ["a", "a", None]


def test_a_csv_labels_what_it_names(tmp_path: Path):
    given = "note,label,path\n,007, three.pdf\n".replace(" three", "three") + ",x y,a/one.pdf\n"
    assert labelled(tmp_path, given) == ["x y", None, "007"]


def test_an_empty_label_is_none(tmp_path: Path):
    assert labelled(tmp_path, "path,label\na/one.pdf,\nthree.pdf,  \n") == [None, None, None]


def test_a_misspelt_column_is_named_with_the_nearest(tmp_path: Path):
    with pytest.raises(RequestError, match="no column 'label'; did you mean 'lable'"):
        labelled(tmp_path, "path,lable\nthree.pdf,x\n")


def test_unknown_paths_are_named_and_counted(tmp_path: Path):
    with pytest.raises(RequestError, match=r"1 of 2 paths.*'tree.pdf'; did you mean 'three.pdf'"):
        labelled(tmp_path, "path,label\ntree.pdf,x\na/one.pdf,y\n")


def test_two_labels_for_one_path_are_refused(tmp_path: Path):
    with pytest.raises(RequestError, match=r"'three.pdf' with 'x' and 'y'"):
        labelled(tmp_path, "path,label\nthree.pdf,x\nthree.pdf,y\n")


def test_the_same_line_twice_is_harmless(tmp_path: Path):
    assert labelled(tmp_path, "path,label\nthree.pdf,x\nthree.pdf,x\n") == [None, None, "x"]


def test_a_file_that_is_no_text_is_refused(tmp_path: Path):
    (tmp_path / "labels.csv").write_bytes(b"path,label\n\xff\xfe,x\n")
    with pytest.raises(RequestError, match=r"labels\.csv"):
        csv_labels(tmp_path / "labels.csv", PATHS)
