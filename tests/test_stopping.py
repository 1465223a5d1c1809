import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from nbpipe.errors import StoppedError
from nbpipe.stopping import Wish, stoppable, terminable, undisturbed

Guard = Callable[[], AbstractContextManager]
STOPS = [(signal.SIGTERM, StoppedError), (signal.SIGINT, KeyboardInterrupt)]


def heard(*_: object) -> None:
    raise AssertionError("a signal reached what stood before")


@pytest.fixture(autouse=True)
def _outer() -> Iterator[None]:
    """Stand behind what is tested, so that a signal it lets through is a failed test and not the end of all."""
    before = {number: signal.signal(number, heard) for number, _ in STOPS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def under(guard: Guard, *steps: Callable[[Wish], object]) -> None:
    with guard() as wish:
        for step in steps:
            step(wish)


def fails(_: Wish) -> None:
    raise ValueError("of the work")


@pytest.mark.parametrize(("number", "error"), STOPS)
def test_a_wish_waits_until_it_is_granted(number: int, error: type[BaseException]):
    seen = []

    def note(wish: Wish) -> None:
        seen.append(wish.number)

    with pytest.raises(error):
        under(stoppable, note, lambda _: signal.raise_signal(number), note, Wish.grant, note)
    assert seen == [0, number]


@pytest.mark.parametrize(("number", "error"), STOPS)
def test_a_wish_that_comes_too_late_is_granted_at_the_end(number: int, error: type[BaseException]):
    done = []
    with pytest.raises(error):
        under(stoppable, lambda _: signal.raise_signal(number), lambda _: done.append("the work"))
    assert done == ["the work"]


def test_an_error_is_not_hidden_by_a_wish():
    with pytest.raises(ValueError, match="of the work"):
        under(stoppable, lambda _: signal.raise_signal(signal.SIGTERM), fails)


def test_sigterm_is_an_error_at_once():
    done = []
    with pytest.raises(StoppedError, match="stopped by SIGTERM; what was finished is kept"):
        under(terminable, lambda _: signal.raise_signal(signal.SIGTERM), lambda _: done.append("more"))
    assert done == []


def test_for_a_moment_no_signal_is_heard():
    with undisturbed():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(AssertionError, match="reached"):
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("guard", [stoppable, terminable, undisturbed])
def test_what_heard_signals_before_hears_them_again(guard: Guard):
    under(guard)
    with pytest.raises(ValueError, match="of the work"):
        under(guard, fails)
    assert [signal.getsignal(number) for number, _ in STOPS] == [heard, heard]


@pytest.mark.parametrize("guard", [stoppable, terminable, undisturbed])
def test_another_thread_leaves_signals_alone(guard: Guard):
    seen = []

    def work() -> None:
        with guard():
            seen.extend(signal.getsignal(number) for number, _ in STOPS)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [heard, heard]
