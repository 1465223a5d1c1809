"""Ending work early without losing it: SIGTERM as an error, or as a wish that is granted at the next good moment.

Unusual: only the main thread hears signals. Elsewhere, such as in a test's thread, nothing changes and nothing fails.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from nbpipe.errors import StoppedError

_ENDED = {-signal.SIGTERM, -9, 255}  # exit codes after SIGTERM, SIGKILL, and the end of Python's fork server
_LAST_WORD = 0.5  # seconds in which who stops everything on a machine reaches this process too
KEPT = "what was finished is kept, and the same command goes on from there"


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], object] | signal.Handlers, *numbers: int) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore Ctrl-C and SIGTERM for a moment: who stops a run often sends both, or one of them twice."""
    with _handling(signal.SIG_IGN, signal.SIGINT, signal.SIGTERM):
        yield


@contextmanager
def terminable() -> Iterator[None]:
    """Turn SIGTERM into a StoppedError inside."""

    def stop(*_: object) -> None:
        raise StoppedError(f"stopped by SIGTERM; {KEPT}")

    with _handling(stop, signal.SIGTERM):
        yield


def wait_if_stopped(exit_code: int | None) -> None:
    """Wait a moment where a helping process ended as if everything is being stopped: its work is not to blame then."""
    if exit_code in _ENDED:
        time.sleep(_LAST_WORD)


class Wish:
    """Whether somebody wishes the work to end: the number of the signal that said so, else 0."""

    number = 0

    def grant(self) -> None:
        """End the work as the signal would have: KeyboardInterrupt for Ctrl-C, StoppedError for SIGTERM."""
        if self.number == signal.SIGINT:
            raise KeyboardInterrupt
        raise StoppedError(f"stopped by SIGTERM; {KEPT}")


@contextmanager
def stoppable() -> Iterator[Wish]:
    """Yield the wish to end, which Ctrl-C and SIGTERM set inside; the work asks for it where it can stop unharmed.

    A wish that came too late to be asked for is granted at the end.
    """
    wish = Wish()

    def note(number: int, _: FrameType | None) -> None:
        wish.number = number

    with _handling(note, signal.SIGINT, signal.SIGTERM):
        yield wish
    if wish.number:
        wish.grant()
