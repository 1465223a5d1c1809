"""Parameters are judged before any work, in words a person can act on."""

from pathlib import Path

import pytest

from nbpipe.config import Explain, Preprocess, Train, base, resolve
from nbpipe.errors import RequestError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder that holds a folder of documents."""
    (tmp_path / "documents").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_misspelt_name_is_refused_with_the_nearest_spelling(here: Path) -> None:
    with pytest.raises(RequestError, match=r"shrad = 3: no such parameter; did you mean 'shard'"):
        Preprocess(documents="documents", shrad=3)


@pytest.mark.parametrize("value", ["1_0", "10", 2.0, True, 0, -1])
def test_a_count_is_a_whole_number_and_nothing_else(here: Path, value: object) -> None:
    with pytest.raises(RequestError, match=r"num_shards = .*accepted is a whole number from 1"):
        Preprocess(documents="documents", num_shards=value)


def test_a_number_for_a_name_says_how_to_keep_it_text(here: Path) -> None:
    with pytest.raises(RequestError, match=r"documents = 1200000.0 .*-r documents VALUE"):
        Preprocess(documents=12e5)


@pytest.mark.parametrize("shard", [-1, 4, 10])
def test_an_index_outside_the_shards_is_refused(here: Path, shard: int) -> None:
    with pytest.raises(RequestError, match=f"shard = {shard}: accepted is 0 <= shard < num_shards"):
        Preprocess(documents="documents", shard=shard, num_shards=4)


def test_a_missing_folder_names_its_nearest_neighbour(here: Path) -> None:
    with pytest.raises(RequestError, match="documents = 'docments': no such folder; did you mean 'documents'"):
        Preprocess(documents="docments")


def test_a_run_inside_the_documents_is_refused(here: Path) -> None:
    with pytest.raises(RequestError, match="lies inside documents"):
        Preprocess(documents="documents", run="documents/run")


def test_every_wrong_parameter_is_named_at_once(here: Path) -> None:
    with pytest.raises(RequestError) as caught:
        Preprocess(documents="documents", timeout=0, memory="2XB")
    assert {line.split(" ")[0] for line in str(caught.value).splitlines()} == {"timeout", "memory"}


def test_sizes_are_read_as_people_write_them(here: Path) -> None:
    assert Preprocess(documents="documents", memory="1.5GB").memory == 1_500_000_000


def test_a_config_cannot_be_changed(here: Path) -> None:
    config = Preprocess(documents="documents")
    with pytest.raises(ValueError, match="frozen"):
        config.shard = 1


@pytest.mark.parametrize(("name", "value", "near"), [("device", "cud", "cuda"), ("model", "bagg", "bag")])
def test_a_misspelt_choice_names_the_nearest(here: Path, name: str, value: str, near: str) -> None:
    with pytest.raises(RequestError, match=f"{name} = '{value}'.*did you mean '{near}'"):
        Train(run="documents", **{name: value})


def test_a_missing_label_file_is_refused(here: Path) -> None:
    (here / "labels.csv").touch()
    with pytest.raises(RequestError, match=r"labels = 'label.csv': no such file; did you mean 'labels.csv'"):
        Train(run="documents", labels="label.csv")
    assert Train(run="documents", labels="").labels is None


def test_explain_needs_a_run(here: Path) -> None:
    with pytest.raises(RequestError, match="run = 'nowhere': no such folder"):
        Explain(run="nowhere")


def test_relative_paths_mean_the_same_inside_notebooks_and_above(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    above = resolve("runs/demo")
    (here / "notebooks").mkdir()
    (here / "notebooks" / "preprocess.ipynb").touch()
    monkeypatch.chdir(here / "notebooks")
    assert base() == here
    assert resolve("runs/demo") == above


def test_what_is_shared_holds_no_absolute_path(here: Path) -> None:
    shared = Preprocess(documents="documents", run="elsewhere/run").shareable()
    assert shared["documents"] == "documents"
    assert shared["run"] == "run"


@pytest.mark.parametrize(
    ("name", "text"), [("num_shards", "1_0"), ("shard", "2.0"), ("timeout", "1_0"), ("timeout", "")]
)
def test_text_of_a_command_line_is_refused_where_lossy(name: str, text: str) -> None:
    with pytest.raises(RequestError, match=f"{name} = '{text}'"):
        Preprocess.read(name, text)


def test_text_of_a_command_line_becomes_numbers() -> None:
    assert Preprocess.read("shard", "007") == 7
    assert Preprocess.read("timeout", "1e2") == 100.0
    assert Preprocess.read("documents", "007") == "007"


def test_none_on_a_command_line_leaves_out_what_may_be_left_out() -> None:
    assert Preprocess.read("shard", "None") is None
    with pytest.raises(RequestError, match="workers = 'None': accepted is a whole number"):
        Preprocess.read("workers", "None")


@pytest.mark.parametrize("shard", ["", "2", 2.0, True])
def test_a_shard_is_a_whole_number_or_left_out(here: Path, shard: object) -> None:
    with pytest.raises(RequestError, match=r"shard = .*accepted is a whole number with 0 <= shard < num_shards; None"):
        Preprocess(documents="documents", shard=shard, num_shards=4)


def test_an_encoder_goes_with_a_pretrained_model_and_that_with_an_encoder(here: Path) -> None:
    with pytest.raises(RequestError, match=r"encoder = 'org/tiny': goes with model = 'pretrained'.*model is 'bag'"):
        Train(run="documents", encoder="org/tiny")
    with pytest.raises(RequestError, match="encoder = '': goes with model = 'pretrained', and that with an encoder"):
        Train(run="documents", model="pretrained")
    assert Train(run="documents", model="pretrained", encoder="org/tiny").encoder == "org/tiny"


def test_an_encoder_that_is_a_folder_becomes_its_path_and_shares_only_its_name(here: Path) -> None:
    (here / "tiny").mkdir()
    config = Train(run="documents", model="pretrained", encoder="tiny")
    assert config.encoder == here / "tiny"
    assert config.shareable()["encoder"] == "tiny"


@pytest.mark.parametrize(
    ("name", "said"), [("freeze", "only a pretrained encoder"), ("bigrams", "only a bag has pairs")]
)
def test_what_belongs_to_one_family_is_refused_with_another(here: Path, name: str, said: str) -> None:
    with pytest.raises(RequestError, match=f"{name} = True: {said}.*model is 'gru'"):
        Train(run="documents", model="gru", **{name: True})
    assert Train(run="documents", bigrams=True).bigrams
    assert Train(run="documents", model="pretrained", encoder="org/tiny", freeze=True).freeze


@pytest.mark.parametrize("value", [1, 0, "true", None])
def test_a_switch_is_true_or_false_and_nothing_else(here: Path, value: object) -> None:
    with pytest.raises(RequestError, match=r"bigrams = .*accepted is True or False"):
        Train(run="documents", bigrams=value)


@pytest.mark.parametrize(("text", "value"), [("true", True), ("True", True), ("FALSE", False), ("false", False)])
def test_a_switch_is_read_from_a_command_line(text: str, value: bool) -> None:
    assert Train.read("bigrams", text) is value


@pytest.mark.parametrize("text", ["yes", "1", ""])
def test_a_switch_that_is_neither_is_refused(here: Path, text: str) -> None:
    with pytest.raises(RequestError, match=f"bigrams = '{text}'.*accepted is True or False"):
        Train(run="documents", bigrams=Train.read("bigrams", text))


@pytest.mark.parametrize("value", [0.0, -0.1, 1.01, "0.9", float("nan")])
def test_an_accuracy_to_reach_is_a_share(here: Path, value: object) -> None:
    with pytest.raises(RequestError, match=r"target_accuracy = .*above 0 to 1"):
        Train(run="documents", target_accuracy=value)
    assert Train.read("target_accuracy", "0.9") == 0.9


@pytest.mark.parametrize(
    ("name", "value", "near"),
    [
        ("model", "atention", "attention"),
        ("rare", "merg", "merge"),
        ("weighting", "balance", "balanced"),
        ("tracking", "tensorbord", "tensorboard"),
    ],
)
def test_a_misspelt_way_to_train_names_the_nearest(here: Path, name: str, value: str, near: str) -> None:
    with pytest.raises(RequestError, match=f"{name} = '{value}'.*did you mean '{near}'"):
        Train(run="documents", **{name: value})
