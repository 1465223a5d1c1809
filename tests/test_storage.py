"""Runs and documents in object storage: the same bytes as in folders, whatever a bucket and a network do meanwhile."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest
from conftest import make_documents, nbpipe
from fsspec.implementations.memory import MemoryFileSystem
from objects import ENVIRONMENT, Server, served

from nbpipe import addresses, claim, run, storage
from nbpipe.addresses import address_of
from nbpipe.audit import Stamp, find_receipt
from nbpipe.claim import claimed, read_claim
from nbpipe.config import Preprocess, Train, relative, resolve
from nbpipe.errors import NbpipeError, RequestError, WorkError
from nbpipe.execute import source_folder
from nbpipe.preprocess.files import list_documents
from nbpipe.preprocess.grow import grow
from nbpipe.preprocess.stage import Parsing, finish, open_shard, parse_shard
from nbpipe.run import Run
from nbpipe.status import read_status

BUCKET, DOCUMENTS = "lab", 60
# Of the folders where tests find modules, this one first: others have a conftest too.
HERE = os.pathsep.join([str(Path(__file__).parent), *sys.path])


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """An S3 server that the environment leads to."""
    with served() as server:
        yield server


@pytest.fixture
def bucket(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A bucket with documents, the same in a folder of this machine, and no copies yet."""
    move_to(tmp_path / "one", monkeypatch)
    make_documents(tmp_path / "documents", DOCUMENTS // 3)
    server.upload(tmp_path / "documents", BUCKET, "documents")
    server.requests.clear()
    yield server
    server.reset()
    storage._file_system.cache_clear()


def move_to(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Become another machine: one with other copies."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(machine))
    addresses.copies.cache_clear()


def preprocess(
    documents: str | Path, place: str | Path, shards: int = 2, only: int | None = None, **more: str
) -> list[Parsing]:
    """Run shards to their receipts."""
    made = []
    for shard in range(shards) if only is None else [only]:
        config = Preprocess(documents=documents, run=place, shard=shard, num_shards=shards, workers=2, **more)
        made.append(parse_shard(open_shard(config)))
        finish(made[-1], Stamp.now(config))
    return made


def parts(server: Server, name: str = "run") -> dict[str, bytes]:
    """Return the parts of a run in the bucket."""
    found = server.objects(BUCKET, f"{name}/shards/")
    return {name: data for name, data in found.items() if "/part-" in name}


def expected(tmp_path: Path) -> dict[str, bytes]:
    """Return the parts of a run in a folder."""
    preprocess(tmp_path / "documents", tmp_path / "expected")
    shards = tmp_path / "expected" / "shards"
    return {path.relative_to(shards).as_posix(): path.read_bytes() for path in shards.glob("*/part-*.parquet")}


# Addresses.


def test_an_address_has_a_path_and_a_path_below_the_copies_an_address() -> None:
    path = resolve("s3://lab/some/run/")
    assert (path.name, relative(path)) == ("run", "s3://lab/some/run")
    assert relative(path / "model") == "s3://lab/some/run/model"
    assert resolve(Path("s3://lab/some/run")) == path
    assert address_of(path / ".tmp-1-report" / "index.html") is None
    assert address_of(Path("/srv/run")) is None
    assert resolve("S3://lab/some/run") == path
    assert resolve("file:///srv/run") == Path("/srv/run")


@pytest.mark.parametrize(
    "address",
    [
        "s3://a:b@lab/run",
        "s3://key:a:b/with/slashes@lab/run",
        "S3://a:b@lab/run",
        "s3://lab/run?X-Amz-Signature=a:b",
        "s3://lab//run",
        "s3://lab/../x",
        "simplecache::s3://lab/run",
    ],
)
def test_an_address_that_cannot_be_one_is_refused_without_saying_its_secret(address: str) -> None:
    with pytest.raises(RequestError, match=r"^run = '(s3|S3|simplecache:)") as caught:
        Train(run=address)
    assert "a:b" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "said"),
    [("xyz://lab/run", "no file system is known for xyz://"), ("gs://lab/run", "gcsfs")],
)
def test_an_address_without_a_file_system_is_refused(address: str, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        Train(run=address)


# Any file system of fsspec's.


def test_whatever_fsspec_knows_can_hold_documents_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    move_to(tmp_path / "one", monkeypatch)
    make_documents(tmp_path / "documents", 5)
    memory = MemoryFileSystem()
    memory.put(f"{tmp_path}/documents/", "/lab/documents/", recursive=True)
    preprocess("memory://lab/documents", "memory://lab/run")
    preprocess(tmp_path / "documents", tmp_path / "run")
    for path in (tmp_path / "run" / "shards").glob("*/part-*"):
        assert memory.cat(f"/lab/run/{path.relative_to(tmp_path / 'run').as_posix()}") == path.read_bytes()
    assert not memory.glob("/lab/run/shards/*/.*")
    memory.rm("/lab", recursive=True)


# A whole run.


def test_a_run_wholly_in_a_bucket(bucket: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = "s3://lab/run"
    done = nbpipe("run", "s3://lab/documents", "--run", place, "--shards", 2, "-p", "epochs", 2, where=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "s3://lab/run/report/index.html\n"
    assert parts(bucket) == expected(tmp_path)
    names = {name.split("/")[0] for name in bucket.objects(BUCKET, "run/")}
    assert names >= {"plan.json", "shards", "model", "explain", "audit", "report", "ro-crate-metadata.json"}
    assert not [name for name in bucket.objects(BUCKET) if ".tmp-" in name or ".claim" in name]

    move_to(tmp_path / "two", monkeypatch)
    shown = nbpipe("status", place, where=tmp_path)
    assert "Shards: 2 done. Documents: 60 of 60." in shown.stdout
    assert not list((tmp_path / "two").rglob("part-*")), "status fetched what it does not need"
    assert nbpipe("verify", place, where=tmp_path).returncode == 0
    labelled = nbpipe("predict", place, "s3://lab/documents/sailing", "--out", "s3://lab/out.csv", where=tmp_path)
    assert labelled.stderr == "20 documents labelled\n"
    assert bucket.objects(BUCKET, "out.csv")[""].count(b",sailing,") == 20
    again = nbpipe("run", "s3://lab/documents", "--run", place, "-p", "epochs", 2, where=tmp_path)
    assert again.stderr.count("was done already") == 3

    for name, data in bucket.objects(BUCKET).items():
        for secret in ENVIRONMENT.values():
            assert name.endswith(".json") or secret.encode() not in data or secret == "us-east-1", name
    page = bucket.objects(BUCKET, "run/report/")["train.html"]
    assert b"s3://" not in page
    audit = bucket.objects(BUCKET, "run/audit/")["train.ipynb"]
    assert b'"s3://lab/run"' in audit.replace(b"\\", b"")

    bucket.client.put_object(Bucket=BUCKET, Key="run/shards/00000-of-00002/part-00000.parquet", Body=b"changed")
    found = nbpipe("verify", place, where=tmp_path)
    assert (found.returncode, "part-00000.parquet does not match its digest" in found.stdout) == (1, True)


def test_papermill_writes_the_audit_record_to_a_bucket(bucket: Server, tmp_path: Path) -> None:
    out = "s3://lab/run/audit/preprocess-00001-of-00002.ipynb"
    command = [sys.executable, "-m", "papermill", str(source_folder() / "preprocess.ipynb"), out]
    given = ["-p", "documents", "s3://lab/documents", "-p", "run", "s3://lab/run", "-p", "num_shards", "2"]
    made = subprocess.run([*command, *given], env=os.environ | {"NBPIPE_SHARD": "1"}, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    preprocess("s3://lab/documents", "s3://lab/run", only=0)
    assert parts(bucket) == expected(tmp_path)
    proof = nbpipe("verify", "s3://lab/run", where=tmp_path).stdout
    assert "preprocess-00001" not in proof, "its notebook is sealed and proven"
    assert "audit/preprocess-00000-of-00002.ipynb: is missing" in proof


def test_ray_nodes_bring_documents_from_a_bucket_themselves(bucket: Server, tmp_path: Path) -> None:
    program = (
        "from test_storage import preprocess;"
        "preprocess('s3://lab/documents', 's3://lab/run', engine='ray', ray_address='local')"
    )
    environment = os.environ | {"PYTHONPATH": HERE}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert parts(bucket) == expected(tmp_path)


# Faults.


def every(step: int, fault: int | float | str, *methods: str) -> Callable[[str, str], int | float | str | None]:
    """Return a fault of every so many requests of these methods."""
    asked = count(1)
    return lambda method, path: fault if method in methods and next(asked) % step == 0 else None


@pytest.mark.parametrize(
    ("fault", "methods"),
    [
        (500, ("GET", "PUT", "HEAD")),
        (503, ("GET", "PUT")),
        (0.5, ("GET", "PUT")),
        ("cut", ("GET",)),
        ("lost", ("GET", "PUT")),
    ],
)
def test_a_bad_network_costs_no_row(
    bucket: Server, tmp_path: Path, fault: int | float | str, methods: tuple[str, ...]
) -> None:
    bucket.fault = every(7, fault, *methods)
    made = preprocess("s3://lab/documents", "s3://lab/run")
    bucket.fault = lambda *_: None
    assert sum((Counter(parsing.counts) for parsing in made), Counter())["ok"] == DOCUMENTS
    assert parts(bucket) == expected(tmp_path)


def test_a_bucket_that_disappears_ends_the_work_and_makes_no_rows(
    bucket: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = count()

    def vanish(method: str, path: str) -> int | float | str | None:
        """After 20 documents nothing is there any more."""
        gone = path.endswith(".txt") and next(seen) >= 20
        bucket.gone = getattr(bucket, "gone", False) or gone
        return 404 if bucket.gone else None

    bucket.fault = vanish
    with pytest.raises(WorkError, match="there is no such bucket"):
        preprocess("s3://lab/documents", "s3://lab/run")
    bucket.fault, bucket.gone = lambda *_: None, False
    assert find_receipt(Run(resolve("s3://lab/run")).shard(0, 2)) is None
    move_to(tmp_path / "two", monkeypatch)
    preprocess("s3://lab/documents", "s3://lab/run")
    assert parts(bucket) == expected(tmp_path)


def test_credentials_that_end_midway_end_the_work_and_one_forbidden_document_is_a_row(
    bucket: Server, tmp_path: Path
) -> None:
    seen = count()
    bucket.fault = lambda method, path: 403 if next(seen) > 40 else None
    with pytest.raises(WorkError, match="access is denied"):
        preprocess("s3://lab/documents", "s3://lab/run")
    bucket.fault = lambda method, path: 403 if path.endswith("sailing/07.txt") else None
    made = preprocess("s3://lab/documents", "s3://lab/run")
    assert sum((Counter(parsing.counts) for parsing in made), Counter()) == {"ok": DOCUMENTS - 1, "unreadable": 1}
    rows = [row for parsing in made for row in parsing.failures.rows]
    assert rows == [["sailing/07.txt", "unreadable", "access to the file is denied"]]


def test_a_killed_shard_goes_on_on_another_machine(
    bucket: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NBPIPE_SHARD", "0")
    program = (
        "from test_storage import preprocess; from nbpipe.preprocess import attempt; attempt.KEEP_EVERY = 0.05;"
        "preprocess('s3://lab/documents', 's3://lab/run', only=0)"
    )
    seen = count()

    def late(method: str, path: str) -> float | None:
        """Let documents come one after the other, and from the 20th on not at all."""
        number = next(seen) if path.endswith(".txt") else 0
        return 30.0 if number >= 20 else number * 0.1

    bucket.fault = late
    process = subprocess.Popen([sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": HERE})
    folder = resolve("s3://lab/run/shards/00000-of-00002")
    wait_for(lambda: ".unfinished.parquet" in storage.names(folder))
    process.send_signal(signal.SIGKILL)
    process.wait()
    bucket.fault = lambda *_: None
    kept = read_status(Run(resolve("s3://lab/run"))).shards[0]
    assert kept.state == "stalled"
    move_to(tmp_path / "two", monkeypatch)
    made = preprocess("s3://lab/documents", "s3://lab/run")
    assert made[0].before > 0, "what was finished was parsed again"
    assert parts(bucket) == expected(tmp_path)


def wait_for(true: Callable[[], object]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_documents_that_change_or_go_after_they_were_listed_are_rows(bucket: Server) -> None:
    config = Preprocess(documents="s3://lab/documents", run="s3://lab/run", shard=0, num_shards=1)
    shard = open_shard(config)
    bucket.client.delete_object(Bucket=BUCKET, Key="documents/cooking/03.txt")
    bucket.client.put_object(Bucket=BUCKET, Key="documents/cooking/04.txt", Body=b"shorter")
    failures = parse_shard(shard).failures.rows
    assert [row[:2] for row in failures] == [["cooking/03.txt", "unreadable"], ["cooking/04.txt", "unreadable"]]
    assert failures[0][2] == "the file has vanished"


# One of several machines.


def test_of_several_machines_one_makes_the_plan_and_one_the_claim(bucket: Server) -> None:
    plan, folder = resolve("s3://lab/run/plan.json"), resolve("s3://lab/run/shards/00000-of-00001")
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda number: run.write_once(plan, b"%d" % number), range(8)))
    assert won.count(True) == 1
    assert plan.read_bytes() == b"%d" % won.index(True)
    with claimed(folder) as first:
        assert first.held
        assert read_claim(folder).running
        bucket.client.put_object(Bucket=BUCKET, Key="run/shards/00000-of-00001/.claim-00002", Body=b"{}")
        assert not first.held
        with pytest.raises(WorkError, match="another process took over"):
            first.check()


def test_a_second_machine_waits_for_the_first(
    bucket: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = resolve("s3://lab/run/shards/00000-of-00001")
    with claimed(folder):
        other = {"machine": "another", "pid": 1, "started": 0.0}
        monkeypatch.setattr(claim, "_me", lambda: other)
        waiting = threading.Thread(target=lambda: claimed(folder).__enter__(), daemon=True)
        waiting.start()
        waiting.join(2)
        assert waiting.is_alive()
        monkeypatch.undo()
    waiting.join(20)
    assert not waiting.is_alive()
    assert "another process is at it" in capsys.readouterr().out


# Listing and growing.


def test_a_large_folder_is_listed_by_pages(bucket: Server) -> None:
    names = [f"many/{number % 7}/{number}.txt" for number in range(2_500)]
    bucket.make(BUCKET, dict.fromkeys(names, b"text"))
    for name in ("many/.hidden/x.txt", "many/folder/", "many/.x"):
        bucket.client.put_object(Bucket=BUCKET, Key=name, Body=b"")
    bucket.requests.clear()
    found = list_documents(resolve("s3://lab/many"))
    assert sorted(document.id for document in found) == sorted(name.removeprefix("many/") for name in names)
    assert dict(bucket.requests) == {"GET": 3}
    bucket.client.put_object(Bucket=BUCKET, Key="many//x.txt", Body=b"")
    with pytest.raises(RequestError, match="empty name"):
        list_documents(resolve("s3://lab/many"))


def test_a_run_in_a_bucket_grows(bucket: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preprocess("s3://lab/documents", "s3://lab/run")
    for name in ("new.txt", "newer.txt"):
        (tmp_path / "documents" / "sailing" / name).write_text(f"{name} wind")
        bucket.client.put_object(Bucket=BUCKET, Key=f"documents/sailing/{name}", Body=f"{name} wind".encode())
    move_to(tmp_path / "two", monkeypatch)
    place = Run(resolve("s3://lab/run"))
    assert grow(place, resolve("s3://lab/documents")).changes["added"] == ["sailing/new.txt", "sailing/newer.txt"]
    made = preprocess("s3://lab/documents", "s3://lab/run")
    assert sum(parsing.before for parsing in made) == DOCUMENTS
    assert parts(bucket) == expected(tmp_path)
    assert not bucket.objects(BUCKET, "run/earlier")


def test_what_does_not_answer_is_said_in_one_sentence(bucket: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    storage._file_system.cache_clear()
    with pytest.raises(NbpipeError, match="cannot be reached"):
        read_status(Run(resolve("s3://lab/run")))
