"""The index tells what each stage was expected to take and what it took, or why it cannot."""

from typing import Any

import pytest
from lxml import html as lxml_html

from nbpipe.audit import Stamp, read_receipt, write_receipt
from nbpipe.config import Explain, Preprocess, Train
from nbpipe.cost import Terms
from nbpipe.preprocess.forecast import Forecast, keep
from nbpipe.preprocess.sampling import Total
from nbpipe.report.evidence import gather
from nbpipe.report.site import build
from nbpipe.report.spending import Spending, spendings

DOCUMENTS = {f"a/{index}.pdf": ("ok", "") for index in range(4)}


def forecast(documents: int = 4, **terms: Any) -> Forecast:
    """Return what `nbpipe plan` would have kept."""
    total = Total(7200.0, 3600.0, 10_800.0)
    return Forecast(documents, 2, total, 1.0, 2.0, 3.0, Terms(**terms))


def rows(maker) -> list[Spending]:
    """Return the rows of the run, by stage."""
    return spendings(gather(maker.run))


def with_cost(maker, stage: str, device: str = "cpu", **cost: Any) -> None:
    """Write the receipt of a stage's folder again, with what it says of cost, and its notebook."""
    folder = maker.run.of(stage, 0, 1)
    facts = read_receipt(folder).facts
    kinds = {"preprocess": Preprocess, "train": Train, "explain": Explain}
    given = {"documents": folder, "run": "elsewhere"} if stage == "preprocess" else {"run": maker.run.folder}
    stamp = Stamp.now(kinds[stage](**given), device)
    own = {name: facts[name] for name in ("rows", "plan", "inputs") if name in facts}
    receipt = write_receipt(folder, stage, stamp, cost=cost, **own)
    maker.notebook(stage, receipt, "Yes.", **({"shard": 0, "num_shards": 1} if stage == "preprocess" else {}))


def test_a_plan_is_compared_with_the_ledgers_at_its_own_price(maker) -> None:
    maker.preprocess(DOCUMENTS, num_shards=2)
    keep(forecast(vm_price=1.0, cores=2), maker.run)
    assert rows(maker)[0] == Spending(
        "preprocess",
        "2 hours of core-time (60 minutes to 3 hours), as planned",
        "0.40 seconds of core-time",
        "$1.00",
        "under $0.01",
        "$1.00 an hour, as planned; 2 cores a machine",
    )


def test_without_a_plan_the_shards_own_trials_are_summed(maker) -> None:
    maker.preprocess(DOCUMENTS)
    with_cost(maker, "preprocess", predicted_seconds=7200.0, vm_price=0.5, cores=4)
    row = rows(maker)[0]
    assert row.predicted == "2 hours of core-time, by the shards' own trials"
    assert (row.predicted_dollars, row.price) == ("$0.25", "$0.50 an hour, as in the receipts; 4 cores a machine")


def test_train_and_explain_are_priced_by_their_device(maker) -> None:
    maker.preprocess(DOCUMENTS)
    maker.train()
    with_cost(maker, "train", device="cuda", predicted_seconds=7200.0, seconds=3600.0, device_name="x")
    maker.explain()
    with_cost(maker, "explain", predicted_seconds=60.0, seconds=36_000.0)
    assert rows(maker)[1:] == [
        Spending("train", "2 hours", "60 minutes", "$10.00", "$5.00", "$5.00 an hour, the usual price"),
        Spending("explain", "60 seconds", "10 hours", "under $0.01", "$5.50", "$0.55 an hour, the usual price"),
    ]


def test_what_is_missing_is_said_and_never_guessed(maker) -> None:
    maker.preprocess(DOCUMENTS)
    maker.train()
    preprocess, train, explain = rows(maker)
    assert preprocess.predicted == "unknown: neither `nbpipe plan` nor a receipt kept it"
    assert preprocess.price == "unknown: no forecast or receipt says how many cores a machine has"
    assert (preprocess.actual, preprocess.actual_dollars) == ("0.40 seconds of core-time", "")
    assert (train.predicted, train.actual, train.actual_dollars) == (*["not kept in its receipt"] * 2, "")
    assert (explain.predicted, explain.actual, explain.price) == ("not finished", "not finished", "")


def test_a_receipt_that_does_not_hold_gives_no_figures(maker) -> None:
    maker.preprocess(DOCUMENTS)
    maker.train()
    with_cost(maker, "train", predicted_seconds=7200.0, seconds=3600.0)
    (maker.run.model / "metrics.json").write_text("{}")
    row = rows(maker)[1]
    assert (row.predicted, row.actual, row.actual_dollars) == (*["unproven, so not counted"] * 2, "")


def test_a_shard_that_cannot_be_trusted_is_left_out_and_counted_as_such(maker) -> None:
    maker.preprocess(DOCUMENTS, num_shards=2)
    keep(forecast(), maker.run)
    (maker.run.shard(1, 2) / "ledger.parquet").write_bytes(b"damaged")
    assert rows(maker)[0].actual == "0.20 seconds of core-time for 1 of 2 shards"


def test_a_forecast_of_other_documents_is_not_compared(maker) -> None:
    maker.preprocess(DOCUMENTS)
    keep(forecast(documents=900), maker.run)
    assert rows(maker)[0].predicted == "unknown: the forecast is of 900 documents, the plan of 4"


def test_a_damaged_forecast_is_said_and_the_report_is_made(maker) -> None:
    maker.preprocess(DOCUMENTS)
    maker.run.forecast.write_text("{")
    index = " ".join(" ".join(lxml_html.parse(build(maker.run)).getroot().itertext()).split())
    assert "Time and cost" in index
    assert "forecast.json: damaged" in index


@pytest.mark.parametrize("cost", ["<b>", {"seconds": "<b>", "predicted_seconds": [1]}, {"seconds": -1}, None, [1]])
def test_a_receipt_that_speaks_nonsense_of_cost_gives_no_figures(maker, cost: Any) -> None:
    maker.preprocess(DOCUMENTS)
    folder = maker.run.shard(0, 1)
    facts = read_receipt(folder).facts
    stamp = Stamp.now(Preprocess(documents=folder, run="elsewhere"))
    receipt = write_receipt(folder, "preprocess", stamp, rows=4, plan=facts["plan"], cost=cost)
    maker.notebook("preprocess", receipt, "Yes.", shard=0, num_shards=1)
    assert rows(maker)[0].predicted.startswith("unknown")
