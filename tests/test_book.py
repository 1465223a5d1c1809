"""What a saved notebook holds, and which changes of it count."""

import json
from collections.abc import Callable

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from nbpipe.book import Cell, read_cells


def book() -> nbformat.NotebookNode:
    outputs = [
        new_output("stream", name="stdout", text="one\ntwo\n"),
        new_output("stream", name="stdout", text="three"),
        new_output(
            "display_data", {"text/html": "<b>\n1</b>", "image/png": "AAAA"}, metadata={"image/png": {"width": 7}}
        ),
        new_output("execute_result", {"text/plain": "4", "application/json": ["a", "b"]}, execution_count=1),
    ]
    code = new_code_cell("a = 1\nb = 2", outputs=outputs, execution_count=1, metadata={"tags": ["verdict"]})
    return new_notebook(cells=[new_markdown_cell("# What?\n\nProse."), code])


def digests(found: nbformat.NotebookNode) -> list[dict[str, str | None]]:
    return [cell.digests for cell in read_cells(nbformat.writes(found).encode())]


def test_cells_are_read_as_nbformat_reads_them() -> None:
    prose, code = read_cells(nbformat.writes(book()).encode())
    assert prose == Cell("markdown", "# What?\n\nProse.")
    assert (code.source, code.count, code.tags, code.code, prose.code) == ("a = 1\nb = 2", 1, ["verdict"], True, False)


def test_how_text_is_cut_and_what_a_machine_notes_does_not_count() -> None:
    other = book()
    code = other.cells[1]
    code.outputs[0:2] = [new_output("stream", name="stdout", text="one\ntwo\nthree")]
    code.metadata["papermill"] = {"start_time": "2020"}
    code.id, code.execution_count = "another", 9
    other.metadata["papermill"] = {"output_path": "elsewhere"}
    joined = [cell.digests for cell in read_cells(json.dumps(other).encode())]  # nothing is cut into lines
    assert joined == digests(other) == digests(book())


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda prose, code: prose.update(source="# Who?"), (0, "is")),
        (lambda prose, code: code.update(source="a = 1\nb = 3"), (1, "is")),
        (lambda prose, code: code.metadata.update(tags=[]), (1, "is")),
        (lambda prose, code: code.outputs[0].update(text="one\n"), (1, "prints")),
        (lambda prose, code: code.outputs[1].update(name="stderr"), (1, "prints")),
        (lambda prose, code: code.outputs[2].data.update({"image/png": "AAAB"}), (1, "shows")),
        (lambda prose, code: code.outputs[2].metadata["image/png"].update(width=8), (1, "shows")),
        (lambda prose, code: code.outputs[3].data.update({"application/json": ["ab"]}), (1, "shows")),
        (lambda prose, code: code.outputs.pop(), (1, "shows")),
    ],
)
def test_what_people_read_counts(change: Callable, what: tuple[int, str]) -> None:
    other = book()
    change(*other.cells)
    pairs = zip(digests(book()), digests(other), strict=True)
    assert [(n, name) for n, (was, now) in enumerate(pairs) for name in was if was[name] != now[name]] == [what]


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"nbformat": 4, "cells": [{}]}', b'{"nbformat": 3, "cells": []}', b"\xff"]
)
def test_what_is_no_notebook_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no notebook"):
        read_cells(data)
