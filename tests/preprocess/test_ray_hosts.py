"""Ray on several hosts, of which one dies, one is cut off the network, and one joins: no row is lost."""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import hosts
import pytest

from nbpipe.audit import Stamp
from nbpipe.config import Preprocess
from nbpipe.preprocess.stage import finish, open_shard, parse_shard
from nbpipe.records import LEDGER, read_table
from nbpipe.run import Run
from nbpipe.status import read_status

DRIVER = """
import json, sys
from collections import Counter
from functools import partialmethod
from pathlib import Path
from nbpipe.audit import Stamp
from nbpipe.config import Preprocess
from nbpipe.preprocess import ray_engine
from nbpipe.preprocess.stage import finish, open_shard, parse_shard
from misbehaving import patiently

def check(outcome, document, node):
    nodes[node] += 1
    before(outcome, document, node)

if __name__ == "__main__":
    nodes, before, ray_engine._check = Counter(), ray_engine._check, check
    ray_engine.RayEngine.parse = partialmethod(ray_engine.RayEngine.parse, parser=patiently)
    config = Preprocess(documents="documents", run="run", engine="ray", ray_address=sys.argv[1])
    finish(parse_shard(open_shard(config)), Stamp.now(config))
    Path("nodes.json").write_text(json.dumps(nodes))
"""
PORT, COUNT = 6390, 1500
# How soon a head takes a silent node for dead; Ray's own patience is for networks that are slower.
IMPATIENT = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}

_WHY_NOT = hosts.lacking() if os.environ.get("NBPIPE_TEST_HOSTS") else "takes minutes; NBPIPE_TEST_HOSTS=1 asks for it"
pytestmark = pytest.mark.skipif(bool(_WHY_NOT), reason=_WHY_NOT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with documents, and a run of them on this machine."""
    folder = tmp_path_factory.mktemp("hosts")
    (folder / "documents").mkdir()
    for index in range(COUNT):
        (folder / "documents" / f"{index:04d}.html").write_text(f"<p>{index}")
    (folder / "ray").mkdir()
    (folder / "driver.py").write_text(DRIVER)
    (folder / "token").write_text(secrets.token_hex(32))
    config = Preprocess(documents=folder / "documents", run=folder / "local")
    finish(parse_shard(open_shard(config)), Stamp.now(config))
    return folder


class Cluster:
    """A Ray cluster whose head is the first of some hosts."""

    def __init__(self, folder: Path, machines: list[hosts.Host]) -> None:
        self.folder, self.machines = folder, machines
        self.env = {**IMPATIENT, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "token")}
        self.env["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
        self.address = f"{machines[0].address}:{PORT}"

    def start(self, host: hosts.Host, **env: str) -> None:
        """Start Ray on a host, the head or a node that joins."""
        flags = [f"--address={self.address}"]
        if host is self.machines[0]:
            flags = ["--head", f"--port={PORT}", "--include-dashboard=false", f"--temp-dir={self.folder / 'ray'}"]
        flags += ["--num-cpus=1", f"--node-ip-address={host.address}"]
        ray = Path(sys.executable).with_name("ray")
        with (self.folder / f"{host.namespace}.log").open("w") as log:
            host.start(
                str(ray),
                "start",
                "--block",
                "--disable-usage-stats",
                *flags,
                cwd=self.folder,
                env={**self.env, **env},
                output=log,
            )

    def drive(self) -> subprocess.Popen[str]:
        """Start the shard on the head."""
        command = [sys.executable, "driver.py", self.address]
        return self.machines[0].start(*command, cwd=self.folder, env=self.env, output=subprocess.PIPE)

    def wait_for_nodes(self, count: int) -> None:
        """Wait until so many nodes are there."""
        script = (
            f"import ray; ray.init('{self.address}', log_to_driver=False); print(sum(n['Alive'] for n in ray.nodes()))"
        )
        until(lambda: self._ask(script) == str(count), 90)

    def _ask(self, script: str) -> str:
        asked = self.machines[0].start(
            sys.executable, "-c", script, cwd=self.folder, env=self.env, output=subprocess.PIPE
        )
        return (asked.communicate()[0].strip().splitlines() or [""])[-1]


@contextmanager
def cluster(folder: Path, count: int) -> Iterator[Cluster]:
    """Yield a cluster of so many hosts, all of them up, and one host more that is not."""
    with hosts.network(folder / "hosts", count + 1, [folder / "documents", folder / "ray"]) as machines:
        made = Cluster(folder, machines)
        for machine in machines[:count]:
            made.start(machine)
        made.wait_for_nodes(count)
        yield made


def until(holds: Callable[[], bool], seconds: float) -> None:
    """Wait for something, and fail where it does not come."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "it did not come"
        time.sleep(0.2)


def done(folder: Path) -> int:
    """Return how many documents the run has done so far."""
    run = Run(folder / "run")
    return sum(read_status(run).statuses.values()) if run.plan.exists() else 0


def test_a_node_dies_one_is_cut_off_one_joins_and_the_bytes_are_the_same(folder: Path) -> None:
    with cluster(folder, 3) as made:
        _, doomed, alone, late = made.machines
        driver = made.drive()
        made.start(late, LATE="1")
        until(lambda: done(folder) >= COUNT // 10, 120)
        doomed.kill()
        until(lambda: done(folder) >= COUNT // 5, 120)
        alone.cut_off()
        said, _ = driver.communicate(timeout=400)
        assert driver.returncode == 0, said
        nodes = json.loads((folder / "nodes.json").read_text())
    assert sum(nodes.values()) == COUNT
    assert nodes.keys() == {machine.address for machine in made.machines}
    here, there = (Run(folder / name).shard(0, 1) for name in ("local", "run"))
    for path in here.glob("part-*.parquet"):
        assert (there / path.name).read_bytes() == path.read_bytes()
    ledgers = [read_table(place / "ledger.parquet", LEDGER).select(["path", "status"]) for place in (here, there)]
    assert ledgers[0].equals(ledgers[1])
    assert ledgers[0].num_rows == COUNT
