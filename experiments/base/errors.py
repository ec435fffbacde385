"""What can go wrong, as the user reads it: each message is one line with the cause and the remedy.

The doors in mps/ print the message and end with the exit code; nothing below a door exits by itself.
"""

import errno
import signal
from collections.abc import Iterator
from contextlib import contextmanager

INTERRUPTED = 130
"""The exit code of a program that Ctrl-C or SIGTERM ended."""


class ExperimentError(Exception):
    """Something failed while measuring. The message fits one line; `details` is what a server printed."""

    exit_code = 1

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class UsageError(ExperimentError):
    """The request itself cannot be carried out: a wrong option, a missing file, an impossible plan."""

    exit_code = 2


class ServerError(ExperimentError):
    """A server did not start, did not load the model, or went away. `details`: what it printed last."""


class KilledError(ServerError):
    """The server as it started, or a worker as it loaded the model, ended without an error of its own:
    something else killed it, and it may live the next time."""


KILLED = [128 + number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)]  # as Java tells it


def ended_at_start(server: str, code: int, cause: str, log: str) -> ServerError:
    """The error of a server that ended with `code` before it was up."""
    kind = KilledError if code < 0 or code in KILLED else ServerError
    return kind(f"{server} ended with code {code} at its start: {cause}", log)


MAKE_ROOM = "make room"
NO_MEMORY = "no memory is left: end other programs, or raise the limit (`ulimit -v`, or the container's)"
SHORT_OF = {
    errno.ENOSPC: ("the disk is full", MAKE_ROOM),
    errno.EDQUOT: ("the disk quota is used up", MAKE_ROOM),
    errno.EFBIG: ("a file would be larger than is allowed", "raise the limit (`ulimit -f`)"),
    errno.EMFILE: ("too many files are open", "raise the limit (`ulimit -n`)"),
    errno.ENFILE: ("too many files are open on this machine", "end other programs"),
    errno.EAGAIN: ("no further process can be started", "raise the limit (`ulimit -u`, or the container's)"),
    errno.EADDRINUSE: ("no port is free", "end what listens on them"),
    errno.EADDRNOTAVAIL: ("no port is free", "end what has connections"),
}
"""What runs out, and the remedy."""
OF_THIS_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL)
"""Of those, what has its cause on our side, also where a server is asked."""
OF_MEMORY = ("can't start new thread", "failed to map segment", "Cannot allocate memory")
"""What errors of other types say where there is none."""


@contextmanager
def shortages_told() -> Iterator[None]:
    """Inside, an error of a machine that has run out of something becomes an ExperimentError."""
    try:
        yield
    except MemoryError as error:
        raise ExperimentError(NO_MEMORY) from error
    except (OSError, RuntimeError, ImportError) as error:
        if any(said in str(error) for said in OF_MEMORY):
            raise ExperimentError(NO_MEMORY) from error
        if not isinstance(error, OSError) or error.errno not in SHORT_OF:
            raise
        raise _told(error) from error


def shortage_behind(error: BaseException | None) -> ExperimentError | None:
    """What this machine has run out of, where another error came of that: a server has no part in it then."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in OF_THIS_MACHINE:
            return _told(error)
        if isinstance(error, MemoryError):
            return ExperimentError(NO_MEMORY)
        if isinstance(error, BaseExceptionGroup):
            return next(filter(None, map(shortage_behind, error.exceptions)), None)
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def waited_out(*errors: type[Exception]) -> Iterator[None]:
    """As contextlib.suppress, for who asks until there is an answer; but what this machine has run out of is
    raised, as an ExperimentError: no waiting helps."""
    try:
        yield
    except errors as error:
        if shortage := shortage_behind(error):
            raise shortage from error


def _told(error: OSError) -> ExperimentError:
    what, remedy = SHORT_OF[error.errno or 0]
    where = f" ({error.filename})" if error.filename else ""
    return ExperimentError(f"{what}{where}: {remedy}")
