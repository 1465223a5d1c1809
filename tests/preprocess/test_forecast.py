"""A forecast says hours, machines and dollars before they are spent, from what a sample took."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from nbpipe.audit import as_json, digested, with_digest
from nbpipe.cost import Terms
from nbpipe.errors import RequestError, WorkError
from nbpipe.preprocess import forecast as module
from nbpipe.preprocess.files import Document, list_documents
from nbpipe.preprocess.forecast import Forecast, Trial, foresee, given, keep, kept, measure
from nbpipe.preprocess.options import Options
from nbpipe.preprocess.parsed import Parsed
from nbpipe.preprocess.sampling import Total
from nbpipe.preprocess.trial import warm_seconds
from nbpipe.preprocess.worker import Outcome
from nbpipe.run import Run


def job(seconds: float = 20_000, **terms: float) -> Forecast:
    """Return the forecast of 10,000 documents whose slowest takes a minute, with an interval of a half around it."""
    return Forecast(10_000, 200, Total(seconds, seconds / 1.5, seconds * 1.5), 1.0, 4.0, 60.0, Terms(**terms))


def test_ten_thousand_files_of_two_seconds_take_one_worker_5_6_hours_and_ten_machines_33_minutes() -> None:
    shown = repr(given(10_000, 2, Terms()))
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert "core-hours of all documents 5.6" in lines
    assert "1 5.6 hours 5.6 hours $3.06 no" in lines
    assert "10 33 minutes 33 minutes $3.06 yes" in lines
    assert "3 machines do it in 2 hours; expected are 1.9 hours and $3.06." in lines
    assert "would take 5.6 hours and cost $27.78 instead of $3.06." in shown


def test_the_smallest_number_of_machines_is_judged_at_the_upper_end() -> None:
    assert (job(deadline=3600).smallest, given(10_000, 2, Terms(deadline=3600)).smallest) == (9, 6)
    assert job(deadline=3600, cores=4).smallest == 3
    assert job(deadline=30_000).smallest == 1
    assert job(deadline=30_000 / 7).smallest == 7


def test_no_number_of_machines_is_faster_than_the_slowest_document() -> None:
    forecast = job(deadline=59)
    assert forecast.smallest is None
    assert forecast.answer.text == (
        "No number of machines does it in 59 seconds: the slowest document alone takes 60 seconds."
    )
    assert forecast.seconds(10_000) == 60


def test_machines_that_would_have_nothing_to_do_get_no_row() -> None:
    assert job().machines == [1, 2, 5, 10, 20, 50, 100]
    assert given(30, 2, Terms(cores=2)).machines == [1, 2, 5, 10]
    assert job(seconds=400).machines == [1, 2, 5, 10]


def test_machines_bound_by_one_document_cost_more_than_they_save() -> None:
    forecast = job(seconds=600)
    assert forecast.seconds(20) == forecast.seconds(50) == 60
    assert forecast.dollars(50) == pytest.approx(2.5 * forecast.dollars(20))


def test_core_hours_have_the_digits_that_matter() -> None:
    said = [next(line for line in repr(job(seconds)).splitlines() if "core-hours" in line) for seconds in (1, 60, 1e6)]
    assert [line.split("documents")[1].strip() for line in said] == [
        "under 0.001 (under 0.001 to under 0.001)",
        "0.017 (0.011 to 0.025)",
        "277.8 (185.2 to 416.7)",
    ]


@pytest.fixture
def documents(tmp_path: Path) -> list[Document]:
    """Forty documents of two kinds."""
    (tmp_path / "documents").mkdir()
    for index in range(20):
        (tmp_path / "documents" / f"{index}.txt").write_text("word " * (index + 1))
        (tmp_path / "documents" / f"{index}.html").write_text("<p>word</p>" * (index + 1))
    return list_documents(tmp_path / "documents")


def test_a_sample_is_parsed_and_scaled_to_all_documents(
    documents: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "measure", lambda sample, trial: {one.id: 0.5 for one in sample})
    found = foresee(documents, Trial(12, 2, Options()), Terms())
    assert (found.documents, found.sampled, found.shard) == (40, 12, None)
    assert found.whole.seconds == pytest.approx(20)
    assert (found.p50, found.p90, found.slowest) == (0.5, 0.5, 0.5)


def test_a_shard_stands_for_the_job_that_it_is_part_of(
    documents: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "measure", lambda sample, trial: {one.id: 0.5 for one in sample})
    size = sum(document.bytes for document in documents)
    found = foresee(documents, Trial(12, 2, Options()), Terms(), [400, 10 * size])
    assert (found.documents, found.shard.seconds) == (400, pytest.approx(20))
    assert found.whole.seconds == pytest.approx(200)
    assert "this shard, 2 processes" in repr(found)
    assert found.facts()["predicted_seconds"] == found.shard.seconds


def test_every_sampled_document_is_measured_by_the_real_processes(documents: list[Document]) -> None:
    found = measure(documents, Trial(40, 2, Options()))
    assert found.keys() == {document.id for document in documents}
    assert min(found.values()) > 0


def test_loading_a_parser_is_taken_off_the_first_document_and_nothing_of_one_that_was_ended() -> None:
    read = Outcome("a", "", 1, Parsed("ok", parser="0.75", pages=["text"]), 1.0, 0)
    ended = Outcome("b", "", 1, Parsed("timeout", "took longer than 60 s"), 60.0, 0)
    assert [warm_seconds(read), warm_seconds(ended)] == [0.25, 60.0]


def test_a_document_that_runs_out_of_time_counts_its_seconds(
    documents: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(sample: list[Document], *_: object) -> Iterator[Outcome]:
        return (Outcome(one.id, "", 1, Parsed("timeout"), 60.0, 0) for one in sample)

    monkeypatch.setattr(module, "parse_all", ended)
    assert foresee(documents, Trial(12, 1, Options()), Terms()).whole.seconds == pytest.approx(40 * 60)


def test_a_sample_of_one_says_nothing(documents: list[Document]) -> None:
    with pytest.raises(RequestError, match="sample = 1: accepted is a whole number, 2 or more"):
        foresee(documents, Trial(1, 1, Options()), Terms())


def test_what_was_kept_is_read_back_as_it_was(tmp_path: Path) -> None:
    run, forecast = Run(tmp_path / "run"), job(vm_price=0.1, deadline=60, cores=3)
    assert kept(run) is None
    keep(forecast, run)
    assert kept(run) == forecast
    assert json.loads(run.forecast.read_bytes())["terms"]["vm_price"] == 0.1


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts | {"p50": "<b>"},
        lambda facts: facts | {"documents": -1},
        lambda facts: facts | {"whole": {"seconds": 9, "low": 10, "high": 11}},
        lambda facts: facts | {"terms": {"vm_price": "free"}},
        lambda facts: facts | {"host": "x"},
        lambda facts: [facts],
        lambda facts: {},
    ],
)
def test_a_damaged_forecast_is_named(change: Callable, tmp_path: Path) -> None:
    run = Run(tmp_path)
    facts = change(digested(job().encode()))
    run.forecast.write_bytes(with_digest(facts) if isinstance(facts, dict) else as_json(facts))
    with pytest.raises(WorkError, match=r"forecast.json: damaged; make it again with `nbpipe plan`"):
        kept(run)


@pytest.mark.parametrize(
    "forecast",
    [
        job(),
        job(deadline=59),
        job(seconds=1e9),
        job(seconds=0.01),
        given(10_000, 2, Terms()),
        given(1, 2, Terms(cores=64)),
    ],
)
def test_the_picture_is_small_sharp_and_says_in_words_what_it_shows(forecast: Forecast) -> None:
    data, facts = forecast.picture._repr_png_()
    assert len(data) < 25_000
    assert facts == {"width": 700}
    with Image.open(io.BytesIO(data)) as image:
        assert image.width == 1400
        assert len(image.convert("RGB").getcolors(1 << 16)) > 4
    assert repr(forecast.picture).endswith(forecast.answer.text)
