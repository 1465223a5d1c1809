"""From shards to a model folder that says what it is: on ordinary documents and on odd ones."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from nbpipe.audit import Stamp, differences, trusted
from nbpipe.config import Train
from nbpipe.errors import RequestError, WorkError
from nbpipe.run import Run
from nbpipe.train.checkpoint import NAME
from nbpipe.train.model import Classifier
from nbpipe.train.shards import check_shards
from nbpipe.train.stage import save

Stage = Callable[[Train], Any]
MakeRun = Callable[..., Path]
Odd = Callable[..., Any]


@pytest.fixture
def model(done: Any) -> Path:
    """The model folder of the run that is only read."""
    return done.config.run / "model"


@pytest.fixture
def metrics(model: Path) -> dict[str, Any]:
    return json.loads((model / "metrics.json").read_bytes())


@pytest.fixture
def odd(stage: Stage, make_run: MakeRun, tmp_path: Path) -> Odd:
    """Run the stage on texts by path, with labels by path in a CSV where they are given, and parameters."""

    def run(texts: dict[str, str], labels: dict[str, str] | None = None, **parameters: Any) -> Any:
        if labels is not None:
            rows = ["path,label", *(f"{path},{label}" for path, label in labels.items())]
            (tmp_path / "labels.csv").write_text("\n".join(rows))
            parameters["labels"] = tmp_path / "labels.csv"
        return stage(Train(run=make_run(texts), **{"device": "cpu", "epochs": 6, **parameters}))

    return run


def noisy(**numbers: int) -> dict[str, str]:
    """Return so many texts of each label, whose words are mostly shared."""
    chance = np.random.default_rng(0)
    common = [f"common{number}" for number in range(30)]
    return {
        f"{label}/{row:03d}": " ".join([*chance.choice(common, 20), f"{label}{chance.integers(4)}", f"id{label}{row}"])
        for label, number in numbers.items()
        for row in range(number)
    }


def comparable(folder: Path) -> dict[str, Any]:
    """Return what metrics.json says, less what was timed."""
    found = json.loads((folder / "metrics.json").read_bytes())
    return {name: value for name, value in found.items() if name not in ("seconds", "devices", "advice")}


def test_the_receipt_vouches_for_every_file(done: Any, model: Path):
    assert set(done.receipt.facts["files"]) == {
        "README.md",
        "config.json",
        "curves.jsonl",
        "documents.parquet",
        "labels.json",
        "metrics.json",
        "neighbours.parquet",
        "vocabulary.json",
        "weights.safetensors",
    }
    assert differences(trusted(model)) == []
    assert trusted(model).digest == done.receipt.digest


def test_the_receipt_names_the_shards(done: Any):
    inputs = {shard.folder.name: shard.digest for shard in check_shards(Run(done.config.run))}
    assert done.receipt.facts["inputs"] == inputs == done.documents.inputs


def test_the_receipt_tells_the_predicted_and_the_measured_seconds(done: Any, metrics: dict[str, Any]):
    seconds = metrics["seconds"]
    cost = {"predicted_seconds": seconds["fit_expected"], "seconds": seconds["fit"], "device": "cpu"}
    assert done.receipt.facts["cost"] == cost


def test_the_checkpoint_is_gone_when_the_model_is_kept(done: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Run, "model", property(lambda _: tmp_path))
    (tmp_path / NAME).touch()
    save(done.evaluation, done.second, done.worth, Stamp.now(done.config))
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_curves_hold_every_epoch(done: Any, model: Path):
    lines = [json.loads(line) for line in (model / "curves.jsonl").read_text().splitlines()]
    training = done.evaluation.training
    assert [line["step"] for line in lines] == list(range(1, len(training.history) + len(training.again) + 1))
    assert {"loss", "validation_loss", "validation_accuracy"} < lines[0].keys()


def test_metrics_hold_scores_with_intervals_calibration_and_growth(metrics: dict[str, Any]):
    assert {"accuracy", "macro_f1"} <= metrics["test"].keys()
    assert set(metrics["baselines"]) == {"majority", "linear_svc"}
    assert set(metrics["intervals"]["bag"]["accuracy"]) == {"value", "low", "high"}
    assert {"temperature", "ece", "ece_before"} <= metrics["calibration"].keys()
    assert {"threshold", "target", "share", "accuracy"} == metrics["coverage"].keys()
    assert [point["documents"] for point in metrics["growth"]["accuracy"]] == [6, 12, 24, 48]
    assert metrics["label_errors"]["documents"] == 60


def test_metrics_count_documents_and_labels(metrics: dict[str, Any]):
    assert set(metrics["per_class"]) == {"cooking", "sailing", "sky"}
    assert metrics["documents"]["unlabelled"] == 1
    assert {row["family"] for row in metrics["devices"]} == {"bag", "gru", "attention"}
    assert metrics["advice"].startswith("Stay on the VM")


def test_every_document_is_listed_with_its_part(done: Any, model: Path):
    rows = {row["path"]: row for row in pl.read_parquet(model / "documents.parquet").iter_rows(named=True)}
    assert len(rows) == 62
    assert (rows["sky/empty.txt"]["part"], rows["sky/empty.txt"]["predicted"]) == ("unusable", None)
    loose = rows["loose.txt"]
    assert (loose["part"], loose["label"], loose["predicted"]) == ("unlabelled", None, "sailing")


def test_the_saved_model_gives_the_listed_answers(done: Any, model: Path, made: dict[str, str]):
    listed = pl.read_parquet(model / "documents.parquet").drop_nulls("predicted")
    texts = made | {"loose.txt": "wind sail harbour mast"}
    labels, sure = Classifier.load(model, "cpu").answers(pl.Series([texts[path] for path in listed["path"]]))
    assert labels == listed["predicted"].to_list()
    assert sure == pytest.approx(listed["probability"].to_numpy(), abs=1e-6)


def test_the_card_is_one_the_hub_reads(model: Path, metrics: dict[str, Any]):
    card = pytest.importorskip("huggingface_hub").ModelCard.load(model / "README.md")
    found = {result.metric_name: result.metric_value for result in card.data.eval_results}
    assert found == {
        "accuracy": round(metrics["test"]["accuracy"], 4),
        "macro F1": round(metrics["test"]["macro_f1"], 4),
    }


def test_what_the_card_says_of_loading_runs(model: Path, monkeypatch: pytest.MonkeyPatch):
    (snippet,) = re.findall(r"```python\n(.*?)```", (model / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(model.parent)
    names: dict[str, Any] = {}
    exec(snippet, names)
    assert names["labels"][0] in ("cooking", "sailing", "sky")
    assert names["confidence"].shape == (1,)


def test_the_model_folder_holds_no_path_of_the_machine(model: Path, done: Any):
    texts = [path.read_text() for path in model.glob("*") if path.suffix in (".json", ".md", ".jsonl")]
    assert len(texts) == 7
    assert not any(str(done.config.run.parent) in text for text in texts)


def test_training_again_gives_the_same_metrics_and_weights(done: Any, stage: Stage, model: Path, tmp_path: Path):
    folder = shutil.copytree(done.config.run, tmp_path / "run")
    stage(Train(run=folder, device="cpu", epochs=8))
    assert comparable(folder / "model") == comparable(model)
    assert (folder / "model" / "weights.safetensors").read_bytes() == (model / "weights.safetensors").read_bytes()


def test_the_old_receipt_is_gone_before_anything_is_written(done: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = shutil.copytree(done.config.run, tmp_path / "run")
    seen = []

    def fail(*_: object) -> None:
        seen.append(sorted(path.name for path in folder.glob("model/*.json")))
        raise OSError("disk full")

    monkeypatch.setattr(Run, "model", property(lambda _: folder / "model"))
    monkeypatch.setattr(Classifier, "save", fail)
    (folder / "model" / NAME).touch()
    with pytest.raises(OSError, match="disk full"):
        save(done.evaluation, done.second, done.worth, Stamp.now(done.config))
    assert seen == [["config.json", "labels.json", "metrics.json"]]
    assert (folder / "model" / NAME).exists()


def test_nothing_of_a_model_of_another_family_stays(done: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "model"
    (folder / "encoder").mkdir(parents=True)
    (folder / "encoder" / "config.json").touch()
    monkeypatch.setattr(Run, "model", property(lambda _: folder))
    receipt = save(done.evaluation, done.second, done.worth, Stamp.now(done.config))
    assert receipt.facts["files"].keys() == done.receipt.facts["files"].keys()


@pytest.mark.parametrize("model_name", ["gru", "attention"])
def test_families_that_read_windows_leave_the_same_folder(odd: Odd, made: dict[str, str], model_name: str):
    done = odd(made, model=model_name, epochs=1)
    folder = done.config.run / "model"
    listed = pl.read_parquet(folder / "documents.parquet")
    labels, sure = Classifier.load(folder, "cpu").answers(pl.Series([made[path] for path in listed["path"]]))
    assert labels == listed["predicted"].to_list()
    assert sure == pytest.approx(listed["probability"].to_numpy(), abs=1e-5)
    assert "windows of at most" in (folder / "README.md").read_text()
    assert "vocabulary.json" in done.receipt.facts["files"]


def test_a_pretrained_encoder_goes_through_the_whole_stage(odd: Odd, made: dict[str, str], tiny_encoder: Path):
    done = odd(made, model="pretrained", encoder=str(tiny_encoder), freeze=True, epochs=1)
    folder = done.config.run / "model"
    assert {"encoder/config.json", "encoder/tokenizer.json"} < done.receipt.facts["files"].keys()
    assert "vocabulary.json" not in done.receipt.facts["files"]
    assert Classifier.load(folder, "cpu").facts["encoder"] == tiny_encoder.name
    assert str(tiny_encoder.parent) not in "".join(path.read_text() for path in folder.rglob("*.json"))


def test_documents_with_several_labels_are_learnt(odd: Odd, made: dict[str, str]):
    labels = {path: path.split("/")[0] for path in made}
    texts = made | {f"both/{i:02d}": f"{made[f'sky/{i:02d}.txt']} {made[f'cooking/{i:02d}.txt']}" for i in range(15)}
    done = odd(texts, labels | {path: "sky | cooking" for path in texts if path.startswith("both")}, epochs=12)
    folder = done.config.run / "model"
    found = json.loads((folder / "metrics.json").read_bytes())
    listed = pl.read_parquet(folder / "documents.parquet").filter(pl.col("path").str.starts_with("both"))
    assert Classifier.load(folder, "cpu").multi
    assert set(listed["label"]) == {"cooking|sky"}
    assert found["test"]["micro_f1"] > 0.85
    assert (listed["predicted"] == "cooking|sky").mean() > 0.8
    assert done.evaluation.verdict.text.startswith("Yes: better")


def test_of_a_rare_label_more_is_found_where_labels_weigh_the_same(odd: Odd):
    texts = noisy(many=200, few=20)
    plain, balanced = (odd(texts, weighting=name, seed=1).evaluation.test for name in ("none", "balanced"))
    assert plain.truth.sum(axis=0).tolist() == [4, 40]
    assert plain.accuracy > 0.9 > 0.6 > plain.macro_f1
    assert balanced.macro_f1 > plain.macro_f1 + 0.2


def test_a_label_of_a_few_documents_among_many_is_learnt_and_tested(odd: Odd):
    done = odd(noisy(many=200, few=4), weighting="balanced")
    assert done.evaluation.parts.truth.sum(axis=0).tolist() == [4, 200]
    found = json.loads((done.config.run / "model" / "metrics.json").read_bytes())
    assert found["per_class"]["few"]["documents"] == 1
    assert found["test"]["macro_f1"] < found["test"]["accuracy"]


def test_unlabelled_documents_are_answered_and_not_learnt(odd: Odd, made: dict[str, str]):
    labels = {path: path.split("/")[0] for path in made if path[-5] != "7"}
    done = odd(made, labels)
    listed = pl.read_parquet(done.config.run / "model" / "documents.parquet").filter(part="unlabelled")
    assert len(listed) == 6
    assert listed["label"].null_count() == 6
    assert [path.split("/")[0] for path in listed["path"]] == listed["predicted"].to_list()
    assert not {"number7", "number17"} & set(done.evaluation.training.classifier.vocabulary.words)


@pytest.mark.parametrize("weighting", ["none", "balanced"])
def test_a_corpus_of_a_few_documents_trains(odd: Odd, weighting: str):
    done = odd(noisy(a=3, b=3), weighting=weighting)
    assert done.evaluation.verdict.text.startswith("No: not shown to be better than guessing")
    assert done.second.growth.sizes[-1] == 4


def test_rare_labels_are_dropped_and_their_documents_still_answered(odd: Odd):
    done = odd(noisy(a=10, b=10, c=2))
    found = json.loads((done.config.run / "model" / "metrics.json").read_bytes())["documents"]
    assert (found["set_aside"], found["merged"], found["unlabelled"]) == ({"c": 2}, {}, 2)


def test_rare_labels_are_merged_on_demand(odd: Odd):
    done = odd(noisy(a=10, b=10, c=2, d=2), rare="merge")
    found = json.loads((done.config.run / "model" / "metrics.json").read_bytes())
    assert found["documents"]["merged"] == {"c": 2, "d": 2}
    assert set(found["per_class"]) == {"a", "b", "other"}


def test_rare_labels_are_refused_on_demand(odd: Odd):
    with pytest.raises(
        RequestError, match=r"rare = 'refuse': 1 labels cannot be split: 'c' \(2 documents in 2 units\)"
    ):
        odd(noisy(a=10, b=10, c=2), rare="refuse")


@pytest.mark.parametrize(
    ("texts", "labels", "said"),
    [
        (noisy(a=10), None, "all labelled documents have the label 'a'; a classifier needs two labels"),
        (noisy(a=1, b=1), None, "0 of 2 labels are in 3 units or more"),
        ({f"{label}/{i}": "the very same words" for label in "ab" for i in range(10)}, None, "0 of 2 labels are in 3"),
        (noisy(a=10, b=10), {}, "no document is labelled; put documents into one folder per label, or give a CSV"),
        ({f"loose{i}": f"text {i}" for i in range(9)}, None, "no document is labelled"),
        (noisy(a=5), {f"a/00{i}": "x|y" for i in range(5)}, "all 5 labelled documents have the same 2 labels"),
    ],
)
def test_a_corpus_that_tells_nothing_apart_is_refused(
    odd: Odd, texts: dict[str, str], labels: dict[str, str] | None, said: str
):
    with pytest.raises(RequestError, match=f"labels: {said}"):
        odd(texts, labels)


@pytest.mark.parametrize("model_name", ["bag", "gru"])
def test_documents_without_words_are_refused(odd: Odd, model_name: str):
    texts = {f"{label}/{i}": "? " * (1 + i * 5) + label for label in "ab" for i in range(10)}
    with pytest.raises(WorkError, match="the documents to learn from hold no words"):
        odd(texts, model=model_name)


def test_a_label_may_hold_any_characters(odd: Odd):
    hostile = {"a": '"<script>, ""x"""', "b": "=cmd|' |é\u202e"}
    texts = noisy(a=10, b=10)
    done = odd({f"{hostile[path[0]].replace('/', '')}/{path[2:]}": text for path, text in texts.items()})
    folder = done.config.run / "model"
    assert json.loads((folder / "labels.json").read_bytes()) == sorted(hostile.values())
    assert "<script>" not in (folder / "README.md").read_text()
    assert not Classifier.load(folder, "cpu").multi
