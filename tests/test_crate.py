"""A run is described for other tools: what was made from what, when, by what, and nothing private."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbpipe.audit import digest
from nbpipe.crate import NAME, findings, write_crate
from nbpipe.errors import WorkError
from nbpipe.run import Run


@pytest.fixture
def crate(finished: Path) -> dict[str, dict[str, Any]]:
    """The entities by which `nbpipe run` described the finished run."""
    graph = json.loads((finished / "runs" / "documents" / NAME).read_bytes())["@graph"]
    return {entity["@id"]: entity for entity in graph}


def referred(value: Any) -> Iterator[str]:
    """Yield every id that an entity refers to."""
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict):
            yield one["@id"]


def test_it_is_a_process_run_crate(crate: dict[str, dict[str, Any]]) -> None:
    assert crate[NAME]["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    root = crate["./"]
    assert root["conformsTo"] == {"@id": "https://w3id.org/ro/wfrun/process/0.5"}
    assert root.keys() >= {"name", "description", "datePublished", "license", "hasPart", "mentions"}
    assert crate[root["license"]["@id"]]["description"]


def test_every_reference_leads_to_an_entity(crate: dict[str, dict[str, Any]]) -> None:
    known = {"https://w3id.org/ro/crate/1.1", *crate}
    lost = {name for entity in crate.values() for value in entity.values() for name in referred(value)} - known
    assert lost == set()


def test_every_proven_file_is_described_as_it_is(crate: dict[str, dict[str, Any]], finished: Path) -> None:
    run = finished / "runs" / "documents"
    files = {entity["name"]: entity for entity in crate.values() if entity["@type"] == "File"}
    for name, file in files.items():
        assert (file["sha256"], file["contentSize"]) == (digest(run / name), str((run / name).stat().st_size))
    left_out = ("report/", "tracking/", ".documents", NAME)
    present = (path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file())
    assert files.keys() == {name for name in present if not name.startswith(left_out)}


def test_each_stage_is_an_action_that_was_made_from_the_one_before(crate: dict[str, dict[str, Any]]) -> None:
    actions = {name: entity for name, entity in crate.items() if entity["@type"] == "CreateAction"}
    assert [*actions] == ["#preprocess-00000-of-00002", "#preprocess-00001-of-00002", "#train", "#explain"]
    for action in actions.values():
        assert action["startTime"] <= action["endTime"]
        assert action["actionStatus"].endswith("/CompletedActionStatus")
        assert crate[action["instrument"]["@id"]]["@type"] == "SoftwareSourceCode"
    shards = {"shards/00000-of-00002/", "shards/00001-of-00002/"}
    assert {*referred(actions["#preprocess-00000-of-00002"]["object"])} == {"#documents", "plan.json"}
    assert {*referred(actions["#train"]["object"])} == shards
    assert {*referred(actions["#explain"]["object"])} == {"model/", *shards}
    assert {*referred(actions["#train"]["result"])} >= {"model/", "audit/train.ipynb"}


def test_nothing_private_is_in_it(finished: Path) -> None:
    text = (finished / "runs" / "documents" / NAME).read_text()
    assert str(finished) not in text
    assert str(Path.home()) not in text or Path.home() == Path("/")


def test_it_is_the_same_wherever_the_run_lies(run_copy: Path) -> None:
    before = (run_copy / NAME).read_bytes()
    assert write_crate(Run(run_copy)).read_bytes() == before
    assert findings(Run(run_copy)) == []


def test_what_is_not_done_is_not_described_and_a_stale_one_is_found(run_copy: Path) -> None:
    shutil.rmtree(run_copy / "explain")
    assert findings(Run(run_copy)) == [
        "ro-crate-metadata.json: does not describe the run as it is; `nbpipe report` writes it again"
    ]
    assert "#explain" not in write_crate(Run(run_copy)).read_text()
    assert findings(Run(run_copy)) == []
    (run_copy / NAME).unlink()
    assert findings(Run(run_copy)) == []


def test_a_folder_without_a_plan_is_not_described(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match=r"holds no plan\.json"):
        write_crate(Run(tmp_path))
