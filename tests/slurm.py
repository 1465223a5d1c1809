"""A Slurm cluster on this machine, of Debian's slurmctld, slurmd, slurm-client and munge, in a temporary folder.

    python tests/slurm.py COMMAND ...

runs a command in one, for which sbatch, squeue and scancel speak to it.

Unusual: a Slurm that this machine may have is neither read nor disturbed: key, socket, ports and state are the
cluster's own. Its folder lies directly in /tmp, since munge wants a socket that everybody can reach. The kernel ends
the daemons where their parent is killed; slurmd leaves tasks behind, which are found by the SLURM_CONF they were given.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "setpriv")
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
_STARTS = 60  # seconds
_CONF = """
ClusterName=nbpipe
SlurmctldHost={name}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=1
ReturnToService=2
NodeName={name} NodeAddr=127.0.0.1 CPUs={cpus}
PartitionName=main Nodes=ALL Default=YES
"""


def lacking() -> str:
    """Return why a cluster cannot be started here, nothing where it can."""
    missing = [name for name in _NEEDED if not shutil.which(name, path=_PATH)]
    if missing:
        return f"needs {', '.join(missing)}, of Debian's slurmctld, slurmd, slurm-client, munge and util-linux"
    return "" if os.geteuid() == 0 else "needs root, as slurmd does"


@dataclass(frozen=True)
class Cluster:
    """A running cluster."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs to speak to it: this process' environment, without what another Slurm has set there."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH"))}
        return kept | {"PATH": _PATH, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def ask(self, *command: str) -> str:
        """Return what one of Slurm's commands prints."""
        return subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True).stdout


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Start a cluster of one node with the CPUs of this machine, and end all that runs on it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    daemons = list[subprocess.Popen[bytes]]()
    made = Cluster(folder)
    try:
        _configure(folder)
        munge = [f"--{name}-file={folder / name}" for name in ("key", "pid", "seed")]
        daemons.append(_start(made, "munged", "--foreground", f"--socket={folder / 'munge'}", *munge))
        _await(lambda: (folder / "munge").exists(), made, daemons)
        daemons += [_start(made, "slurmctld", "-D"), _start(made, "slurmd", "-D")]
        _await(lambda: _idle(made), made, daemons)
        yield made
    finally:
        _end(made, daemons)
        shutil.rmtree(folder)


def _configure(folder: Path) -> None:
    """Write the cluster's key and configuration, and make the folders that it names."""
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "key").touch(0o600)
    (folder / "key").write_bytes(secrets.token_bytes(128))
    name = socket.gethostname().split(".")[0]
    conf = _CONF.format(folder=folder, name=name, ports=free_ports(2), cpus=os.cpu_count())
    (folder / "slurm.conf").write_text(conf)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens at."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [free.getsockname()[1] for free in sockets]
    finally:
        for free in sockets:
            free.close()


def _start(made: Cluster, name: str, *flags: str) -> subprocess.Popen[bytes]:
    """Start a daemon that the kernel ends when this process dies."""
    with (made.folder / f"{name}.out").open("w") as out:
        command = ["setpriv", "--pdeathsig", "TERM", name, *flags]
        return subprocess.Popen(command, env=made.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)


def _await(holds: Callable[[], bool], made: Cluster, daemons: list[subprocess.Popen[bytes]]) -> None:
    """Wait until something holds; raise RuntimeError with what the daemons said where one ends, or it does not come."""
    ends = time.monotonic() + _STARTS
    while not holds():
        if time.monotonic() > ends or any(daemon.poll() is not None for daemon in daemons):
            said = [f"{path.name}: {path.read_text()[-1000:]}" for path in sorted(made.folder.glob("*.out"))]
            raise RuntimeError("\n".join(["Slurm did not start", *said]))
        time.sleep(0.1)


def _idle(made: Cluster) -> bool:
    asked = subprocess.run(["sinfo", "-h", "-o", "%T"], env=made.environment, capture_output=True, text=True)
    return asked.stdout.strip() == "idle"


def _end(made: Cluster, daemons: list[subprocess.Popen[bytes]]) -> None:
    """End slurmctld, so that no task begins any more, then all that was started from here, then the other daemons."""
    own = {os.getpid(), *(daemon.pid for daemon in daemons)}
    for daemon in daemons[1:2]:
        _stop(daemon)
    for process in _users(made):
        if process.pid not in own:
            with suppress(psutil.NoSuchProcess):
                process.kill()
    for daemon in reversed(daemons):
        _stop(daemon)


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    try:
        daemon.wait(10)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def _users(made: Cluster) -> list[psutil.Process]:
    """Return the processes that were given this cluster's SLURM_CONF, and the slurmstepd of each task of it."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("SLURM_CONF") == made.environment["SLURM_CONF"]:
                parent = process.parent()
                found += [process, *([parent] if parent and parent.name() == "slurmstepd" else [])]
    return found


def main() -> None:
    """Run the command that was given in a cluster, and exit as it does."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if not sys.argv[1:] or lacking():
        sys.exit(lacking() or "python tests/slurm.py COMMAND ...")
    with cluster() as made:
        code = subprocess.run(sys.argv[1:], env=made.environment).returncode
    sys.exit(code)


if __name__ == "__main__":
    main()
