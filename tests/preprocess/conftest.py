"""A module of parsers that misbehave, importable from the worker processes."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from nbpipe.preprocess.files import Document

PARSERS = '''
import ctypes, os, re, subprocess, sys, threading, time
from dataclasses import replace
from nbpipe.preprocess.parsers import Parsed, parse

def by_name(path, options):
    """Do what the first word of the file's name says; read it as text otherwise."""
    deed = globals().get("do_" + path.name.split("-")[0])
    found = deed(path) if deed else None
    return found or Parsed("ok", "", "made", [path.read_text()])

def do_sleep(path):
    time.sleep(600)

def do_spin(path):
    while True:
        pass

def do_native(path):
    re.match("(a*)*b", "a" * 64)  # backtracks for longer than the universe is old, holding the interpreter's lock

def do_segfault(path):
    ctypes.string_at(0)

def do_abort(path):
    os.abort()

def do_exit(path):
    os._exit(3)

def do_leave(path):
    os._exit(0)

def do_hog(path):
    held = [b"x" * (1 << 20) for _ in range(1 << 20)]

def do_recurse(path):
    do_recurse(path)

def do_dive(path):
    sys.setrecursionlimit(1 << 30)
    nested = []
    for _ in range(1 << 20):
        nested = [nested]
    repr(nested)

def do_raise(path):
    raise AssertionError("inside")

def do_write(path):
    print("noise")
    os.write(1, b"noise")
    os.write(2, b"noise")
    subprocess.run(["sh", "-c", "echo noise; echo noise >&2"])

def do_thread(path):
    threading.Thread(target=do_spin, args=[path], daemon=True).start()

def do_child(path):
    child = subprocess.Popen(["sleep", "600"])
    return Parsed("ok", "", "made", [str(child.pid)])

def do_nurse(path):
    subprocess.Popen(["sleep", "599"])
    time.sleep(600)

def do_deaf(path):
    os.closerange(3, 100)

def do_nothing(path):
    return "no outcome"

def do_gigabyte(path):
    return Parsed("ok", "", "made", ["short", "x" * (1 << 30), "never kept"])

def do_pages(path):
    return Parsed("ok", "", "made", [str(number) for number in range(5000)])

def do_surrogate(path):
    return Parsed("ok", "", "made", ["a\\ud800b"])

def do_grow(path):
    path.write_text("longer than it was before")

def do_vanish(path):
    path.unlink()

def do_forbidden(path):
    os.chmod(path, 0)
    os.seteuid(65534)  # root may read anything; nobody may not
    try:
        return parse(path, None)
    finally:
        os.seteuid(0)

def do_pid(path):
    return Parsed("ok", "", "made", [str(os.getpid())])
'''


@pytest.fixture(scope="session")
def misbehaving(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The module of made parsers; `by_name` does what a file's name says."""
    folder = tmp_path_factory.mktemp("parsers")
    (folder / "nbpipe_made_parsers.py").write_text(PARSERS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield import_module("nbpipe_made_parsers")


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., list[Document]]:
    """Make files of these names, and return them as documents."""

    def make(*names: str) -> list[Document]:
        for name in names:
            (tmp_path / name).write_text(f"text of {name}")
        return [Document(name, (tmp_path / name).stat().st_size, tmp_path / name) for name in names]

    return make
