"""Several hosts on this machine: network namespaces with addresses of their own, joined by a bridge.

Unusual: each host also has its own view of some folders, bound over the common path in a mount namespace that nobody
else sees. Who may not make namespaces, or lacks iproute2, is told by `lacking`.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO


def lacking() -> str:
    """Return why hosts cannot be made here, nothing where they can."""
    if not shutil.which("ip"):
        return "needs ip, of Debian's iproute2"
    name = f"nbtry{os.getpid()}"
    tried = _ip("netns", "add", name, check=False)
    _ip("netns", "del", name, check=False)
    return "" if tried.returncode == 0 else "needs the right to make network namespaces"


def _ip(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *words], check=check, capture_output=True, text=True)


@dataclass(frozen=True)
class Host:
    """One host: its namespace, its address, the bridge's end of its wire, and what it sees at which path."""

    namespace: str
    address: str
    wire: str
    views: Mapping[Path, Path]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(
        self, *command: str, cwd: Path, env: Mapping[str, str], output: IO[str] | int | None = None
    ) -> subprocess.Popen[str]:
        """Start a command on this host."""
        binds = [f'mount --bind "{own}" "{common}"' for common, own in self.views.items()]
        script = " && ".join([*binds, 'exec "$@"'])
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.namespace, "sh", "-c", script, "sh", *command],
            cwd=cwd,
            env={**os.environ, **env},
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def cut_off(self) -> None:
        """Unplug it from the network; what runs on it goes on."""
        _ip("link", "set", self.wire, "down")

    def kill(self) -> None:
        """End everything that runs on it, at once."""
        for pid in map(int, _ip("netns", "pids", self.namespace, check=False).stdout.split()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.started:
            process.wait()
            if process.stdout:
                process.stdout.close()


@contextmanager
def network(folder: Path, count: int, views: list[Path]) -> Iterator[list[Host]]:
    """Yield hosts 10.77.0.1 and so on, which reach each other and nothing else.

    views: folders of which each host sees a copy of its own, kept in `folder`.
    """
    bridge, own = f"nb{os.getpid()}", [f"nb{os.getpid()}h{index}" for index in range(count)]
    hosts = []
    try:
        _ip("link", "add", bridge, "type", "bridge")
        _ip("link", "set", bridge, "up")
        for index, name in enumerate(own, start=1):
            copies = {view: folder / name / view.name for view in views}
            for view, copy in copies.items():
                shutil.copytree(view, copy)
            hosts.append(Host(name, f"10.77.0.{index}", f"{name}w", copies))
            _ip("netns", "add", name)
            _ip("link", "add", f"{name}w", "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", f"{name}w", "master", bridge, "up")
            _ip("-n", name, "addr", "add", f"10.77.0.{index}/24", "dev", "eth0")
            for device in ("eth0", "lo"):
                _ip("-n", name, "link", "set", device, "up")
        yield hosts
    finally:
        for host in hosts:
            host.kill()
            _ip("link", "del", host.wire, check=False)
            _ip("netns", "del", host.namespace, check=False)
        _ip("link", "del", bridge, check=False)
