"""What is kept of the documents that were learnt from: their labels, and where they lie for the model."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import torch

from nbpipe.records import neighbours, read_table, write_table
from nbpipe.train import neighbours as module
from nbpipe.train.families import BAG
from nbpipe.train.neighbours import NAME, directions, listed, look


@pytest.fixture
def kept(done: Any) -> Any:
    """The table in the model folder."""
    return pq.read_table(done.config.run / "model" / NAME)


def test_the_documents_of_training_and_validation_are_kept_with_their_labels(done: Any, kept: Any):
    parts = pl.read_parquet(done.config.run / "model" / "documents.parquet")
    learnt = parts.filter(pl.col("part").is_in(["train", "validation"])).sort("path")
    assert 0 < len(learnt) < len(parts)
    assert kept["path"].to_pylist() == learnt["path"].to_list()
    assert kept["label"].to_pylist() == learnt["label"].to_list()


def test_the_vectors_are_those_of_the_model_that_is_kept(done: Any, kept: Any, made: dict[str, str]):
    hidden = done.evaluation.training.classifier.hidden(pl.Series([made[path] for path in kept["path"].to_pylist()]))
    vectors = kept["vector"].combine_chunks().flatten().to_numpy().reshape(hidden.shape).astype(np.float32)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-3)
    assert torch.cosine_similarity(torch.from_numpy(vectors), hidden).numpy() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("together", [1, 7, 4096])
def test_logits_and_directions_are_the_same_in_blocks(done: Any, together: int, monkeypatch: pytest.MonkeyPatch):
    classifier, start = done.evaluation.training.classifier, done.evaluation.training.start
    inputs = BAG.inputs(classifier.vocabulary, start.documents)
    monkeypatch.setattr(module, "_TOGETHER", together)
    logits, found = look(BAG, classifier.network, inputs, classifier.device)
    scored = BAG.score(classifier.network, inputs, classifier.device).numpy()
    assert logits == pytest.approx(scored, abs=1e-5)
    assert logits == pytest.approx(done.evaluation.logits, abs=1e-5)
    assert found.astype(float) == pytest.approx(done.evaluation.directions.astype(float), abs=1e-3)


def test_directions_are_as_near_as_the_vectors_whatever_their_size():
    hidden = torch.from_numpy(np.random.default_rng(0).normal(size=(40, 128)).astype(np.float32))
    sizes = torch.logspace(-6, 9, 40)[:, None]
    found = torch.from_numpy(directions(hidden * sizes)).float()
    assert (found @ found.T).numpy() == pytest.approx(
        torch.cosine_similarity(hidden[:, None], hidden[None], dim=2).numpy(), abs=1e-3
    )
    assert not directions(torch.zeros(1, 128)).any()


def test_the_table_comes_back_as_it_was_written(tmp_path: Path):
    vectors = directions(torch.randn(3, 5))
    table = listed(["a", "b", "c"], ["x", "x|y", "<y>"], vectors)
    write_table(tmp_path / NAME, table)
    assert table.schema == neighbours(5)
    assert read_table(tmp_path / NAME, neighbours(5)) == table
