"""New documents are answered in a stream, through the parser and the words that the model learnt with."""

import csv
import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from nbpipe import predict as module
from nbpipe.audit import Stamp, read_receipt, write_receipt
from nbpipe.config import Train
from nbpipe.errors import RequestError, WorkError
from nbpipe.predict import SCHEMA, predict, write_csv
from nbpipe.preprocess.files import Document
from nbpipe.preprocess.parsed import Parsed
from nbpipe.preprocess.parsers import parser_version
from nbpipe.preprocess.parts import Gathering
from nbpipe.preprocess.sandbox import Outcome
from nbpipe.run import Run
from nbpipe.train.bag import Bag
from nbpipe.train.model import Classifier
from nbpipe.train.text import Vocabulary

WORDS = {"cooking": "oven", "sailing": "mast"}
FILES = {
    "sub/b.txt": "The mast, the mast.",
    "a.txt": "An oven.",
    "c.txt": "Oven and mast.",
    "empty.txt": "",
    "x.zip": "P",
}
MakeRun = Callable[..., Path]
Make = Callable[..., Run]


@pytest.fixture
def make(make_runs: MakeRun, tmp_path: Path) -> Make:
    """Return a function that makes a run with a model that knows a word of each label; facts: of its shards."""

    def run(multi: bool = False, threshold: float = 0.9, **facts: Any) -> Run:
        made = Run(make_runs(tmp_path / "run", {"cooking/1": "oven"}, 1, **{"parser": parser_version(), **facts}))
        vocabulary = Vocabulary(["", *WORDS.values()], [0, 1, 1], 4)
        network = Bag(3, 2, width=2).eval()
        with torch.no_grad():
            network.embedding.weight.copy_(torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]]))
            network.output.weight.copy_(torch.eye(2))
            network.output.bias.fill_(-3.0)
        Classifier(network, vocabulary, list(WORDS), torch.device("cpu"), multi=multi, threshold=threshold).save(
            made.model
        )
        shard = read_receipt(made.shard(0, 1))
        write_receipt(made.model, "train", Stamp.now(Train(run=made.folder)), inputs={shard.folder.name: shard.digest})
        return made

    return run


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "new documents"
    (folder / "sub").mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def rows(tables: Iterator[pl.DataFrame]) -> dict[str, tuple[Any, ...]]:
    """Return label, status and abstain by path."""
    found = pl.concat(tables)
    assert found.schema == SCHEMA
    return {path: tuple(rest) for path, *rest in found.select("path", "label", "status", "abstain").iter_rows()}


def test_every_document_of_a_folder_gets_a_row(make: Make, documents: Path):
    found = rows(predict(make(), documents, "cpu"))
    assert list(found) == ["a.txt", "c.txt", "empty.txt", "sub/b.txt", "x.zip"]
    assert found["a.txt"] == ("cooking", "ok", False)
    assert found["sub/b.txt"] == ("sailing", "ok", False)
    assert found["c.txt"][1:] == ("ok", True)  # as likely one as the other
    assert found["empty.txt"] == (None, "empty", True)
    assert found["x.zip"][::2] == (None, True)


def test_one_file_is_answered_as_in_its_folder(make: Make, documents: Path):
    assert rows(predict(make(), documents / "sub" / "b.txt", "cpu")) == {"b.txt": ("sailing", "ok", False)}


def test_a_file_whose_name_is_no_text_is_answered(make: Make, tmp_path: Path):
    place = tmp_path / "caf\udce9.txt"
    place.write_text("An oven.")
    assert rows(predict(make(), place, "cpu")) == {r"caf\xe9.txt": ("cooking", "ok", False)}


def test_answers_come_in_pieces_in_the_order_of_ids(make: Make, documents: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_CHUNK", 2)
    tables = predict(make(), documents, "cpu")
    assert [table["path"].to_list() for table in tables] == [
        ["a.txt", "c.txt"],
        ["empty.txt", "sub/b.txt"],
        ["x.zip"],
    ]


def test_what_is_parsed_out_of_order_waits_for_its_turn(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_CHUNK", 2)
    groups = {start: [Document(f"{row}", 1, Path()) for row in range(start, start + 2)] for start in (0, 2, 4)}
    outcomes = (Outcome(f"{row}", "", 1, Parsed("ok", []), 0.0, 1) for row in (5, 3, 1, 2, 0, 4))
    found = module._in_order(Gathering(groups), outcomes)
    assert [[outcome.id for outcome in group] for group in found] == [["0", "1"], ["2", "3"], ["4", "5"]]


def test_nothing_is_parsed_before_it_is_asked_for(make: Make, documents: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "parse_all", lambda *_: (pytest.fail("parsed") for _ in range(1)))
    predict(make(), documents, "cpu")


def test_another_run_is_answered_from_its_shards(make: Make, make_runs: MakeRun, tmp_path: Path):
    texts = {"x/2": "mast mast", "x/1": "oven", "y/3": "", "y/4": "words\fon pages: oven"}
    place = make_runs(tmp_path / "other", texts, 2, parser=parser_version())
    found = rows(predict(make(), place, "cpu"))
    assert found == {
        "x/1": ("cooking", "ok", False),
        "x/2": ("sailing", "ok", False),
        "y/3": (None, "empty", True),
        "y/4": ("cooking", "ok", False),
    }


def test_probabilities_are_those_of_the_classifier(make: Make, make_runs: MakeRun, tmp_path: Path):
    run = make()
    (table,) = predict(run, make_runs(tmp_path / "other", {"a": "oven mast mast", "b": ""}, 1, parser=parser_version()))
    _, sure = Classifier.load(run.model, "cpu").answers(pl.Series(["oven mast mast"]))
    assert table["probability"].to_list() == [pytest.approx(sure[0]), None]


def test_several_labels_are_joined_and_none_is_an_answer_too(make: Make, make_runs: MakeRun, tmp_path: Path):
    texts = {"both": "oven mast", "none": "unheard words", "one": "oven"}
    place = make_runs(tmp_path / "other", texts, 1, parser=parser_version())
    found = rows(predict(make(multi=True), place, "cpu"))
    assert [found[name][0] for name in texts] == ["cooking|sailing", "", "cooking"]
    assert not any(abstain for *_, abstain in found.values())


def test_a_model_that_trusts_no_answer_abstains_always(make: Make, make_runs: MakeRun, tmp_path: Path):
    place = make_runs(tmp_path / "other", {"a": "oven"}, 1, parser=parser_version())
    assert rows(predict(make(threshold=math.inf), place, "cpu")) == {"a": ("cooking", "ok", True)}


def test_a_run_of_another_parser_is_refused(make: Make, make_runs: MakeRun, tmp_path: Path):
    place = make_runs(tmp_path / "other", {"a": "oven"}, 1, parser="parser 2")
    with pytest.raises(WorkError, match="documents = 'other': its text is of parser 2, the model learnt from text of"):
        predict(make(), place, "cpu")


def test_files_are_refused_where_this_machine_parses_otherwise(make: Make, documents: Path):
    with pytest.raises(WorkError, match=r"the model learnt from text of parser 1, this machine has .*; install that"):
        predict(make(parser="parser 1"), documents, "cpu")


def test_a_damaged_shard_of_the_other_run_is_refused(make: Make, make_runs: MakeRun, tmp_path: Path):
    place = make_runs(tmp_path / "other", {"a": "oven"}, 1, parser=parser_version())
    (Run(place).shard(0, 1) / "part-00000.parquet").write_bytes(b"PAR1")
    with pytest.raises(WorkError, match=r"part-00000\.parquet does not match its digest"):
        predict(make(), place, "cpu")


def test_a_damaged_model_is_refused(make: Make, documents: Path):
    run = make()
    (run.model / "labels.json").write_text('["x", "y"]')
    with pytest.raises(WorkError, match=r"labels\.json does not match its digest"):
        predict(run, documents, "cpu")


def test_a_run_without_a_model_is_refused(make_runs: MakeRun, tmp_path: Path, documents: Path):
    with pytest.raises(WorkError, match="model: has no receipt"):
        predict(Run(make_runs(tmp_path / "run", {"a/1": "oven"}, 1)), documents, "cpu")


def test_where_there_is_nothing_to_read_it_says_so(make: Make, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestError, match="documents = 'nowhere': no such folder or file"):
        predict(make(), tmp_path / "nowhere", "cpu")
    with pytest.raises(RequestError, match="documents: the folder holds no documents"):
        predict(make(), tmp_path / "empty", "cpu")
    with pytest.raises(RequestError, match=r"run = 'empty': no run folder \(it holds no plan\.json\)"):
        predict(Run(tmp_path / "empty"), tmp_path, "cpu")


def test_documents_are_read_with_the_widest_limits_of_the_shards(make: Make, rewrite: Callable[..., None]):
    run = make()
    shard = read_receipt(run.shard(0, 1))
    config = shard.facts["config"]
    rewrite(run, 0, 1, {"a": "x"}, parser=parser_version(), config=config | {"timeout": 90.0, "ocr": "auto"})
    options = module._options([shard, read_receipt(run.shard(0, 1))])
    assert (options.timeout, options.ocr) == (90.0, "auto")


def test_csv_holds_any_name_and_label(tmp_path: Path):
    names = ['a,"b".txt', "line\nbreak", "carriage\rreturn", "=1+1", "naïve \u202e", " space ", '"', ""]
    table = pl.DataFrame(
        [(name, "x|y,z", 0.123456, "ok", False) for name in names] + [("none", None, None, "empty", True)],
        schema=SCHEMA,
        orient="row",
    )
    out = io.StringIO()
    assert write_csv(iter([table[:3], table[3:]]), out) == len(names) + 1
    found = list(csv.reader(io.StringIO(out.getvalue(), newline="")))
    assert found[0] == list(SCHEMA)
    assert [row[0] for row in found[1:]] == [*names, "none"]
    assert found[1][1:] == ["x|y,z", "0.1235", "ok", "false"]
    assert found[-1] == ["none", "", "", "empty", "true"]
    assert out.getvalue().count("path,label") == 1


def test_csv_is_written_as_answers_come(tmp_path: Path):
    table, out = pl.DataFrame([("a", "x", 0.5, "ok", False)], schema=SCHEMA, orient="row"), io.StringIO()

    def tables() -> Iterator[pl.DataFrame]:
        yield table
        assert out.getvalue().endswith("a,x,0.5000,ok,false\n")

    assert write_csv(tables(), out) == 1
