from collections import Counter

import numpy as np
import polars as pl
import pytest

from nbpipe.errors import RequestError
from nbpipe.train.split import Parts, split
from nbpipe.train.twins import Sketches

Row = tuple[str | None, str]


def documents(rows: list[Row], groups: dict[int, str] | None = None) -> pl.DataFrame:
    """Return what `split` takes; a label `a|b` is two, a text is one word of its own unless it repeats another."""
    texts, copies = [text for _, text in rows], [[text for _, text in rows].index(text) for _, text in rows]
    return pl.DataFrame(
        {
            "path": [f"{number} {text}.txt" for number, text in enumerate(texts)],
            "labels": pl.Series([label and label.split("|") for label, _ in rows], dtype=pl.List(pl.String)),
            "group": pl.Series([(groups or {}).get(row) for row in range(len(rows))], dtype=pl.String),
            "copy": copies,
            "twin": copies,
        }
    )


def plain(label: str, number: int) -> list[Row]:
    return [(label, f"{label} text {index}") for index in range(number)]


def sides(parts: Parts, text: str) -> set[str]:
    return set(parts.documents.filter(pl.col("path").str.contains(text))["part"])


def parts_of(parts: Parts, label: str) -> Counter:
    return Counter(parts.documents.filter(pl.col("labels").list.contains(label))["part"])


def test_each_label_gives_a_fifth_to_the_test_and_a_tenth_to_validation():
    parts = split(documents(plain("a", 20) + plain("b", 40)), 0)
    assert parts_of(parts, "a") == {"train": 14, "validation": 2, "test": 4}
    assert parts_of(parts, "b") == {"train": 28, "validation": 4, "test": 8}


def test_the_seed_decides_the_split():
    table = documents(plain("a", 20) + plain("b", 20))
    first = split(table, 0).documents["part"]
    assert split(table, 0).documents["part"].equals(first)
    assert not split(table, 1).documents["part"].equals(first)


def test_every_document_has_the_same_chance_of_the_test():
    table, found = documents(plain("a", 10) + plain("b", 10)), np.zeros(20)
    for seed in range(400):
        found += (split(table, seed).documents["part"] == "test").to_numpy()
    assert found.min() > 50
    assert found.max() < 115


@pytest.mark.parametrize("seed", range(8))
def test_copies_stand_on_one_side_whatever_their_label(seed: int):
    copies = [("a", "same"), ("a", "same"), ("b", "same"), ("b", "same")]
    parts = split(documents(plain("a", 6) + plain("b", 6) + copies), seed)
    assert len(sides(parts, "same")) == 1
    assert (parts.copies, parts.near) == (3, 0)


@pytest.mark.parametrize("seed", range(8))
def test_sketches_of_texts_keep_near_copies_on_one_side(seed: int):
    form = " ".join(f"word{number}" for number in range(80))
    texts = [f"{topic}{row} " * 9 for topic in "ab" for row in range(6)] + [form, f"{form} signed", form.upper()]
    kept = Sketches()
    kept.add(pl.Series(texts))
    table = documents(plain("a", 6) + plain("b", 6) + [("a", "form 1"), ("b", "form 2"), ("b", "form 3")])
    parts = split(table.with_columns(copy=kept.copies(), twin=kept.groups()), seed)
    assert len(sides(parts, "form")) == 1
    assert (parts.copies, parts.near) == (1, 1)


@pytest.mark.parametrize("seed", range(8))
def test_a_group_and_what_it_links_stand_on_one_side(seed: int):
    rows = plain("a", 9) + plain("b", 9) + [("a", "linked"), ("b", "linked"), (None, "linked")]
    parts = split(documents(rows, {0: "Ada", 10: "Ada", 18: "Bob", 11: "Bob"}), seed)
    assert len(sides(parts, "a text 0|b text 1\\.")) == 1
    assert len(sides(parts, "linked|b text 2") - {"unlabelled"}) == 1
    assert parts.documents["unit"].n_unique() == 17


@pytest.mark.parametrize("seed", range(8))
def test_a_large_group_leaves_no_part_empty(seed: int):
    rows = plain("a", 502) + plain("b", 10)
    parts = split(documents(rows, dict.fromkeys(range(500), "Ada")), seed)
    assert parts_of(parts, "a") == {"train": 500, "validation": 1, "test": 1}


def test_a_large_group_comes_to_the_test_by_chance():
    table = documents(plain("a", 100) + plain("b", 100), dict.fromkeys(range(15), "Ada"))
    found = Counter(split(table, seed).documents["part"][0] for seed in range(60))
    assert 4 <= found["test"] <= 25
    assert found["validation"] == 0


def test_large_units_come_near_to_the_shares():
    rows = plain("a", 1_000) + plain("b", 1_000)
    parts = split(documents(rows, {row: f"author {row // 50 if row < 1_000 else row // 7}" for row in range(2_000)}), 0)
    assert parts_of(parts, "a") == {"train": 700, "validation": 100, "test": 200}
    assert parts_of(parts, "b")["test"] == pytest.approx(200, abs=7)
    assert parts_of(parts, "b")["validation"] == pytest.approx(100, abs=7)


def test_three_documents_of_a_thousand_are_one_for_each_part():
    parts = split(documents(plain("a", 1_000) + plain("rare", 3)), 0)
    assert parts_of(parts, "rare") == {"train": 1, "validation": 1, "test": 1}
    assert parts_of(parts, "a") == {"train": 700, "validation": 100, "test": 200}


def test_a_rare_label_is_dropped():
    parts = split(documents(plain("a", 5) + plain("b", 5) + plain("rare", 2)), 0, "drop")
    assert (parts.set_aside, parts.merged) == ({"rare": 2}, {})
    assert sides(parts, "rare") == {"unlabelled"}
    assert parts.labels == ["a", "b"]
    assert "rare (too rare for three parts, set aside)" in repr(parts)


def test_a_label_of_many_copies_is_rare():
    parts = split(documents(plain("a", 5) + plain("b", 5) + [("copied", "same")] * 9), 0)
    assert parts.set_aside == {"copied": 9}


def test_rare_labels_are_merged_into_other():
    parts = split(documents(plain("a", 5) + plain("r", 2) + plain("s", 1)), 0, "merge")
    assert parts.labels == ["a", "other"]
    assert (parts.set_aside, parts.merged) == ({}, {"r": 2, "s": 1})
    assert "s (too rare for three parts, merged into other)" in repr(parts)


def test_merged_labels_that_are_still_rare_are_dropped():
    parts = split(documents(plain("a", 5) + plain("b", 5) + plain("r", 1) + plain("s", 1)), 0, "merge")
    assert parts.labels == ["a", "b"]
    assert (parts.set_aside, parts.merged) == ({"r": 1, "s": 1}, {})


def test_rare_labels_are_refused_by_name():
    with pytest.raises(RequestError, match=r"1 labels cannot be split: 'rare' \(2 documents in 2 units\).*'merge'"):
        split(documents(plain("a", 5) + plain("b", 5) + plain("rare", 2)), 0, "refuse")


@pytest.mark.parametrize("seed", range(8))
def test_a_label_that_shares_its_texts_still_stands_in_every_part(seed: int):
    shared = [("a", "shared 1"), ("b", "shared 1"), ("a", "shared 2"), ("b", "shared 2"), ("b", "own")]
    parts = split(documents(shared + plain("a", 2) + plain("c", 3)), seed)
    assert all(len(parts_of(parts, label)) == 3 for label in "abc")


def test_a_label_that_no_deal_can_put_into_every_part_is_rare():
    knot = [("a|b|c", "1"), ("a|b", "2"), ("a|c", "3"), ("b|c", "4")]
    parts = split(documents(knot + plain("d", 5) + plain("e|f", 5)), 0)
    assert len(parts.set_aside) == 1
    assert all(len(parts_of(parts, label)) == 3 for label in parts.labels)


def test_three_documents_give_one_to_each_part():
    parts = split(documents(plain("a", 3) + plain("b", 3)), 0)
    assert parts.counts == {"train": 2, "validation": 2, "test": 2, "unlabelled": 0}


def test_unlabelled_documents_are_kept():
    parts = split(documents(plain("a", 3) + plain("b", 3) + [(None, "no label")]), 0)
    assert parts.counts["unlabelled"] == 1
    assert parts.targets[-1] == -1
    assert not parts.truth[-1].any()


def test_documents_of_several_labels_count_for_each():
    rows = plain("a|b", 20) + plain("a", 20) + plain("c", 20)
    parts = split(documents(rows), 0)
    assert parts.multi
    assert parts.truth.sum(axis=0).tolist() == [40, 20, 20]
    assert parts.documents["label"][0] == "a|b"
    assert parts_of(parts, "a") == {"train": 28, "validation": 4, "test": 8}


@pytest.mark.parametrize("seed", range(5))
def test_rare_labels_beside_common_ones_reach_every_part(seed: int):
    rows = plain("a|rare", 4) + plain("a", 100) + plain("b", 100) + plain("a|b", 50)
    parts = split(documents(rows), seed)
    assert len(parts_of(parts, "rare")) == 3
    assert parts_of(parts, "a")["test"] == pytest.approx(31, abs=2)


def test_a_dropped_label_leaves_a_document_its_others():
    parts = split(documents(plain("a|rare", 2) + plain("a", 3) + plain("b", 4)), 0)
    assert parts.documents["label"][0] == "a"
    assert parts.set_aside == {"rare": 2}
    assert parts.multi


def test_single_labels_have_one_target_each():
    parts = split(documents(plain("b", 3) + plain("a", 3)), 0)
    assert not parts.multi
    assert parts.targets.tolist() == [1, 1, 1, 0, 0, 0]


def test_balanced_weights_give_every_label_the_same():
    parts = split(documents(plain("a", 90) + plain("b", 10)), 0)
    rows = parts.rows("train")
    weights = parts.weights(rows, "balanced")
    assert weights.dtype == np.float32
    assert weights[parts.targets[rows] == 0].sum() == pytest.approx(weights[parts.targets[rows] == 1].sum())
    assert weights.mean() == pytest.approx(1)
    assert parts.weights(rows, "none").tolist() == [1] * len(rows)


def test_balanced_weights_of_several_labels_are_their_mean():
    parts = split(documents(plain("a|b", 10) + plain("a", 20) + plain("b", 10)), 0)
    both, one, other = parts.weights(np.array([0, 10, 30]), "balanced")
    assert both == pytest.approx((one + other) / 2)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(None, "one"), (None, "two")], "no document is labelled"),
        (plain("a", 9), "all labelled documents have the label 'a'"),
        ([("a", "one"), ("b", "two")], "0 of 2 labels"),
        ([("a", "same")] * 5 + [("b", "same")] * 5, "0 of 2 labels"),
        (plain("a", 9) + plain("b", 2), "1 of 2 labels"),
        (plain("a|b", 9), "all 9 labelled documents have the same 2 labels"),
        (plain("a|b", 2) + plain("a", 9), "1 of 2 labels"),
    ],
)
def test_labels_that_tell_nothing_apart_are_refused(rows: list[Row], said: str):
    with pytest.raises(RequestError, match=said):
        split(documents(rows), 0)


def test_a_label_cannot_break_out_of_the_table():
    parts = split(documents(plain("<script>", 3) + plain("b", 3)), 0)
    assert "<script>" not in parts._repr_html_()
    assert "&lt;script&gt;" in parts._repr_html_()
