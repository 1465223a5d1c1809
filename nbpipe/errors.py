"""The errors people see: the request was wrong, the work failed, or it was stopped.

Unusual: they draw their own traceback in a notebook, so a wrong parameter shows one clear message instead of
fifty lines of library frames, and no path of the machine gets into a saved notebook.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class NbpipeError(Exception):
    """What the errors share: a message for people, and the exit code of the command line."""

    exit_code = 1

    def _render_traceback_(self) -> list[str]:
        """Give IPython the lines to show in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class RequestError(NbpipeError, ValueError):
    """The request was wrong: a parameter, a path, a label file. Nothing was done."""

    exit_code = 2


class WorkError(NbpipeError, RuntimeError):
    """The work failed, or what it needs is missing or damaged. What was finished is kept."""


class StoppedError(BaseException):
    """The work was asked to end before it was done. What was finished is kept, and the same command goes on.

    Like KeyboardInterrupt it is no Exception, since it may come anywhere, and nothing that survives errors, in our code
    or a library's, may take it for one and go on.
    """

    _render_traceback_ = NbpipeError._render_traceback_


def nearest(word: str, accepted: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the accepted word nearest in spelling, or nothing."""
    close = get_close_matches(str(word), list(accepted), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
