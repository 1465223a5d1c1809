"""Several runs side by side: what is the same, what is not, and whether their scores may be compared at all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from lxml import html as lxml_html

from nbpipe.audit import Stamp, write_receipt
from nbpipe.config import Preprocess
from nbpipe.errors import RequestError
from nbpipe.records import PART, write_table
from nbpipe.report.gallery import compare
from nbpipe.run import Run

LISTED = ("path", "label", "part", "predicted")


@pytest.fixture
def tried(make_maker: Callable[[Path], Any], tmp_path: Path) -> Callable[..., Run]:
    """Make a run that was tested on documents, given as name: (content, label, predicted)."""

    def make(place: str, documents: dict[str, tuple[str, str, str]], epochs: int = 7) -> Run:
        maker = make_maker(tmp_path / "runs" / place)
        maker.epochs = epochs
        maker.preprocess(dict.fromkeys(documents, ("ok", "")))
        folder, rows = maker.run.shard(0, 1), documents.items()
        parts = [{"path": name, "sha256": one[0], "bytes": 1, "status": "ok", "pages": ["x"]} for name, one in rows]
        write_table(folder / "part-00000.parquet", pa.Table.from_pylist(parts, PART))
        stamp, plan = Stamp.now(Preprocess(documents=folder, run="elsewhere")), maker.plan.fingerprint
        receipt = write_receipt(folder, "preprocess", stamp, rows=len(parts), plan=plan)
        maker.notebook("preprocess", receipt, "Yes.", shard=0, num_shards=1)
        listed = [dict(zip(LISTED, (name, one[1], "test", one[2]), strict=True)) for name, one in rows]
        write_table(maker.run.model / "documents.parquet", pa.Table.from_pylist(listed))
        maker.train()
        maker.explain()
        return maker.run

    return make


def words_of(index: Path) -> str:
    return " ".join(" ".join(lxml_html.parse(index).getroot().body.itertext()).split())


FIVE = {f"{number}.pdf": (f"d{number}", "cat", "cat") for number in range(5)}
WORSE = {name: (digest, "cat", "dog") for name, (digest, _, _) in FIVE.items()}


def test_runs_tested_on_the_same_documents_are_told_apart_document_by_document(tried) -> None:
    moved = {f"elsewhere/{name}": facts for name, facts in WORSE.items()}
    words = words_of(compare([tried("one", FIVE), tried("two", moved)]))
    assert "Yes, one, two: tested on the same 5 documents with the same labels (test A)." in words
    assert "two (0.000): It is level with one (1.000): only it is right on 0 documents, only one on 5" in words


def test_runs_tested_on_other_documents_or_labels_are_said_not_to_compare(tried) -> None:
    other = {name: (f"{facts[0]}x" if name > "2" else facts[0], "cat", "cat") for name, facts in FIVE.items()}
    labels = {name: (digest, "dog", "dog") for name, (digest, _, _) in FIVE.items()}
    words = words_of(compare([tried("one", FIVE), tried("two", other), tried("three", labels)]))
    shared = "5 of its 5 are in the test of {}, 5 of them with another label."
    assert (
        f"one: tested on documents of its own (test A); 2 of its 5 are in the test of two, {shared.format('three')}"
        in (words)
    )
    assert f"three: tested on documents of its own (test C); {shared.format('one')[:-1]}" in words
    assert "tested on the same" not in words.replace("The same letter: tested on the same", "")


def test_a_run_that_proves_nothing_is_shown_without_scores(tried) -> None:
    one, two = tried("one", FIVE), tried("two", FIVE)
    (two.model / "metrics.json").write_text('{"test": {"accuracy": 1}}')
    words = words_of(compare([one, two]))
    assert "two: what the test documents were cannot be proven, so the scores cannot be compared." in words
    assert "two unknown no scores that can be trusted" in words


def test_what_was_set_differently_is_tabled(tried) -> None:
    words = words_of(compare([tried("one", FIVE), tried("two", FIVE, epochs=9)]))
    assert "train epochs 7 9" in words
    assert "train seed" not in words


def test_nothing_set_differently_is_said(tried) -> None:
    assert "Nothing: all parameters are the same" in words_of(compare([tried("one", FIVE), tried("two", FIVE)]))


def test_scores_documents_time_and_cost_are_side_by_side(tried) -> None:
    words = words_of(compare([tried("one", FIVE), tried("two", FIVE)]))
    assert (
        "one A: 5 documents bag 0 0.900 (0.850 to 0.950) 0.880 (0.800 to 0.930) 0.910 0.250".replace("5", "40", 1)
        in words
    )
    assert "one 5 5 0.50 seconds, not all known" in words


def test_runs_of_one_name_have_reports_of_their_own(tried) -> None:
    index = compare([tried("a/same", FIVE), tried("b/same", WORSE), tried("c/same-2", WORSE)])
    assert index.parent.name == "comparison"
    assert index.parent.parent.name == "a"
    places = lxml_html.parse(index).xpath("//p[@class='links']/a/@href")
    assert places == ["same/index.html", "same-2/index.html", "same-2-3/index.html"]
    assert "Report of same (2)" in words_of(index.parent / places[1])
    assert lxml_html.parse(index.parent / places[1]).xpath("//nav/a/@href") == ["../index.html"]


def test_the_folder_is_whole(tried, tmp_path: Path) -> None:
    out = compare([tried("one", FIVE), tried("two", FIVE)], tmp_path / "shared").parent
    for page in out.rglob("*.html"):
        for link in lxml_html.parse(page).xpath("//a/@href"):
            assert (page.parent / link.partition("#")[0]).resolve().is_relative_to(out)
            assert (page.parent / link.partition("#")[0]).exists()


def test_an_earlier_comparison_is_replaced_and_anything_else_is_not(tried, tmp_path: Path) -> None:
    runs = [tried("one", FIVE), tried("two", FIVE)]
    out = tmp_path / "shared"
    compare(runs, out)
    (out / "old.html").write_text("old")
    compare(runs, out)
    assert not (out / "old.html").exists()
    (tmp_path / "mine").mkdir()
    with pytest.raises(RequestError, match="is there and is no report of ours"):
        compare(runs, tmp_path / "mine")


@pytest.mark.parametrize("place", ["one", "one/report", "."])
def test_a_folder_in_a_run_or_around_it_is_refused(tried, tmp_path: Path, place: str) -> None:
    runs = [tried("one", FIVE), tried("two", FIVE)]
    with pytest.raises(RequestError, match="in a run or around it"):
        compare(runs, tmp_path / "runs" / place)


def test_a_run_named_twice_is_refused(tried) -> None:
    run = tried("one", FIVE)
    with pytest.raises(RequestError, match="is named twice"):
        compare([run, run])
