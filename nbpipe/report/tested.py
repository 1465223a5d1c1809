"""Which documents a run's model was tested on, and which of them it got right: what tells whether scores compare.

Unusual: documents are the same when their bytes and their labels are, wherever they lay and whatever they were called.
"""

from dataclasses import dataclass

import pyarrow as pa

from nbpipe.errors import WorkError
from nbpipe.records import PART, read_table
from nbpipe.report.evidence import Evidence

_LISTED = pa.schema([pa.field(name, pa.string()) for name in ("path", "label", "part", "predicted")])
_DIGESTS = pa.schema([PART.field(name) for name in ("path", "sha256")])


@dataclass(frozen=True)
class Tested:
    """The test documents of a run: whether each was given exactly its labels, by its (SHA-256, label)."""

    right: dict[tuple[str, str], bool]

    @property
    def documents(self) -> frozenset[tuple[str, str]]:
        """What makes two tests the same."""
        return frozenset(self.right)


def tested(evidence: Evidence) -> Tested | None:
    """Return what the model of a run was tested on; None where the run does not prove it."""
    if not evidence.train.sound or not all(piece.sound for piece in evidence.shards):
        return None
    try:
        rows = read_table(evidence.train.receipt.folder / "documents.parquet", _LISTED).to_pylist()
        digests = _digests(evidence)
    except WorkError:
        return None
    test = [row for row in rows if row["part"] == "test" and row["path"] in digests]
    return Tested(
        {(digests[row["path"]], row["label"]): _labels(row["label"]) == _labels(row["predicted"]) for row in test}
    )


def _labels(text: str | None) -> set[str]:
    return set((text or "").split("|"))


def _digests(evidence: Evidence) -> dict[str, str]:
    """Return the SHA-256 of every document by its path."""
    found = {}
    for folder in (piece.receipt.folder for piece in evidence.shards):
        for path in sorted(folder.glob("part-*.parquet")):
            table = read_table(path, _DIGESTS)
            found |= zip(table["path"].to_pylist(), table["sha256"].to_pylist(), strict=True)
    return found
