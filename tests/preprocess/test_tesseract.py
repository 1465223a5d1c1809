"""Programs of a line of shell stand in the place of Tesseract, except where it is to read real words."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from nbpipe.errors import StoppedError
from nbpipe.preprocess import tesseract
from nbpipe.stopping import terminable

PICTURE = b"P5 2 1 255\n\x00\xff"


def test_the_version_names_the_program(fake: Callable[[str], Path]) -> None:
    fake("true")
    assert tesseract.tesseract_version() == "tesseract-9.8.7"


@pytest.mark.usefixtures("no_tesseract")
def test_without_tesseract_there_is_no_version_and_the_obstacle_says_how_to_get_it() -> None:
    assert tesseract.tesseract_version() is None
    assert tesseract.obstacle("eng") == (
        "Tesseract is not installed: apt-get install tesseract-ocr, or conda install -c conda-forge tesseract"
    )


@pytest.mark.parametrize("languages", ["eng", "eng+frk", "script/Latin"])
def test_languages_that_are_installed_are_no_obstacle(fake: Callable[[str], Path], languages: str) -> None:
    fake("true")
    assert tesseract.obstacle(languages) == ""


@pytest.mark.parametrize(
    ("languages", "said"),
    [
        ("deu", "the language deu: apt-get install tesseract-ocr-deu"),
        ("eng+deu", "the language deu: apt-get install tesseract-ocr-deu"),
        ("chi_sim+Xy", "the language chi_sim and Xy: apt-get install tesseract-ocr-chi-sim tesseract-ocr-xy"),
        ("script/Thai", "the language script/Thai: apt-get install tesseract-ocr-all"),
    ],
)
def test_a_language_that_is_missing_is_named_with_its_package(
    fake: Callable[[str], Path], languages: str, said: str
) -> None:
    fake("true")
    assert tesseract.obstacle(languages) == f"Tesseract lacks {said}"


def test_a_program_that_does_not_start_is_an_obstacle(fake: Callable[..., Path]) -> None:
    fake("", script="#!/bin/sh\nexit 1\n")
    assert tesseract.obstacle("eng") == "Tesseract does not start: see what tesseract --list-langs says"
    assert tesseract.tesseract_version() is None


def test_the_languages_are_asked_once(fake: Callable[..., Path]) -> None:
    folder = fake("", script='#!/bin/sh\necho "$1" >> "${{0%/*}}/asked"\necho languages\necho eng\n')
    assert [tesseract.obstacle("eng") for _ in range(3)] == [""] * 3
    assert (folder / "asked").read_text() == "--list-langs\n"


def test_a_failure_to_list_the_languages_is_not_kept(fake: Callable[..., Path]) -> None:
    folder = fake("", script="#!/bin/sh\nexit 1\n")
    assert tesseract.obstacle("eng")
    (folder / "tesseract").write_text("#!/bin/sh\necho languages\necho eng\n")
    assert tesseract.obstacle("eng") == ""


def test_a_page_is_read_on_one_thread_in_the_languages_asked_for(fake: Callable[[str], Path]) -> None:
    fake('cat; echo " $@ $OMP_THREAD_LIMIT"')
    text = tesseract.read(PICTURE, "eng+frk")
    assert text.startswith("P5 2 1 255")
    assert text.endswith("stdin stdout -l eng+frk 1")


def test_a_reading_that_fails_says_how(fake: Callable[[str], Path]) -> None:
    fake("echo some; exit 3")
    with pytest.raises(OSError, match="exit code 3"):
        tesseract.read(PICTURE * 100_000, "eng")


def test_a_page_is_not_to_blame_when_everything_is_stopped_at_once(fake: Callable[[str], Path]) -> None:
    fake("kill -TERM $$")
    last = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM))
    with terminable():
        last.start()
        try:
            with pytest.raises(StoppedError):
                tesseract.read(PICTURE, "eng")
        finally:
            last.cancel()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_killed_parser_leaves_no_tesseract_behind(fake: Callable[[str], Path]) -> None:
    folder = fake('exec 4>"${0%/*}/pipe"; echo begun >&4; sleep 5 4>&-; echo survived >&4')
    os.mkfifo(folder / "pipe")
    parser = subprocess.Popen([sys.executable, "-c", "from nbpipe.preprocess.tesseract import read; read(b'', 'eng')"])
    with (folder / "pipe").open() as pipe:
        assert pipe.readline() == "begun\n"
        parser.kill()
        parser.wait()
        assert pipe.read() == ""
