"""An explained sample, and a run folder that holds a model, can be explored."""

from collections.abc import Callable

import pytest

from nbpipe.audit import Stamp
from nbpipe.config import Explain
from nbpipe.explain.stage import attribute, finish, load_test
from nbpipe.report.widgets.explore import explore
from nbpipe.train.model import Classifier

pytest.importorskip("ipywidgets")
MakeRun = Callable[[Classifier], Explain]


def test_the_documents_of_a_sample_are_listed_with_their_outcome(make_run: MakeRun, wise: Classifier) -> None:
    explained = attribute(load_test(make_run(wise)))
    listing = explore(explained).listing
    assert listing["right"].all()
    assert listing["probability"].is_sorted(descending=True)
    assert sorted(listing["path"]) == explained.sample.documents["path"].to_list()


def test_a_run_folder_shows_coloured_words(make_run: MakeRun, wise: Classifier) -> None:
    explained = attribute(load_test(make_run(wise)))
    finish(explained, Stamp.now(explained.config))
    panel = explore(explained.config.run).panel()
    panel.label.value = "cooking"
    assert "Predicted cooking" in panel.words.value
    assert ">Oven</b>" in panel.words.value
