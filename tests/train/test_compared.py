"""An evaluation that is at work compares like the model folder that it leaves."""

from typing import Any

from nbpipe.report.widgets.answers import answers_of


def test_an_evaluation_says_what_its_model_folder_says(done: Any) -> None:
    now, later = answers_of(done.evaluation), answers_of(done.config.run)
    assert now.table.equals(later.table)
    assert (now.name, now.start) == (later.name, later.start) == ("run", round(100 * done.evaluation.coverage.share))
    assert now.at(100).accuracy == done.evaluation.test.accuracy
    assert now.coverage.threshold == later.coverage.threshold == done.evaluation.coverage.threshold
