"""Whatever the parsers found is what the next stage reads."""

from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from nbpipe.config import STATUSES
from nbpipe.preprocess import parts as parts_module
from nbpipe.preprocess.files import Document
from nbpipe.preprocess.parsed import Parsed, judged, tidy
from nbpipe.preprocess.parts import Parts
from nbpipe.preprocess.worker import Outcome, Verdict
from nbpipe.records import LEDGER, PART, read_table

same = settings(derandomize=True, deadline=None, max_examples=30)  # the same on every machine; each flushes files
IDENTITY = {"plan": "f00d", "shard": 0, "num_shards": 1, "parser": "1"}
pages = st.lists(st.text(), max_size=4)
numbers = st.lists(st.integers(1, 2**31 - 1), max_size=3)
found = st.builds(Parsed, st.sampled_from(STATUSES), st.text(), st.text(), pages, numbers, numbers)
sizes = st.integers(0, 2**63 - 1)
verdicts = st.builds(Verdict, st.sampled_from(STATUSES), st.text(), st.text(), st.floats(0, 1e9))
outcomes = st.lists(
    st.builds(
        Outcome,
        id=st.text(min_size=1),
        sha256=st.text("0123456789abcdef", max_size=64),
        bytes=sizes,
        parsed=found,
        seconds=st.floats(0, 1e9),
        peak_bytes=sizes,
        earlier=st.lists(verdicts, max_size=2).map(tuple),
    ),
    min_size=1,
    max_size=7,
    unique_by=lambda outcome: outcome.id,
)


@same
@given(outcomes)
def test_outcomes_are_read_back_from_parts_and_ledger(given: list[Outcome]) -> None:
    with TemporaryDirectory() as folder, mock.patch.object(parts_module, "PART_ROWS", 3):
        parts = parts_of(given, Path(folder))
        rows = [row for path in parts.paths for row in read_table(path, PART).to_pylist()]
        entries = read_table(parts.ledger, LEDGER).to_pylist()
    for outcome, row, entry in zip(given, rows, entries, strict=True):
        parsed = outcome.parsed
        assert (row["path"], row["sha256"], row["bytes"]) == (outcome.id, outcome.sha256, outcome.bytes)
        assert (row["status"], row["pages"]) == (parsed.status, parsed.pages)
        assert (entry["path"], entry["status"], entry["pages"]) == (outcome.id, parsed.status, len(parsed.pages))
        assert (entry["reason"], entry["parser"]) == (parsed.reason, parsed.parser)
        assert (entry["scanned_pages"], entry["ocr_pages"]) == (parsed.scanned, parsed.ocr)
        assert (entry["seconds"], entry["peak_bytes"]) == (outcome.seconds, outcome.peak_bytes)
        assert tuple(Verdict(**verdict) for verdict in entry["earlier"]) == outcome.earlier


@same
@given(outcomes)
def test_written_parts_lack_nothing(given: list[Outcome]) -> None:
    with TemporaryDirectory() as folder, mock.patch.object(parts_module, "PART_ROWS", 3):
        assert parts_of(given, Path(folder)).lacking() == {}


@same
@given(outcomes)
def test_outcomes_of_unfinished_parts_are_read_back(given: list[Outcome]) -> None:
    with TemporaryDirectory() as folder:
        parts = Parts(Path(folder), [], IDENTITY)
        parts.keep(given)
        assert parts.kept() == given


@same
@given(st.lists(st.text() | st.text("a\r\n\xad\ufeff\ufb01\ufffe\0\ud800\udc00")))
def test_whatever_text_a_parser_makes_lone_surrogates_among_it_can_be_kept(texts: list[str]) -> None:
    parsed = judged(texts, "made")
    assert [page.encode().decode() for page in parsed.pages] == [tidy(text) for text in texts]
    assert [tidy(page) for page in parsed.pages] == parsed.pages


def parts_of(given: list[Outcome], folder: Path) -> Parts:
    """Write outcomes as the parts and the ledger of a shard."""
    documents = [Document(outcome.id, outcome.bytes, Path(outcome.id)) for outcome in given]
    parts = Parts(folder, documents, IDENTITY)
    for index, group in parts.lacking().items():
        start = index * parts_module.PART_ROWS
        parts.write(index, given[start : start + len(group)])
    parts.close()
    return parts
