"""What was set for a stage: the parameters that are not what they are by default, and those in which runs differ.

Unusual: it is read from receipts, whose configs hold no folder but its last name. Where a run lies and which of its
shards this is are no settings.
"""

from collections.abc import Sequence
from typing import Any

from nbpipe.config import Config, Explain, Preprocess, Train
from nbpipe.report.evidence import Evidence, Piece
from nbpipe.shown import words

_CONFIGS: dict[str, type[Config]] = {"preprocess": Preprocess, "train": Train, "explain": Explain}
_PLACES = {"documents", "run", "shard", "num_shards", "workers"}


def settings(piece: Piece) -> dict[str, str]:
    """Return the parameters of a stage that are not the default, as people see them; none where it proves nothing."""
    usual = {name: field.default for name, field in _CONFIGS[piece.stage].model_fields.items()}
    return {name: words(value) for name, value in _set(piece).items() if value != usual.get(name) and value != ""}


def _set(piece: Piece) -> dict[str, Any]:
    config = piece.receipt.facts["config"] if piece.receipt and piece.sound else {}
    return {name: value for name, value in config.items() if name not in _PLACES}


def differences(runs: Sequence[Evidence]) -> list[tuple[str, str, list[str | None]]]:
    """Return stage, parameter and each run's value of what was not set alike; None where a run proves nothing.

    Of preprocess the first shard speaks for all.
    """
    rows = []
    for stage in _CONFIGS:
        configs = [_set(_first(evidence, stage)) for evidence in runs]
        for name in dict.fromkeys(name for config in configs for name in config):
            values = [words(config.get(name)) if config else None for config in configs]
            if len(set(values) - {None}) > 1:
                rows.append((stage, name, values))
    return rows


def _first(evidence: Evidence, stage: str) -> Piece:
    return next(piece for piece in evidence.pieces if piece.stage == stage)
