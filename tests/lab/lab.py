"""JupyterLab as a person uses it: a server of its own on this machine, a real browser, the keyboard.

Unusual: "Run All" before the kernel is connected silently runs nothing, so a notebook counts as open only when its
kernel says so. Nothing outside this machine is asked for.
"""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from playwright.sync_api import Page

ROOT = Path(__file__).parents[2]
_STARTS, _RUNS = 60, 150  # seconds
# A server without extensions of its own, and a page without news, updates and what else it would ask the network for.
_FLAGS = (
    "--no-browser",
    "--ServerApp.open_browser=False",
    "--ServerApp.allow_root=True",
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)
_SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},  # all cells are on the page, also those out of sight
}


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab."""

    port: int
    token: str

    def url(self, place: str) -> str:
        """Return the address of something on the server."""
        mark = "&" if "?" in place else "?"
        return f"http://127.0.0.1:{self.port}/{place}{mark}token={self.token}"

    def ask(self, place: str) -> Any:
        """Return what the server's programming interface says."""
        with urlopen(self.url(f"api/{place}"), timeout=10) as answer:
            return json.load(answer)

    def idle(self, notebook: str) -> bool:
        """Return whether the kernel of a notebook is connected to the page and has nothing to do."""
        kernels = [session["kernel"] for session in self.ask("sessions") if session["path"] == notebook]
        return any(kernel["connections"] and kernel["execution_state"] == "idle" for kernel in kernels)

    def open(self, page: Page, notebook: str) -> None:
        """Open a notebook, and wait until its kernel is connected and idle."""
        page.goto(self.url(f"lab/workspaces/auto-{secrets.token_hex(4)}/tree/{notebook}"))
        page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=1000 * _STARTS)
        await_true(lambda: self.idle(notebook), _STARTS, page)

    def run_all(self, page: Page, notebook: str) -> None:
        """Run every cell, and wait until the kernel is done and each cell has its number."""
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        await_true(lambda: not self.idle(notebook) or _counted(page), 10, page)
        await_true(lambda: self.idle(notebook) and _counted(page), _RUNS, page)


def _counted(page: Page) -> bool:
    """Return whether the last code cell that is on the page has been executed."""
    prompts = page.locator(".jp-CodeCell .jp-InputArea-prompt").all_inner_texts()
    return bool(prompts) and all(prompt.strip("[]: \u200b").isdigit() for prompt in prompts)


def await_true(holds: Callable[[], bool], seconds: float, page: Page) -> None:
    """Wait until something holds, and let the page work meanwhile."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds:g} s")
        page.wait_for_timeout(150)


@contextmanager
def jupyter_lab(folder: Path) -> Iterator[Lab]:
    """Start JupyterLab in a folder, with settings and state in a hidden folder of it, and end it afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lab, own = Lab(port, secrets.token_hex(16)), folder / ".jupyter"
    places = {name: str(own / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}
    places |= {"JUPYTERLAB_SETTINGS_DIR": str(own / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(own / "workspaces")}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-m", "jupyterlab", *_FLAGS, f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    environment = {**os.environ, **places, "PYTHONPATH": path, "JUPYTER_TOKEN": lab.token}
    for name, setting in _SETTINGS.items():
        file = own / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(setting))
    with (own / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            _await_server(lab, server, own / "log")
            yield lab
        finally:
            server.terminate()
            server.wait(30)


def _await_server(lab: Lab, server: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + _STARTS
    while time.monotonic() < end and server.poll() is None:
        try:
            lab.ask("status")
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")
