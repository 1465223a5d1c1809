"""Several hosts on this machine, each an OpenSSH server of its own on a port of its own, in a temporary folder.

Unusual: what this machine's users have in ~/.ssh, and a server that may run here, are neither read nor disturbed. The
`ssh` that comes first in PATH reads the hosts' own configuration, since OpenSSH takes no other way to name one. What
runs on a host is found by a variable that its server sets.
"""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from recipe import ROOT, until
from slurm import free_ports

_NEEDED = {"sshd": "openssh-server", "ssh": "openssh-client", "ssh-keygen": "openssh-client", "parallel": "parallel"}
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
_MARK = "NBPIPE_TEST_HOST"
_SERVER = """
ListenAddress 127.0.0.1:{port}
HostKey {folder}/key
AuthorizedKeysFile {folder}/key.pub
StrictModes no
UsePAM no
PidFile none
SetEnv {mark}={folder}/{name} PYTHONPATH={root}
"""
_CLIENT = """
Host {name}
HostName 127.0.0.1
Port {port}
HostKeyAlias nbpipe
"""
_COMMON = """
Host *
IdentityFile {folder}/key
IdentitiesOnly yes
UserKnownHostsFile {folder}/known
StrictHostKeyChecking yes
"""


def lacking() -> str:
    """Return why there can be no hosts here, nothing where there can."""
    missing = [package for name, package in _NEEDED.items() if not shutil.which(name, path=_PATH)]
    return f"needs Debian's {', '.join(sorted(set(missing)))}" if missing else ""


@dataclass(frozen=True)
class Host:
    """One host: its name, and its server."""

    folder: Path
    name: str
    port: int
    server: subprocess.Popen[bytes]

    @property
    def processes(self) -> list[psutil.Process]:
        """What runs on it, besides its servers."""
        return [one for one in psutil.process_iter() if _variable(one, _MARK) == f"{self.folder}/{self.name}"]

    def answers(self) -> bool:
        """Return whether its server takes connections."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False

    def kill(self) -> None:
        """End it and everything that runs on it, at once."""
        found = psutil.Process(self.server.pid).children(recursive=True) if self.server.poll() is None else []
        self.server.kill()
        self.server.wait()
        for process in [*found, *self.processes]:
            with suppress(psutil.NoSuchProcess):
                process.kill()


@dataclass(frozen=True)
class Network:
    """Some hosts, and the folder of what it takes to reach them."""

    folder: Path
    hosts: list[Host]

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs to reach them: this process' environment, with an `ssh` that knows them."""
        own = {"PATH": f"{self.folder / 'bin'}{os.pathsep}{_PATH}", "PARALLEL_HOME": str(self.folder / "parallel")}
        return {**os.environ, **own}

    def of(self, pid: int) -> Host:
        """Return the host that a process runs on."""
        (host,) = [host for host in self.hosts if pid in [process.pid for process in host.processes]]
        return host


@contextmanager
def network(*names: str) -> Iterator[Network]:
    """Start hosts of these names, and end all that runs on them afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="sshd-"))
    made = Network(folder, [])
    try:
        _keys(folder)
        for name, port in zip(names, free_ports(len(names)), strict=True):
            made.hosts.append(_start(folder, name, port))
        with (folder / "config").open("a") as file:
            file.write(_COMMON.format(folder=folder))
        until(lambda: all(host.answers() for host in made.hosts), 30)
        yield made
    finally:
        for host in made.hosts:
            host.kill()
        shutil.rmtree(folder)


def _keys(folder: Path) -> None:
    """Make one key, for hosts and user, and the `ssh` that uses it."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True)
    (folder / "known").write_text(f"nbpipe {(folder / 'key.pub').read_text()}")
    ssh = folder / "bin" / "ssh"
    for place in (ssh.parent, folder / "parallel"):
        place.mkdir()
    ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/config "$@"\n')
    ssh.chmod(0o755)


def _start(folder: Path, name: str, port: int) -> Host:
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where the server locks itself in; at home made by systemd
    values = {"folder": folder, "name": name, "port": port, "mark": _MARK, "root": ROOT}
    conf = folder / f"{name}.conf"
    conf.write_text(_SERVER.format(**values))
    with (folder / "config").open("a") as file:
        file.write(_CLIENT.format(**values))
    command = [shutil.which("sshd", path=_PATH) or "sshd", "-D", "-f", conf, "-E", folder / f"{name}.log"]
    return Host(folder, name, port, subprocess.Popen(command, stdin=subprocess.DEVNULL))


def _variable(process: psutil.Process, name: str) -> str | None:
    try:
        return process.environ().get(name)
    except psutil.Error:
        return None
