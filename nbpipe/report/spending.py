"""What each stage was expected to take and what it took, in time and dollars, for the report's index.

Unusual: a figure is either known or said to be missing, and why. Preprocess is counted in core-time, since its shards
run on as many machines as one likes: its dollars are those of machines with all cores at work. Of train it is the
step that its notebook predicts, of explain the whole stage beside the predicted step, at the price of a machine with
the receipt's device.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from nbpipe.cost import Terms, dollars, duration, number
from nbpipe.preprocess.forecast import Forecast
from nbpipe.report.evidence import Evidence, Piece


@dataclass(frozen=True)
class Spending:
    """One stage's row, in words: time and dollars, predicted and actual, and the price they were counted by.

    seconds, spent: the actual time and dollars as numbers, None where they are not known.
    """

    stage: str
    predicted: str
    actual: str
    predicted_dollars: str
    actual_dollars: str
    price: str
    seconds: float | None = field(default=None, compare=False)
    spent: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class _Time:
    """Seconds, and in words; None where they are not known, with the reason in words."""

    seconds: float | None
    words: str

    def spent(self, hourly: float | None, cores: int = 1) -> float | None:
        """Return the dollars that it costs where both time and price are known."""
        known = self.seconds is not None and hourly is not None
        return self.seconds / cores / 3600 * hourly if known else None

    def cost(self, hourly: float | None, cores: int = 1) -> str:
        """Return what it costs in words, nothing where that is not known."""
        spent = self.spent(hourly, cores)
        return "" if spent is None else dollars(spent)


def spendings(evidence: Evidence) -> list[Spending]:
    """Return a row per stage; what no sound receipt and no forecast tells is said to be missing."""
    return [_preprocess(evidence), *(_alone(piece, evidence.forecast) for piece in (evidence.train, evidence.explain))]


def _preprocess(evidence: Evidence) -> Spending:
    sound, forecast = [piece for piece in evidence.shards if piece.sound], evidence.forecast
    costs = [_cost(piece) for piece in sound]
    predicted, actual = _predicted(evidence, costs), _actual(evidence.shards, sound)
    cores = forecast.terms.cores if forecast else _agreed([cost.get("cores") for cost in costs])
    hourly = None if forecast else number(_agreed([cost.get("vm_price") for cost in costs]))
    price, said = (hourly, f"{_hourly(hourly)}, as in the receipts") if hourly is not None else _price("cpu", forecast)
    if type(cores) is not int or cores < 1:
        cores, price, said = 1, None, "unknown: no forecast or receipt says how many cores a machine has"
    else:
        said += f"; {cores:,} core{'' if cores == 1 else 's'} a machine"
    money = predicted.cost(price, cores), actual.cost(price, cores)
    numbers = actual.seconds, actual.spent(price, cores)
    return Spending("preprocess", predicted.words, actual.words, *money, said, *numbers)


def _actual(shards: Sequence[Piece], sound: Sequence[Piece]) -> _Time:
    """Return the core-time of the documents in every shard that can be trusted."""
    if not sound:
        return _missing(shards[0], "not finished")
    seconds = sum(row["seconds"] for piece in sound for row in piece.ledger)
    part = f" for {len(sound):,} of {len(shards):,} shards" if len(sound) < len(shards) else ""
    return _Time(seconds, f"{duration(seconds)} of core-time{part}")


def _predicted(evidence: Evidence, costs: Sequence[dict[str, Any]]) -> _Time:
    """Return the core-time that `nbpipe plan` predicted for all documents, else the sum of the shards' own trials."""
    forecast, count = evidence.forecast, len(evidence.plan.sizes)
    if forecast and forecast.documents == count:
        whole = forecast.whole
        return _Time(
            whole.seconds,
            f"{duration(whole.seconds)} of core-time ({duration(whole.low)} to {duration(whole.high)}), as planned",
        )
    trials = [number(cost.get("predicted_seconds")) for cost in costs]
    if trials and None not in trials:
        return _Time(sum(trials), f"{duration(sum(trials))} of core-time, by the shards' own trials")
    if forecast:
        return _Time(None, f"unknown: the forecast is of {forecast.documents:,} documents, the plan of {count:,}")
    return _Time(None, evidence.unread or "unknown: neither `nbpipe plan` nor a receipt kept it")


def _alone(piece: Piece, forecast: Forecast | None) -> Spending:
    """Return the row of a stage that one machine does."""
    times = [
        _missing(piece, "not kept in its receipt") if seconds is None else _Time(seconds, duration(seconds))
        for seconds in (number(_cost(piece).get(name)) for name in ("predicted_seconds", "seconds"))
    ]
    device = piece.stamp.get("device")
    price, said = _price(device, forecast) if isinstance(device, str) else (None, "")
    numbers = times[1].seconds, times[1].spent(price)
    return Spending(piece.stage, *(time.words for time in times), *(time.cost(price) for time in times), said, *numbers)


def _missing(piece: Piece, why: str) -> _Time:
    """Return a time that is not known, and why: not proven, not finished, or what else is said."""
    if piece.receipt and not piece.sound:
        return _Time(None, "unproven, so not counted")
    return _Time(None, why if piece.receipt else "not finished")


def _cost(piece: Piece) -> dict[str, Any]:
    """Return what a receipt that can be trusted says of cost."""
    cost = piece.receipt.facts.get("cost") if piece.receipt and piece.sound else None
    return cost if isinstance(cost, dict) else {}


def _agreed(values: Sequence[Any]) -> Any:
    """Return what all receipts say alike, None where they do not."""
    return values[0] if values and all(value == values[0] for value in values) else None


def _price(device: str, forecast: Forecast | None) -> tuple[float, str]:
    """Return the dollars an hour of a machine with this device, and in words whose price it is."""
    price = (forecast.terms if forecast else Terms()).price(device)
    return price, f"{_hourly(price)}, {'as planned' if forecast else 'the usual price'}"


def _hourly(price: float) -> str:
    return f"${price:,.2f} an hour"
