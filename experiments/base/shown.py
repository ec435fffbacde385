"""What is printed for the user: on any console, and ready to be pasted into a shell."""

import shlex
import sys
from io import TextIOWrapper
from pathlib import Path


def never_fail_to_print() -> None:
    """From here on a character that the console's encoding lacks is a question mark, and no error: an
    ISO-8859-1 or C locale must not end what has just been measured."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def command(*words: str | Path) -> str:
    """A command as it can be pasted into a shell, whatever its paths hold."""
    return shlex.join(str(word) for word in words)
