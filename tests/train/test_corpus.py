"""Documents are read once, whatever the shards' order, and know where they lie only as far as that may be shown."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nbpipe.config import Train
from nbpipe.errors import RequestError, WorkError
from nbpipe.run import Run
from nbpipe.train import corpus, shards
from nbpipe.train.corpus import Documents, read_documents

LONG = " ".join(f"word{number}" for number in range(60))
TEXTS = {"b/1": "two words\fmore words", "a/2": "", "a/1": "one", "c": LONG, "b/3": f"{LONG} more", "b/2": "one"}
MakeRun = Callable[..., Path]


@pytest.fixture
def config(make_run: MakeRun) -> Train:
    return Train(run=make_run(TEXTS))


def words_of(documents: Documents) -> list[dict[str, int]]:
    """Return the counted words of each usable document."""
    counts = documents.counts
    entries = [slice(*counts.offsets[row : row + 2]) for row in range(len(counts))]
    return [
        dict(zip(counts.words.gather(counts.columns[own]), counts.times[own].tolist(), strict=True)) for own in entries
    ]


def test_documents_are_counted(config: Train):
    documents = read_documents(config)
    assert documents.tally == {"documents": 6, "usable": 5, "labelled": 4, "unlabelled": 1}
    assert "label b" in repr(documents)


def test_documents_are_sorted_by_path_and_their_words_with_them(config: Train):
    documents = read_documents(config)
    assert documents.table["path"].to_list() == sorted(TEXTS)
    assert documents.usable["path"].to_list() == ["a/1", "b/1", "b/2", "b/3", "c"]
    assert words_of(documents)[:3] == [{"one": 1}, {"more": 1, "two": 1, "words": 2}, {"one": 1}]


def test_the_size_of_the_pieces_changes_nothing(config: Train, monkeypatch: pytest.MonkeyPatch):
    whole = read_documents(config)
    monkeypatch.setattr(shards, "_PIECE", 1)
    pieces = read_documents(config)
    assert pieces.table.equals(whole.table)
    assert words_of(pieces) == words_of(whole)


def test_copies_and_near_copies_are_found_across_shards(config: Train):
    usable = read_documents(config).usable
    copy, twin = (dict(usable.select("path", name).iter_rows()) for name in ("copy", "twin"))
    assert copy["a/1"] == copy["b/2"] != copy["b/1"]
    assert (twin["c"] == twin["b/3"], copy["c"] == copy["b/3"]) == (True, False)


def test_texts_come_with_the_places_of_their_documents(config: Train):
    documents = read_documents(config)
    found = dict(row for piece in documents.texts() for row in piece.iter_rows())
    paths = documents.usable["path"]
    assert {paths[row]: text for row, text in found.items()} == {
        path: text.replace("\f", "\n") for path, text in TEXTS.items() if text
    }


def test_a_sample_holds_the_documents_it_names(config: Train):
    documents = read_documents(config)
    sample, rows = documents.sample(np.array([1, 2, 4]), most=2)
    assert len(rows) == len(sample.counts) == 2
    assert set(rows) < {1, 2, 4}
    assert words_of(sample) == [words_of(documents)[row] for row in rows]
    assert sample.usable["path"].to_list() == documents.usable["path"].gather(rows).to_list()


def test_reading_order_and_pairs_are_kept_where_they_are_asked_for(config: Train):
    assert read_documents(config).counts.sequence is None
    assert len(read_documents(config.model_copy(update={"model": "gru"})).counts.sequence.words) == 6 + 60 + 61
    assert "word8 word9" in read_documents(config.model_copy(update={"bigrams": True})).counts.words


def test_labels_come_from_the_csv_where_there_is_one(config: Train, tmp_path: Path):
    (tmp_path / "labels.csv").write_text("path,label,group\nc,y | x,g\na/1,,\n")
    documents = read_documents(config.model_copy(update={"labels": tmp_path / "labels.csv"}))
    assert documents.tally["labelled"] == 1
    assert documents.usable.select("labels", "group").row(4) == (["x", "y"], "g")


def test_labels_are_judged_before_texts_are_read(config: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "labels.csv").write_text("path,label\nnowhere,x\n")
    monkeypatch.setattr(corpus, "stream_texts", lambda _: pytest.fail("texts were read"))
    with pytest.raises(RequestError, match="paths are no documents of this run: 'nowhere'"):
        read_documents(config.model_copy(update={"labels": tmp_path / "labels.csv"}))


@pytest.mark.parametrize("texts", [{"a/1": "", "b/1": ""}, {}])
def test_a_run_without_text_is_refused(make_run: MakeRun, texts: dict[str, str]):
    with pytest.raises(WorkError, match=f"none of {len(texts)} documents became text"):
        read_documents(Train(run=make_run(texts)))


def test_shards_without_parts_are_refused(config: Train, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(corpus, "stream_texts", lambda _: iter([]))
    with pytest.raises(WorkError, match="the shards hold no documents"):
        read_documents(config)


def test_a_document_in_two_shards_is_refused(config: Train, rewrite: Callable[..., None]):
    rewrite(Run(config.run), 1, 2, {"a/1": "one", "a/2": "two", "b/2": "three"})
    with pytest.raises(WorkError, match="1 documents stand in two shards, such as 'a/1'"):
        read_documents(config)


@pytest.fixture
def linked(make_runs: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Documents]:
    """Return a function that reads a run below the working directory whose documents lie in the folder given."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here" / "notebooks").mkdir(parents=True)
    (tmp_path / "here" / "notebooks" / "preprocess.ipynb").touch()

    def read(place: str, run: str = "here/runs/r") -> Documents:
        folder = make_runs(tmp_path / run, TEXTS)
        Run(folder).remember_documents(tmp_path / place)
        return read_documents(Train(run=folder))

    return read


@pytest.mark.parametrize(("where", "link"), [("here", "../../../papers/b/1"), ("here/notebooks", "../papers/b/1")])
def test_a_link_leads_from_the_notebook_to_the_document(
    linked: Callable[..., Documents], monkeypatch: pytest.MonkeyPatch, where: str, link: str
):
    documents = linked("here/papers")
    monkeypatch.chdir(where)
    assert documents.link("b/1") == link


@pytest.mark.parametrize(("place", "run"), [("elsewhere", "here/runs/r"), ("here/papers", "elsewhere/runs/r")])
def test_there_is_no_link_out_of_the_working_directory(
    linked: Callable[..., Documents], monkeypatch: pytest.MonkeyPatch, place: str, run: str
):
    documents = linked(place, run)
    monkeypatch.chdir("here")
    assert documents.link("b/1") == ""


def test_there_is_no_link_where_nobody_noted_the_documents(config: Train):
    assert read_documents(config).link("b/1") == ""
