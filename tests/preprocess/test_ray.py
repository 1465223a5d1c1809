"""On Ray a shard ends in the same bytes, and a document costs its own row and no more."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nbpipe.audit import read_receipt
from nbpipe.config import Preprocess
from nbpipe.errors import RequestError, WorkError
from nbpipe.preprocess import ray_engine
from nbpipe.preprocess.files import Document
from nbpipe.preprocess.parsed import Parsed
from nbpipe.preprocess.worker import Outcome
from nbpipe.records import LEDGER, read_table
from nbpipe.run import Run

DRIVER = """
import json, sys
from nbpipe.audit import Stamp
from nbpipe.config import Preprocess
from nbpipe.preprocess.stage import finish, open_shard, parse_shard

if __name__ == "__main__":
    config = Preprocess(**json.loads(sys.argv[1]))
    finish(parse_shard(open_shard(config)), Stamp.now(config))
"""
MISBEHAVING = """
import sys
from pathlib import Path
from misbehaving import by_name
from nbpipe.preprocess.files import list_documents
from nbpipe.preprocess.options import Options
from nbpipe.preprocess.ray_engine import connect

if __name__ == "__main__":
    options = Options(timeout=10, memory=300_000_000)
    for outcome in connect("local", 0).parse(list_documents(Path(sys.argv[1])), options, by_name):
        print(outcome.id, outcome.parsed.status, outcome.parsed.reason)
"""


def drive(folder: Path, **parameters: Any) -> subprocess.Popen[str]:
    """Start a shard in a process of its own."""
    (folder / "driver.py").write_text(DRIVER)
    command = [sys.executable, "driver.py", json.dumps(parameters)]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)


def finished(driver: subprocess.Popen[str]) -> None:
    _, said = driver.communicate()
    assert driver.returncode == 0, said


def parts(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.glob("shards/*/part-*.parquet"))}


def ledger(run: Path) -> list[dict[str, Any]]:
    """Return the ledger without what differs between any two runs."""
    table = read_table(Run(run).shard(0, 1) / "ledger.parquet", LEDGER)
    return table.drop_columns(["seconds", "peak_bytes"]).to_pylist()


def facts(run: Path) -> dict[str, Any]:
    """Return what a receipt says, without times, the run's name and the engine's."""
    said = read_receipt(Run(run).shard(0, 1)).facts
    said["files"].pop("ledger.parquet")
    for name in ("started", "finished"):
        said["stamp"].pop(name)
    said["config"] |= {"engine": "", "run": "", "ray_address": ""}
    return {name: value for name, value in said.items() if name != "cost"}


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """A folder of documents that become text, and of some that do not, for every reason there is."""
    folder = tmp_path / "documents"
    (folder / "ä").mkdir(parents=True)
    for index in range(300):
        (folder / "ä" / f"{index:03d}.html").write_text(f"<p>{'<i>word</i> ' * 2000}{index}")
    (folder / "data.bin").write_bytes(b"\x00\x01")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 broken")
    (folder / "empty.txt").touch()
    (folder / "link.txt").symlink_to("nowhere")
    Path(str(folder / "name-") + "\udcff.txt").write_text("a name that is not Unicode")
    with (folder / "large.txt").open("wb") as file:
        file.truncate(300_000_000)
    return folder


def test_the_same_bytes_as_on_one_machine_also_after_a_kill(documents: Path, tmp_path: Path) -> None:
    limits = {"documents": "documents", "memory": "100MB"}
    finished(drive(tmp_path, run="local", **limits))
    driver = drive(tmp_path, run="ray", engine="ray", ray_address="local", **limits)
    kept, proof = (Run(tmp_path / "ray").shard(0, 1) / name for name in ("part-00000.parquet", ".ledger-00000.parquet"))
    while not proof.exists() and driver.poll() is None:
        time.sleep(0.05)
    driver.kill()
    driver.communicate()
    assert driver.returncode == -signal.SIGKILL
    before = kept.stat().st_mtime_ns
    finished(drive(tmp_path, run="ray", engine="ray", ray_address="local", **limits))
    assert kept.stat().st_mtime_ns == before
    assert parts(tmp_path / "ray") == parts(tmp_path / "local")
    assert ledger(tmp_path / "ray") == ledger(tmp_path / "local")
    assert facts(tmp_path / "ray") == facts(tmp_path / "local")
    found = {row["status"] for row in ledger(tmp_path / "ray")}
    assert found == {"ok", "empty", "unsupported", "unreadable", "crashed"}


def test_a_misbehaving_parser_costs_its_own_row(tmp_path: Path, misbehaving: ModuleType) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    for name in ("segfault-1", "sleep-1", "hog-1", "exit-1", "a-1", "a-2", "z-1"):
        (folder / f"{name}.txt").write_text(name)
    (tmp_path / "driver.py").write_text(MISBEHAVING)
    place = {"PYTHONPATH": str(Path(misbehaving.__file__).parent)}
    environment = {**os.environ, **place}
    command = [sys.executable, "driver.py", str(folder)]
    lines = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    found = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines.splitlines()}
    assert {name: said.split()[0] for name, said in found.items()} == {
        "segfault-1.txt": "crashed",
        "sleep-1.txt": "timeout",
        "hog-1.txt": "crashed",
        "exit-1.txt": "crashed",
        "a-1.txt": "ok",
        "a-2.txt": "ok",
        "z-1.txt": "ok",
    }
    assert "SIGSEGV" in found["segfault-1.txt"]


def test_an_address_where_nobody_answers_is_named(tmp_path: Path) -> None:
    documents = tmp_path / "documents"
    documents.mkdir()
    (documents / "a.txt").write_text("a")
    driver = drive(tmp_path, documents="documents", run="run", engine="ray", ray_address="nowhere.invalid:6379")
    assert "ray_address = 'nowhere.invalid:6379': no Ray cluster answers there" in driver.communicate()[1]
    assert driver.returncode == 1


@pytest.mark.parametrize(("error", "said"), [(Exception("timed out\nas ever"), "timed out"), (OSError(), "OSError")])
def test_whatever_ray_raises_at_its_start_is_one_sentence(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(ray_engine.ray, "init", init)
    with pytest.raises(RequestError, match=rf"ray_address = 'auto': no Ray cluster answers there \({said}\)"):
        ray_engine.connect("auto", 0)


def test_an_address_without_the_engine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="ray_address = 'auto': goes with engine = 'ray'; engine is 'local'"):
        Preprocess(documents=tmp_path, run=tmp_path / "run", ray_address="auto")


def test_the_address_of_a_cluster_is_not_shared(tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    config = Preprocess(documents=tmp_path / "documents", run=tmp_path, engine="ray", ray_address="10.0.0.1:6379")
    assert config.shareable()["ray_address"] == "given"
    assert "10.0.0.1" not in repr(config)


@pytest.mark.parametrize("reason", ["the file has vanished", "the file has 3 bytes; when it was listed it had 4"])
def test_a_node_that_sees_other_documents_is_named(reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("four")
    document = Document("a.txt", 4, tmp_path / "a.txt")
    outcome = Outcome("a.txt", "", 4, Parsed("unreadable", reason), 0.0, 0)
    with pytest.raises(WorkError, match=r"the node 10.0.0.7 does not see 'a.txt' as this machine does"):
        ray_engine._check(outcome, document, "10.0.0.7")
    document.path.unlink()
    ray_engine._check(outcome, document, "10.0.0.7")  # gone here too: its own row says so


def test_groups_are_in_order_small_where_documents_are_large_and_enough_for_all() -> None:
    documents = [Document(f"{index:04d}", size, Path()) for index, size in enumerate([100] * 500 + [9_000_000] * 3)]
    groups = list(ray_engine._grouped(documents, workers=4))
    assert [document for group in groups for document in group] == documents
    assert (len(groups[0]), [len(group) for group in groups[-2:]]) == (32, [1, 1])
    assert [len(group) for group in ray_engine._grouped(documents[:6], workers=4)] == [1] * 6
    assert [len(group) for group in ray_engine._grouped(documents[:60], workers=4)] == [4] * 15
