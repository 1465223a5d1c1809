"""Parsers that do what no parser should; a file's name says what. Importable by the processes that run them."""

import ctypes
import os
import re
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

from nbpipe.preprocess.options import Options
from nbpipe.preprocess.parsers import Parsed, parse


def by_name(path: Path, options: Options) -> Parsed:
    """Do what the first word of the file's name says; read it as text otherwise."""
    deed = globals().get("do_" + path.name.split("-")[0])
    found = deed(path) if deed else None
    return found or Parsed("ok", "", "made", [path.read_text()])


def slowly(path: Path, options: Options) -> Parsed:
    """Read a document as usual, after a while."""
    time.sleep(0.05)
    return parse(path, options)


def patiently(path: Path, options: Options) -> Parsed:
    """Read a document slowly, and more so until a host that joins late, and has LATE in its environment, reads one."""
    joined = path.parent.with_name("joined")
    if "LATE" in os.environ:
        joined.touch()
    time.sleep(0.05 if joined.exists() else 0.3)
    return parse(path, options)


def do_slow(path: Path) -> None:
    time.sleep(0.05)


def do_rest(path: Path) -> None:
    time.sleep(float(path.stem.split("-")[1]))


def do_sleep(path: Path) -> None:
    time.sleep(600)


def do_spin(path: Path) -> None:
    while True:
        pass


def do_native(path: Path) -> None:
    re.match("(a*)*b", "a" * 64)  # backtracks for longer than the universe is old, holding the interpreter's lock


def do_segfault(path: Path) -> None:
    ctypes.string_at(0)


def do_abort(path: Path) -> None:
    os.abort()


def do_exit(path: Path) -> None:
    os._exit(3)


def do_leave(path: Path) -> None:
    os._exit(0)


def do_hog(path: Path) -> None:
    sum(map(len, [b"x" * (1 << 20) for _ in range(1 << 20)]))


def do_recurse(path: Path) -> None:
    do_recurse(path)


def do_dive(path: Path) -> None:
    sys.setrecursionlimit(1 << 30)
    resource.setrlimit(resource.RLIMIT_STACK, (1 << 23, resource.getrlimit(resource.RLIMIT_STACK)[1]))
    nested = []
    for _ in range(1 << 18):
        nested = [nested]
    repr(nested)


def do_raise(path: Path) -> None:
    raise AssertionError("inside")


def do_write(path: Path) -> None:
    print("noise")
    os.write(1, b"noise")
    os.write(2, b"noise")
    subprocess.run(["sh", "-c", "echo noise; echo noise >&2"])


def do_thread(path: Path) -> None:
    threading.Thread(target=do_spin, args=[path], daemon=True).start()


def do_child(path: Path) -> Parsed:
    child = subprocess.Popen(["sleep", "600"])
    return Parsed("ok", "", "made", [str(child.pid)])


def do_nurse(path: Path) -> None:
    subprocess.Popen(["sleep", "599"])
    time.sleep(600)


def do_deaf(path: Path) -> None:
    os.closerange(3, 100)


def do_nothing(path: Path) -> str:
    return "no outcome"


def do_gigabyte(path: Path) -> Parsed:
    return Parsed("ok", "", "made", ["short", "x" * (1 << 30), "never kept"])


def do_pages(path: Path) -> Parsed:
    return Parsed("ok", "", "made", [str(number) for number in range(5000)])


def do_surrogate(path: Path) -> Parsed:
    return Parsed("ok", "", "made", ["a\ud800b"])


def do_grow(path: Path) -> None:
    path.write_text("longer than it was before")


def do_vanish(path: Path) -> None:
    path.unlink()


def do_forbidden(path: Path) -> Parsed:
    path.chmod(0)
    os.seteuid(65534)  # root may read anything; nobody may not
    try:
        return parse(path, Options())
    finally:
        os.seteuid(0)


def do_pid(path: Path) -> Parsed:
    return Parsed("ok", "", "made", [str(os.getpid())])


def by_task(tasks: object, path: Path, options: Options) -> Parsed:
    """Do with a file what its name says, as work that comes with tasks."""
    return by_name(path, options)
