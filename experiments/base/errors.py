"""What can go wrong, as the user reads it: each message is one line with the cause and the remedy.

The doors in mps/ print the message and end with the exit code; nothing below a door exits by itself.
"""

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
