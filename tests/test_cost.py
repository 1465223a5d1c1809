"""Durations and prices read and written as people do."""

import math

import pytest

from nbpipe.cost import Terms, dollars, duration, number, read_duration
from nbpipe.errors import RequestError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90m", 5400), ("2h", 7200), ("1h30m", 5400), ("45s", 45), (" 1H ", 3600), ("1.5h", 5400), ("1h1m1s", 3661)],
)
def test_a_deadline_is_read_in_hours_minutes_and_seconds(text: str, seconds: float) -> None:
    assert read_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "2 days", "h", "-2h", "30m1h", "0s", "1_0h", "inf", "٢h", "9" * 400 + "h"])
def test_any_other_deadline_is_refused_with_what_is_accepted(text: str) -> None:
    with pytest.raises(RequestError, match="90m, 2h, 1h30m or 45s") as refused:
        read_duration(text)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.00 seconds"),
        (0.00034, "0.3 milliseconds"),
        (0.034, "34 milliseconds"),
        (0.34, "0.34 seconds"),
        (1, "1 second"),
        (45, "45 seconds"),
        (200, "3.3 minutes"),
        (2000, "33 minutes"),
        (7200, "2 hours"),
        (20_000, "5.6 hours"),
        (198_000, "55 hours"),
        (400_000, "4.6 days"),
    ],
)
def test_a_duration_is_said_in_the_unit_that_fits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_less_than_a_cent_is_not_said_to_be_nothing() -> None:
    assert [dollars(0), dollars(0.004), dollars(3.0556), dollars(1234.5)] == [
        "$0.00",
        "under $0.01",
        "$3.06",
        "$1,234.50",
    ]


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, True, "1", None, [1]])
def test_what_is_no_time_is_none(value: object) -> None:
    assert number(value) is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"vm_price": -0.1}, "vm_price = -0.1"),
        ({"gpu_price": math.inf}, "gpu_price = inf"),
        ({"deadline": 0}, "deadline = 0"),
        ({"cores": 0}, "cores = 0"),
        ({"cores": 1.5}, "cores = 1.5"),
    ],
)
def test_terms_that_no_machine_has_are_refused(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        Terms(**wrong)


def test_the_gpu_price_is_that_of_devices_with_a_gpu() -> None:
    terms = Terms(vm_price=1, gpu_price=9)
    assert [terms.price(device) for device in ("cpu", "cuda", "mps")] == [1, 9, 9]
