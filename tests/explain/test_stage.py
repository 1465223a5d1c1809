"""The stage loads only what it can trust, and writes explanations that can be found again in the text."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from nbpipe.audit import Stamp, differences, read_receipt, write_receipt
from nbpipe.config import Explain
from nbpipe.errors import RequestError, WorkError
from nbpipe.explain.explained import Explained
from nbpipe.explain.highlight import Highlight
from nbpipe.explain.sample import Sample
from nbpipe.explain.stage import attribute, estimate, explanations, finish, load_explained, load_test, metrics
from nbpipe.records import EXPLANATIONS, read_table
from nbpipe.run import Run
from nbpipe.shown import Sentence
from nbpipe.train.bag import Bag
from nbpipe.train.model import Classifier
from nbpipe.train.pairs import with_pairs
from nbpipe.train.text import Vocabulary, count_parts

Make = Callable[[Classifier], Explain]


@pytest.fixture
def sample(make_run: Make, wise: Classifier) -> Sample:
    """The corpus as test documents of a classifier that knows its subject."""
    return load_test(make_run(wise))


@pytest.fixture
def explained(sample: Sample) -> Explained:
    """The sample, explained."""
    return attribute(sample)


def reseal(folder: Path, stage: str, config: Explain) -> None:
    """Write a new receipt over what a folder holds now, with the old one's facts."""
    facts = read_receipt(folder).facts
    kept = {name: value for name, value in facts.items() if name not in ("stage", "files", "config", "stamp")}
    write_receipt(folder, stage, Stamp.now(config), **kept)


def test_all_test_documents_are_taken_where_they_are_few(sample: Sample, corpus: pl.DataFrame) -> None:
    assert sample.total == 30
    assert sample.documents.equals(corpus.select("path", "label", "pages", "text"))


def test_the_seed_draws_the_sample(make_run: Make, wise: Classifier) -> None:
    run = make_run(wise).run
    drawn = [load_test(Explain(run=run, sample=10, seed=seed)).documents["path"].to_list() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] == sorted(drawn[0])
    assert len(set(drawn[0])) == 10
    assert drawn[0] != drawn[2]


def test_only_test_documents_are_explained(make_run: Make, wise: Classifier) -> None:
    config = make_run(wise)
    listed = pl.read_parquet(config.run / "model" / "documents.parquet")
    listed.with_columns(part=pl.lit("train")).write_parquet(config.run / "model" / "documents.parquet")
    reseal(config.run / "model", "train", config)
    with pytest.raises(WorkError, match="no test documents"):
        load_test(config)


def test_without_a_model_nothing_starts(make_run: Make, wise: Classifier) -> None:
    config = make_run(wise)
    shutil.rmtree(config.run / "model")
    with pytest.raises(WorkError, match="model: has no receipt"):
        load_test(config)


@pytest.mark.parametrize("name", ["weights.safetensors", "vocabulary.json", "labels.json", "documents.parquet"])
def test_a_damaged_model_is_refused(make_run: Make, wise: Classifier, name: str) -> None:
    config = make_run(wise)
    path = config.run / "model" / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WorkError, match=f"{name} does not match its digest"):
        load_test(config)


def test_shards_that_changed_since_training_are_refused(make_run: Make, wise: Classifier) -> None:
    config = make_run(wise)
    reseal(Run(config.run).shard(0, 1), "preprocess", Explain(run=config.run, seed=5))
    with pytest.raises(WorkError, match="00000-of-00001: is not the shard that the model was trained on"):
        load_test(config)


def test_a_damaged_shard_is_refused(make_run: Make, wise: Classifier) -> None:
    config = make_run(wise)
    (Run(config.run).shard(0, 1) / "part-00000.parquet").write_bytes(b"PAR1")
    with pytest.raises(WorkError, match=r"part-00000\.parquet does not match"):
        load_test(config)


def test_a_missing_shard_is_refused(make_run: Make, wise: Classifier) -> None:
    config = make_run(wise)
    shutil.rmtree(Run(config.run).shard(0, 1))
    with pytest.raises(WorkError, match="00000-of-00001: is missing"):
        load_test(config)


def test_the_estimate_says_seconds(sample: Sample) -> None:
    assert re.fullmatch(r"Expected: about \d+\.\d s, from 8 documents explained as a trial\.", repr(estimate(sample)))


def test_the_explained_class_is_the_predicted_one(explained: Explained, wise: Classifier, corpus: pl.DataFrame) -> None:
    best = wise.logits(corpus["text"]).argmax(1).tolist()
    assert explained.predicted == [wise.labels[number] for number in best]
    assert explained.right.all()


def test_explanations_are_written_and_point_to_their_words(explained: Explained) -> None:
    config, documents = explained.sample.config, explained.sample.documents
    finish(explained, Stamp.now(config))
    rows = read_table(config.run / "explain" / "explanations.parquet", EXPLANATIONS).to_pylist()
    assert [row["path"] for row in rows] == documents["path"].to_list()
    assert {row["method"] for row in rows} == {"integrated_gradients"}
    for row, pages in zip(rows, documents["pages"], strict=True):
        cut = [pages[word["page"]][word["start"] : word["end"]].lower() for word in row["words"]]
        assert cut == [word["word"] for word in row["words"]]
        assert max(row["words"], key=lambda word: word["attribution"])["word"] in ("oven", "mast", "télescope")


def test_written_attributions_add_up_to_the_score(explained: Explained) -> None:
    sums = [sum(word["attribution"] for word in words) for words in explanations(explained)["words"].to_pylist()]
    assert sums == pytest.approx(explained.found.differences.tolist(), rel=0.01)


def test_the_same_model_and_seed_give_the_same_bytes(explained: Explained) -> None:
    path = explained.sample.config.run / "explain" / "explanations.parquet"
    finish(explained, Stamp.now(explained.sample.config))
    first = path.read_bytes()
    finish(attribute(load_test(explained.sample.config)), Stamp.now(explained.sample.config))
    assert path.read_bytes() == first


def test_the_receipt_tells_the_predicted_and_the_measured_seconds(explained: Explained) -> None:
    expected, stamp = estimate(explained.sample), Stamp.now(explained.sample.config)
    earlier = replace(stamp, facts=stamp.facts | {"started": (datetime.now(UTC) - timedelta(hours=1)).isoformat()})
    cost = finish(explained, earlier, expected).facts["cost"]
    assert 3600 <= cost.pop("seconds") < 3700
    assert cost == {"predicted_seconds": expected.seconds, "device": "cpu"}
    assert "predicted_seconds" not in finish(explained, stamp).facts["cost"]


def test_the_receipt_names_the_model_and_every_file(explained: Explained) -> None:
    receipt = finish(explained, Stamp.now(explained.sample.config))
    assert receipt.facts["inputs"] == {"model": read_receipt(explained.sample.config.run / "model").digest}
    assert set(receipt.facts["files"]) == {"explanations.parquet", "metrics.json"}  # text files have no pages
    assert differences(receipt) == []


def test_metrics_say_what_the_notebook_shows(explained: Explained) -> None:
    found = metrics(explained)
    assert found["verdict"] == explained.judgement.verdict.text
    assert found["verdict"].startswith("Yes: ")
    assert found["documents"] == found["right"] == 30
    assert found["deletion"]["gain"]["low"] > 0


def test_a_random_model_is_not_believed(make_run: Make, guessing: Classifier) -> None:
    explained = attribute(load_test(make_run(guessing)))
    assert explained.judgement.verdict.text.startswith("No: ")


def test_examples_are_shown_or_said_to_be_absent(explained: Explained) -> None:
    assert isinstance(explained.sure, Highlight)
    assert isinstance(explained.undecided, Highlight)
    assert isinstance(explained.mistake, Sentence)
    assert ": right." in explained.sure.claim


def test_the_most_confident_mistake_is_shown(make_run: Make, guessing: Classifier) -> None:
    explained = attribute(load_test(make_run(guessing)))
    wrong = explained.probabilities.max(axis=1)[~explained.right].max()
    assert isinstance(explained.mistake, Highlight)
    assert f"{wrong:.2f}: wrong, its label is" in explained.mistake.claim


def test_the_unsure_document_has_the_nearest_two_classes(explained: Explained) -> None:
    best = pl.DataFrame(explained.probabilities).transpose().select(pl.all().top_k(2))
    margins = (best.max() - best.min()).row(0)
    assert explained.undecided.title == explained.sample.documents["path"][margins.index(min(margins))]


def test_any_document_can_be_shown(explained: Explained) -> None:
    assert explained.document("cooking/01.txt").title == "cooking/01.txt"
    with pytest.raises(RequestError, match=r"did you mean 'cooking/01\.txt'"):
        explained.document("coking/01.txt")


def test_nothing_shown_holds_an_absolute_path(explained: Explained) -> None:
    objects = [explained.sample, estimate(explained.sample), explained, explained.deletion, explained.control]
    objects += [explained.top_words, explained.judgement, explained.sure]
    receipt = finish(explained, Stamp.now(explained.sample.config))
    texts = [repr(thing) + thing._repr_html_() for thing in [*objects, receipt]]
    texts += [path.read_text() for path in receipt.folder.glob("*.json")]
    assert all(str(explained.sample.config.run.parent) not in text for text in texts)


def test_a_model_with_several_labels_is_explained(make_run: Make, wise: Classifier, corpus: pl.DataFrame) -> None:
    many = replace(wise, multi=True)
    explained = attribute(load_test(make_run(many)))
    assert explained.probabilities == pytest.approx(many.probabilities(corpus["text"]), abs=1e-6)
    assert explained.right.all()
    before = explained.probabilities[np.arange(30), explained.found.targets]
    assert explained.deletion.top.max() <= before.max()
    assert explained.judgement.verdict.text.startswith("Yes: ")


def test_any_of_several_labels_is_right(make_run: Make, wise: Classifier) -> None:
    config = make_run(replace(wise, multi=True))
    listed = config.run / "model" / "documents.parquet"
    labels = pl.read_parquet(listed).with_columns(label="cooking|" + pl.col("label").replace("cooking", "sailing"))
    labels.write_parquet(listed)
    reseal(config.run / "model", "train", config)
    explained = attribute(load_test(config))
    assert explained.truth.sum(axis=1).tolist() == [2] * 30
    assert explained.right.all()


def test_pairs_of_words_are_explained_and_written(make_run: Make, corpus: pl.DataFrame) -> None:
    vocabulary = Vocabulary.of(with_pairs(count_parts([corpus["text"]], order=True)))
    torch.manual_seed(3)
    classifier = Classifier(Bag(len(vocabulary), 3), vocabulary, sorted(set(corpus["label"])), torch.device("cpu"))
    explained = attribute(load_test(make_run(classifier)))
    words = [word["word"] for row in explanations(explained)["words"].to_pylist() for word in row]
    assert any(" " in word for word in words)
    sums = [sum(word["attribution"] for word in row) for row in explanations(explained)["words"].to_pylist()]
    assert sums[:30] == pytest.approx(explained.found.differences.tolist(), rel=0.02, abs=1e-4)
    assert isinstance(explained.undecided, Highlight)


@pytest.mark.parametrize("name", ["gru", "attention", "pretrained"])
def test_every_family_is_explained_and_judged(name: str, make_run: Make, request: pytest.FixtureRequest) -> None:
    taught = name != "pretrained"
    classifier = request.getfixturevalue("make_ordered")(name) if taught else request.getfixturevalue("encoded")
    explained = attribute(load_test(make_run(classifier)))
    receipt = finish(explained, Stamp.now(explained.config))
    assert differences(receipt) == []
    assert explained.judgement.verdict.text.startswith("Yes: " if taught else "No: ")
    assert metrics(explained)["gap"]["largest"] <= 0.01


def test_a_finished_run_is_loaded_as_it_was_explained(explained: Explained) -> None:
    finish(explained, Stamp.now(explained.config))
    again = load_explained(explained.config.run)
    assert again.listing.equals(explained.listing)
    assert again.found.values == pytest.approx(explained.found.values, abs=1e-6)
    assert repr(again.sure) == repr(explained.sure)


def test_explanations_of_another_model_are_not_loaded(explained: Explained) -> None:
    finish(explained, Stamp.now(explained.config))
    reseal(explained.config.run / "model", "train", explained.config)
    with pytest.raises(WorkError, match="made from another model"):
        load_explained(explained.config.run)


def test_a_document_is_explained_for_any_class_by_any_method(explained: Explained) -> None:
    usual = explained.document("cooking/01.txt")
    other = explained.document("cooking/01.txt", "sailing", "occlusion")
    assert (usual.label, other.label) == ("cooking", "sailing")
    assert repr(explained.document("cooking/01.txt", "cooking")) == repr(usual)
    ours, theirs = ({word.text: word.attribution for word in shown.words}["oven"] for shown in (usual, other))
    assert theirs < 0 < ours


@pytest.mark.parametrize(("given", "said"), [({"label": "coking"}, "cooking"), ({"method": "oclusion"}, "occlusion")])
def test_an_unknown_class_or_method_is_refused(explained: Explained, given: dict[str, str], said: str) -> None:
    with pytest.raises(RequestError, match=f"did you mean '{said}'"):
        explained.document("cooking/01.txt", **given)


def test_the_page_of_a_document_that_is_no_pdf_is_said_to_be_none(explained: Explained) -> None:
    assert explained.page("cooking/01.txt").text == "cooking/01.txt: no page can be shown: it is no PDF."
    assert isinstance(explained.mistake_page, Sentence)


def test_of_documents_to_review_both_classes_are_written(make_run: Make, guessing: Classifier) -> None:
    explained = attribute(load_test(make_run(guessing)))
    rows = explanations(explained).to_pylist()
    wrong = int((~explained.right).sum())
    assert wrong > 5
    assert len(rows) == 30 + wrong
    assert all(row["target"] == row["label"] != row["predicted"] for row in rows[30:])
    assert all(row["target"] == row["predicted"] for row in rows[:30])
