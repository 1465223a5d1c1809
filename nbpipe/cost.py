"""What time costs: prices, deadlines, and durations and sums of money as people write them.

Unusual: a duration is read in one form only (1h30m), so that "90" is never taken for minutes by one and hours by
another, and it is shown in the unit that fits (33 minutes, 5.6 hours), so that nobody divides by 3,600 in their head.
"""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

from nbpipe.errors import RequestError

VM_PRICE, GPU_PRICE, DEADLINE = 0.55, 5.00, 7200.0
GPUS = ("cuda", "mps")  # devices whose hours are paid at the GPU's price
_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
_DURATION = re.compile(f"(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?")
_UNITS = (3600, 60, 1)


@dataclass(frozen=True)
class Terms:
    """What a job is judged by: dollars an hour of a machine with and without a GPU, seconds it may take, cores of each.

    Raises RequestError where a value makes no sense.
    """

    vm_price: float = VM_PRICE
    gpu_price: float = GPU_PRICE
    deadline: float = DEADLINE
    cores: int = 1

    def __post_init__(self) -> None:
        """Refuse what no machine costs or has."""
        for name in ("vm_price", "gpu_price"):
            price = getattr(self, name)
            if number(price) is None:
                raise RequestError(f"{name} = {price!r}: accepted is a price in dollars an hour, 0 or more")
        if not number(self.deadline):
            raise RequestError(f"deadline = {self.deadline!r}: accepted are seconds above 0")
        if type(self.cores) is not int or not 1 <= self.cores <= 1024:
            raise RequestError(f"cores = {self.cores!r}: accepted is a whole number from 1 to 1024")

    def price(self, device: str) -> float:
        """Return the dollars that an hour of a machine with this device costs."""
        return self.gpu_price if device in GPUS else self.vm_price


def kept_terms(forecast: Path) -> Terms:
    """Return the terms of a forecast that `nbpipe plan` kept, the usual ones where there is none that can be read."""
    try:
        return Terms(**json.loads(forecast.read_bytes())["terms"])
    except (OSError, ValueError, KeyError, TypeError):
        return Terms()


def number(value: object) -> float | None:
    """Return a finite number that is not negative as it is, None for anything else: what a JSON file says of time."""
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    return value if fits else None


def read_duration(text: str) -> float:
    """Return the seconds of a duration such as 90m, 2h, 1h30m or 45s; raise RequestError for any other text."""
    match = _DURATION.fullmatch(text.strip().lower())
    seconds = sum(float(n or 0) * unit for n, unit in zip(match.groups(), _UNITS, strict=True)) if match else 0
    if not 0 < seconds < math.inf:
        raise RequestError(f"deadline = {text!r}: accepted are hours, minutes and seconds, as in 90m, 2h, 1h30m or 45s")
    return seconds


def duration(seconds: float) -> str:
    """Return seconds as people say them, in the unit that fits: 33 minutes, 5.6 hours."""
    if 0 < seconds < 0.1:
        return _counted(seconds * 1000, "millisecond", 1 if seconds < 0.01 else 0)
    if seconds < 90:
        return _counted(seconds, "second", 2 if seconds < 1 else 1 if seconds < 10 else 0)
    if seconds < 90 * 60:
        return _counted(seconds / 60, "minute", 1 if seconds < 600 else 0)
    if seconds < 72 * 3600:
        return _counted(seconds / 3600, "hour", 1)
    return _counted(seconds / 86400, "day", 1)


def _counted(value: float, unit: str, decimals: int) -> str:
    text = f"{value:,.{decimals}f}".removesuffix(".0")
    return f"{text} {unit}" if text == "1" else f"{text} {unit}s"


def dollars(amount: float) -> str:
    """Return an amount of money; what is less than a cent and more than nothing is said to be so."""
    return "under $0.01" if 0 < amount < 0.01 else f"${amount:,.2f}"
