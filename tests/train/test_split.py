import polars as pl
import pytest

from nbpipe.errors import RequestError
from nbpipe.train.split import Parts, split


def documents(rows: list[tuple[str | None, str]]) -> pl.DataFrame:
    table = pl.DataFrame(rows, schema={"label": pl.String, "text": pl.String}, orient="row")
    return table.with_columns(path=pl.format("{}.txt", pl.int_range(pl.len())))


def plain(label: str, number: int) -> list[tuple[str, str]]:
    return [(label, f"{label} text {index}") for index in range(number)]


def sides(parts: Parts, text: str) -> set[str]:
    return set(parts.documents.filter(pl.col("text").str.to_lowercase().str.contains(text))["part"])


def test_each_label_gives_a_fifth_to_the_test_and_a_tenth_to_validation():
    parts = split(documents(plain("a", 20) + plain("b", 40)), 0)
    counted = parts.documents.group_by("label", "part").len().rows()
    assert set(counted) >= {("a", "test", 4), ("a", "validation", 2), ("b", "test", 8), ("b", "validation", 4)}


def test_the_seed_decides_the_split():
    table = documents(plain("a", 20) + plain("b", 20))
    first = split(table, 0).documents["part"]
    assert split(table, 0).documents["part"].equals(first)
    assert not split(table, 1).documents["part"].equals(first)


@pytest.mark.parametrize("seed", range(8))
def test_copies_stand_on_one_side_whatever_their_case_space_and_label(seed: int):
    copies = [("a", "Same  Copy"), ("a", " same\ncopy "), ("b", "same copy"), ("b", "SAME COPY")]
    parts = split(documents(plain("a", 6) + plain("b", 6) + copies), seed)
    assert len(sides(parts, r"same\s+copy")) == 1
    assert parts.copies == 3


def test_a_label_with_fewer_than_three_texts_is_set_aside():
    parts = split(documents(plain("a", 5) + plain("b", 5) + plain("rare", 2)), 0)
    assert parts.set_aside == {"rare": 2}
    assert sides(parts, "rare") == {"unlabelled"}
    assert parts.labels == ["a", "b"]


def test_a_label_that_owns_too_few_texts_leaves_them_to_the_others():
    shared = [("a", "shared 1"), ("b", "shared 1"), ("a", "shared 2"), ("b", "shared 2"), ("b", "own")]
    parts = split(documents(shared + plain("a", 3) + plain("c", 3)), 0)
    assert parts.set_aside == {"b": 3}
    assert parts.documents.filter(pl.col("label") == "a")["part"].null_count() == 0


def test_three_texts_give_one_to_each_part():
    parts = split(documents(plain("a", 3) + plain("b", 3)), 0)
    assert parts.counts == {"train": 2, "validation": 2, "test": 2, "unlabelled": 0}


def test_unlabelled_documents_are_kept():
    parts = split(documents(plain("a", 3) + plain("b", 3) + [(None, "no label")]), 0)
    assert parts.counts["unlabelled"] == 1
    assert parts.targets[-1] == -1


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(None, "one"), (None, "two")], "no document is labelled"),
        (plain("a", 9), "all labelled documents have the label 'a'"),
        ([("a", "same")] * 5 + [("b", "same")] * 5, "0 of 2 labels"),
        (plain("a", 9) + plain("b", 2), "1 of 2 labels"),
    ],
)
def test_fewer_than_two_labels_to_learn_are_refused(rows: list[tuple[str | None, str]], said: str):
    with pytest.raises(RequestError, match=said):
        split(documents(rows), 0)


def test_a_label_cannot_break_out_of_the_table():
    parts = split(documents(plain("<script>", 3) + plain("b", 3)), 0)
    assert "<script>" not in parts._repr_html_()
    assert "&lt;script&gt;" in parts._repr_html_()
