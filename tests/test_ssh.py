"""Ten shards on hosts that have nothing but SSH: the README's own command.

Unusual: the tests share one run, since a notebook takes seconds. Of the four hosts that are listed one never answers,
and one dies in the midst of a document that takes seconds.
"""

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import nbformat
import pytest
import recipe
import sshd
from nbformat.v4 import new_code_cell, new_notebook
from recipe import SHARDS, parts, until, written

from nbpipe.claim import Claim, read_claim

COMMAND = written(r"^    (parallel (?:.*\\\n)*.*)$")
SCRIPT = f"#!/bin/sh\n{written('^    (papermill .*INDEX.*)$')}\n"
HOSTS, AWAY = ("oak", "ash", "elm"), "yew"

pytestmark = pytest.mark.skipif(bool(sshd.lacking()), reason=sshd.lacking() or "OpenSSH and GNU parallel are here")


@dataclass(frozen=True)
class Site(recipe.Site):
    """A folder that all hosts see, whose name has a space."""

    network: sshd.Network

    def start(self, command: str) -> subprocess.Popen[str]:
        """Start a command line there, as a terminal does: what Ctrl-C would end is a group of its own."""
        return subprocess.Popen(
            ["sh", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def beside(self, folder: Path, script: str) -> "Site":
        """Return another folder for the hosts that answer, with a preprocess.sh of its own."""
        (folder / "hosts").write_text("\n".join(self.living))
        (folder / "preprocess.sh").write_text(script)
        return replace(self, folder=folder)

    @property
    def living(self) -> list[str]:
        """The names of the hosts that answer."""
        return [host.name for host in self.network.hosts if host.answers()]

    def at_work(self, shard: int) -> Claim | None:
        """Return the claim of a shard whose documents are being parsed."""
        claim = read_claim(self.run.shard(shard, SHARDS))
        return claim if claim and claim.running and claim.progress.total else None


@dataclass(frozen=True)
class Ended:
    """A command that has ended, and its output with errors."""

    code: int
    output: str


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, make_corpus: Callable[..., None]) -> Iterator[Site]:
    """What a user has before the first command of the README, and hosts, of which one never answers."""
    folder = tmp_path_factory.mktemp("over") / "my ssh"
    folder.mkdir()
    with sshd.network(*HOSTS, AWAY) as network:
        network.hosts[-1].kill()
        site = Site(folder, network.environment, network)
        site.furnish(make_corpus, SCRIPT)
        (folder / "hosts").write_text("".join(f"{host.name}\n" for host in network.hosts))
        yield site


@pytest.fixture(scope="module")
def went(site: Site) -> Ended:
    """How the README's command went, while the host died that was at the slow document."""
    site.type(written("^    (mkdir .*)$"))
    command, shard = site.start(COMMAND), site.slow_shard()
    until(lambda: site.at_work(shard) or command.poll() is not None)
    claim = site.at_work(shard)
    if claim:
        site.network.of(claim.owner["pid"]).kill()
    output, _ = command.communicate(timeout=240)
    return Ended(command.returncode, output)


def test_the_work_of_a_host_that_dies_and_of_one_that_never_answers_is_done_by_others(went: Ended) -> None:
    assert went.code == 0, went.output
    assert "Connection refused" in went.output
    assert re.search("closed by remote host|Connection reset", went.output)


@pytest.mark.usefixtures("went")
def test_every_shard_is_proven(site: Site) -> None:
    proven = site.type("nbpipe verify runs/production")
    assert re.findall("^[a-z]+: .*", proven.stdout, re.MULTILINE) == [
        f"{stage}: has no receipt, so it is not finished; run it" for stage in ("train", "explain")
    ]
    assert len(list(site.run.audit.glob("preprocess-*-of-00010.ipynb"))) == SHARDS


@pytest.mark.usefixtures("went")
def test_the_parts_are_those_of_one_machine(site: Site, tmp_path: Path) -> None:
    here = site.parts_here(tmp_path)
    assert (parts(site.run.folder), len(here)) == (here, SHARDS)


def test_a_shard_that_fails_everywhere_is_said_each_time_and_in_the_exit_code(site: Site, tmp_path: Path) -> None:
    other = site.beside(tmp_path, '[ $NBPIPE_SHARD != 4 ] || { echo "a reason"; false; }')
    done = other.type(COMMAND)
    assert done.returncode == 1
    assert set(re.findall("a reason\nshard 4 failed on (.*)", done.stdout)) == set(site.living)


def test_ctrl_c_ends_the_kernels_on_the_hosts(site: Site, tmp_path: Path) -> None:
    cell = "import os, pathlib, time; pathlib.Path(f'begun-{os.getpid()}').touch(); time.sleep(600)"
    (tmp_path / "sleep.ipynb").write_text(nbformat.writes(new_notebook(cells=[new_code_cell(cell)])))
    other = site.beside(tmp_path, "papermill -k python3 sleep.ipynb out-$NBPIPE_SHARD.ipynb")
    command = other.start(COMMAND)
    until(lambda: len(list(tmp_path.glob("begun-*"))) == len(site.living), 60)
    os.killpg(command.pid, signal.SIGINT)
    command.communicate(timeout=60)
    until(lambda: not any(host.processes for host in site.network.hosts), 60)
    assert command.returncode == -signal.SIGINT
