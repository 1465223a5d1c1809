"""The nearest training documents are those that a look at all of them finds."""

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import torch

from nbpipe.errors import WorkError
from nbpipe.explain import nearest as module
from nbpipe.explain.nearest import Nearest, Neighbour, Neighbours
from nbpipe.records import write_table
from nbpipe.train.model import Classifier
from nbpipe.train.neighbours import NAME, directions, listed


@pytest.fixture
def hidden() -> torch.Tensor:
    """Vectors of fifty documents."""
    return torch.from_numpy(np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32))


def of(hidden: torch.Tensor) -> Neighbours:
    paths = [f"{row:02d}.txt" for row in range(len(hidden))]
    return Neighbours(paths, [f"label {row % 3}" for row in range(len(hidden))], directions(hidden))


def test_they_are_those_of_the_largest_cosines(hidden: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = torch.from_numpy(np.random.default_rng(1).normal(size=(20, 8)).astype(np.float32)) * 1000
    cosines = torch.nn.functional.cosine_similarity(asked[:, None], hidden[None], dim=2)
    monkeypatch.setattr(module, "_BLOCK", 7)
    monkeypatch.setattr(module, "_AT_ONCE", 6)
    for row, found in enumerate(of(hidden).nearest(asked, many=4)):
        order = cosines[row].argsort(descending=True)[:4].tolist()
        assert [neighbour.path for neighbour in found.found] == [f"{place:02d}.txt" for place in order]
        assert [neighbour.similarity for neighbour in found.found] == pytest.approx(
            cosines[row][order].tolist(), abs=1e-3
        )


def test_of_equally_near_ones_the_first_by_path_come(hidden: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 16)
    hidden[[3, 17, 18, 40]] = hidden[3] * torch.tensor([[1.0], [2.0], [3.0], [0.1]])
    (found,) = of(hidden).nearest(hidden[17:18], many=3)
    assert found.found == [
        Neighbour("03.txt", "label 0", 1.0),
        Neighbour("17.txt", "label 2", 1.0),
        Neighbour("18.txt", "label 0", 1.0),
    ]


def test_fewer_documents_than_asked_for_are_all_given(hidden: torch.Tensor) -> None:
    assert [len(found.found) for found in of(hidden[:2]).nearest(hidden, many=3)] == [2] * 50
    assert of(hidden).nearest(hidden[:0]) == []


def test_a_document_that_says_nothing_to_the_model_has_no_neighbours(hidden: torch.Tensor) -> None:
    hidden[1] = 0
    alone, nothing = of(hidden).nearest(hidden[:2], many=50)
    assert (alone.found[0].similarity, nothing.found) == (1.0, [])
    assert next(neighbour.similarity for neighbour in alone.found if neighbour.path == "01.txt") == 0
    assert "knows no word" in repr(nothing)


def test_a_text_that_was_learnt_from_is_found_again(wise: Classifier, corpus: pl.DataFrame, tmp_path: Path) -> None:
    vectors = directions(wise.hidden(corpus["text"]))
    write_table(tmp_path / NAME, listed(corpus["path"].to_list(), corpus["label"].to_list(), vectors))
    found = Neighbours.load(tmp_path).nearest(wise.hidden(corpus["text"][4:9]))
    assert [(one.found[0].path, one.found[0].similarity) for one in found] == [(p, 1.0) for p in corpus["path"][4:9]]
    assert [{near.label for near in one.found} for one in found] == [{label} for label in corpus["label"][4:9]]


def test_a_model_that_was_kept_without_answers_and_says_what_it_lacks(
    wise: Classifier, corpus: pl.DataFrame, tmp_path: Path
) -> None:
    wise.save(tmp_path)
    loaded = Classifier.load(tmp_path, "cpu")
    assert loaded.answers(corpus["text"])[0] == wise.answers(corpus["text"])[0]
    assert torch.equal(loaded.hidden(corpus["text"]), wise.hidden(corpus["text"]))
    with pytest.raises(WorkError, match=r"lacks neighbours\.parquet, which earlier versions did not keep; train again"):
        Neighbours.load(tmp_path)


@pytest.mark.parametrize("column", ["vector", "vectors"])
def test_a_table_of_something_else_is_refused(tmp_path: Path, column: str) -> None:
    write_table(tmp_path / NAME, pa.table({"path": ["a"], "label": ["x"], column: [0.5]}))
    with pytest.raises(WorkError, match="written by another version"):
        Neighbours.load(tmp_path)


def test_only_what_is_the_same_to_the_model_is_shown_as_the_same() -> None:
    found = [Neighbour("a", "x", share) for share in (1.0, 0.999999, 0.998, -0.25)]
    (table,) = Nearest(found).shown()
    assert [row[2] for row in table.rows] == [1.0, 0.999, 0.998, -0.25]


def test_names_of_strangers_are_shown_as_text() -> None:
    shown = Nearest([Neighbour("<script>.txt", "<b>", 0.98765)])._repr_html_()
    assert "&lt;script&gt;.txt" in shown
    assert "0.987" in shown
    assert "<b>" not in shown.replace("<p><b>", "")
