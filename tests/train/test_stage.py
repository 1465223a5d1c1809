import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import torch

from nbpipe.audit import Receipt, Stamp, trusted
from nbpipe.config import Train
from nbpipe.errors import WorkError
from nbpipe.run import Run
from nbpipe.train.evaluate import evaluate, fit_baselines, untrained
from nbpipe.train.fit import fit, prepare
from nbpipe.train.model import Classifier
from nbpipe.train.shards import check_shards
from nbpipe.train.split import split
from nbpipe.train.stage import read_documents, save

LABELLED = {f"{label}/{i}": f"{label} {label}word text {i}0" for label in ("ab", "cd") for i in range(10)}
MakeRun = Callable[..., Path]


def train(config: Train) -> Receipt:
    """Run the stage as the notebook does."""
    documents = read_documents(config)
    parts = split(documents.usable, config.seed)
    start = prepare(parts, config)
    evaluation = evaluate(fit(start), fit_baselines(parts), untrained(start))
    return save(documents, evaluation, Stamp.now(config))


@pytest.fixture
def small(make_run: MakeRun) -> Train:
    """A run with labelled, unlabelled and unusable documents."""
    return Train(run=make_run({**LABELLED, "loose": "ab abword", "ab/empty": ""}), device="cpu", epochs=4)


def test_documents_are_counted(small: Train):
    assert read_documents(small).counts == {"documents": 22, "usable": 21, "labelled": 20, "unlabelled": 1}


def test_labels_come_from_the_csv_where_there_is_one(small: Train, tmp_path: Path):
    (tmp_path / "labels.csv").write_text("path,label\nloose,x\n")
    documents = read_documents(small.model_copy(update={"labels": tmp_path / "labels.csv"}))
    assert documents.counts["labelled"] == 1


def test_a_run_without_text_is_refused(make_run: MakeRun):
    with pytest.raises(WorkError, match="none of 2 documents became text"):
        read_documents(Train(run=make_run({"a/1": "", "b/1": ""})))


def test_the_receipt_tells_the_predicted_and_the_measured_seconds(small: Train):
    cost = train(small).facts["cost"]
    figures = json.loads((small.run / "model" / "metrics.json").read_bytes())["seconds"]
    assert cost == {"predicted_seconds": figures["fit_expected"], "seconds": figures["fit"], "device": "cpu"}


def test_the_receipt_names_the_shards_and_holds(small: Train):
    receipt = train(small)
    inputs = {shard.folder.name: shard.digest for shard in check_shards(Run(small.run))}
    assert receipt.facts["inputs"] == inputs
    assert trusted(small.run / "model").digest == receipt.digest


def test_every_document_is_listed_with_its_part(small: Train):
    train(small)
    listed = pl.read_parquet(small.run / "model" / "documents.parquet")
    rows = {row["path"]: row for row in listed.iter_rows(named=True)}
    assert len(rows) == 22
    assert (rows["ab/empty"]["part"], rows["ab/empty"]["predicted"]) == ("unusable", None)
    assert (rows["loose"]["part"], rows["loose"]["label"], rows["loose"]["predicted"]) == ("unlabelled", None, "ab")


def test_the_saved_model_gives_the_listed_probabilities(small: Train):
    train(small)
    listed = pl.read_parquet(small.run / "model" / "documents.parquet").drop_nulls("predicted")
    classifier = Classifier.load(small.run / "model", "cpu")
    texts = read_documents(small).usable["text"]
    found = torch.softmax(classifier.logits(texts), dim=1).max(dim=1).values
    assert found.tolist() == pytest.approx(listed["probability"].to_list(), abs=1e-6)


def test_metrics_hold_the_scores_beside_the_baselines(small: Train):
    train(small)
    metrics = json.loads((small.run / "model" / "metrics.json").read_bytes())
    assert {"accuracy", "macro_f1"} <= metrics["test"].keys()
    assert set(metrics["baselines"]) == {"majority", "linear_svc"}
    assert set(metrics["per_class"]) == {"ab", "cd"}
    assert metrics["documents"]["unlabelled"] == 1


def test_training_again_gives_the_same_scores(small: Train):
    train(small)
    first = json.loads((small.run / "model" / "metrics.json").read_bytes())
    train(small)
    second = json.loads((small.run / "model" / "metrics.json").read_bytes())
    assert {k: v for k, v in first.items() if k != "seconds"} == {k: v for k, v in second.items() if k != "seconds"}


def test_the_old_receipt_is_gone_before_anything_is_written(small: Train, monkeypatch: pytest.MonkeyPatch):
    train(small)

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Classifier, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        train(small)
    assert not (small.run / "model" / "receipt.json").exists()


def test_the_model_folder_holds_no_path_of_the_machine(small: Train):
    train(small)
    texts = [path.read_text() for path in (small.run / "model").glob("*") if path.suffix in (".json", ".md")]
    assert not any(str(small.run.parent) in text for text in texts)
