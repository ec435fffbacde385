"""What a door makes of Ctrl-C."""

import signal
import time
import weakref

import pytest
import typer

from experiments.base.errors import INTERRUPTED
from mps.door import one_line_errors


class Thing:
    """Something whose end is told to others."""


def interrupt(gone: "weakref.ref[Thing]") -> None:
    signal.raise_signal(signal.SIGINT)


def lose(things: list[Thing]) -> None:
    with one_line_errors(lambda: "two of three are kept"):
        things.clear()
        time.sleep(10)


def test_ctrl_c_counts_where_python_would_ignore_it(capsys: pytest.CaptureFixture[str]) -> None:
    """A weak reference's callback can't raise: Python prints what it raises, and goes on."""
    things = [Thing()]
    seen = weakref.ref(things[0], interrupt)
    with pytest.raises(typer.Exit) as ended:
        lose(things)
    assert seen() is None
    assert ended.value.exit_code == INTERRUPTED
    assert capsys.readouterr().err == "interrupted: two of three are kept\n"
