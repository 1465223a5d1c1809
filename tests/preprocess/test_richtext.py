"""Every RTF is made here; what is odd in it stands in the name of its test."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nbpipe.preprocess.parsers import Parsed, parse

HEAD = rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0\fcharset0 Arial;}{\f1\fcharset204 Arial;}}{\info{\title unseen}}"


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Parsed]:
    """Write an RTF and parse it."""

    def write_and_parse(inner: bytes, head: bytes = HEAD, tail: bytes = b"}") -> Parsed:
        (tmp_path / "made.rtf").write_bytes(head + inner + tail)
        return parse(tmp_path / "made.rtf")

    return write_and_parse


def test_paragraphs_and_breaks_are_lines(read: Callable) -> None:
    row = read(rb"\pard one {\b t}wo\par three\line four\par\par five\tab six")
    assert row == Parsed("ok", "", "rtf", ["one two\nthree\nfour\nfive\tsix"])


@pytest.mark.parametrize(
    ("inner", "text"),
    [
        (rb"na\'efve caf\'e9", "naïve café"),
        (rb"na\u239?ve caf\u233 ?", "naïve café"),
        ("naïve café".encode("cp1252"), "naïve café"),
        ("naïve café ж".encode(), "naïve café ж"),
        (rb"\f1 " + "мир".encode("cp1251"), "мир"),
        (rb"\f1 \'ec\'e8\'f0", "мир"),
        (rb"\u-10179?\u-8704? \u-10179?", "\U0001f600 \ufffd"),
    ],
    ids=["escaped", "by number", "bare", "bare utf-8", "bare in a font", "escaped in a font", "beyond 16 bits"],
)
def test_characters_are_found(read: Callable, inner: bytes, text: str) -> None:
    assert read(inner).pages == [text]


def test_bare_bytes_of_a_picture_are_no_words(read: Callable) -> None:
    inner = rb"before {\pict\jpegblip\bin11 }}\par{no \xff}after {\*\blipuid no}{\object{\*\objdata\bin3 abc}}end"
    assert read(inner.replace(rb"\xff", b"\xff")).pages == ["before after end"]


@pytest.mark.parametrize("tail", [b"", b"{{{", b"}}}", rb"\bin9999999999 x", rb"\'", b"\\"])
def test_a_broken_end_keeps_the_words(read: Callable, tail: bytes) -> None:
    assert read(b"words ", tail=tail).pages[0].startswith("words")


@pytest.mark.parametrize("head", [b"words", b"PK\3\4", b"\xd0\xcf\x11\xe0", b"<html>"])
def test_what_does_not_begin_as_rtf_is_unreadable(read: Callable, head: bytes) -> None:
    row = read(b"", head=head)
    assert (row.status, row.reason) == (
        "unreadable",
        "it does not begin as RTF does (another kind of file under its name?)",
    )


def test_an_rtf_without_words_is_empty(read: Callable) -> None:
    assert read(rb"\pard\par").status == "empty"
