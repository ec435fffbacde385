"""What all doors share: where they print, and how errors and signals become a line and an exit code."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from experiments.base.errors import INTERRUPTED, ExperimentError, shortages_told
from experiments.base.shown import never_fail_to_print, visible

WIDTH_OF_FILES = 120  # a file or a pipe has no width of its own: nothing is cut
AGAIN_AFTER_S = 0.01


class PlainConsole(Console):
    """Shows texts as they are: no markup in them counts, and no character of theirs commands the terminal.
    Names and messages come from files and archives of other people."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Rich's own, with the text of each segment made visible; what rich adds itself is not text yet."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


def to_stdout() -> Console:
    """The console of results. Lines are not broken; where there is no terminal, tables have room."""
    never_fail_to_print()
    console = PlainConsole(soft_wrap=True, highlight=False, markup=False)
    if not console.is_terminal:
        console.width = WIDTH_OF_FILES
    return console


def to_stderr() -> Console:
    """The console of errors and warnings."""
    never_fail_to_print()
    return PlainConsole(stderr=True, soft_wrap=True, highlight=False, markup=False)


def option(*names: str, help: str) -> Any:  # noqa: A002 - typer's own name for it
    """An option whose default stands in square brackets, which rich would take for markup."""
    return typer.Option(*names, help=help.replace("[", r"\["))


@contextmanager
def one_line_errors(interrupted: Callable[[], str] | None = None) -> Iterator[None]:
    """Inside, SIGTERM does what Ctrl-C does, and both end in the line of `interrupted` with exit code 130.

    An ExperimentError ends in its line, below what a server printed, and its own exit code; so does what the
    machine has run out of.
    """
    with suppress(ValueError):  # not the main thread: a caller that embeds this keeps its own handling
        signal.signal(signal.SIGTERM, _interrupt)
    try:
        with _interrupts_count(), shortages_told():
            yield
    except KeyboardInterrupt:
        if interrupted is None:
            raise
        to_stderr().print(f"interrupted: {interrupted()}", markup=False)
        raise typer.Exit(INTERRUPTED) from None
    except ExperimentError as error:
        if error.details.strip():
            to_stderr().print(error.details.rstrip(), markup=False, style="dim")
        to_stderr().print(f"error: {error}", markup=False)
        raise typer.Exit(error.exit_code) from None


@contextmanager
def _interrupts_count() -> Iterator[None]:
    """Inside, a Ctrl-C that falls into a weak reference's callback or a `__del__` comes again a moment later:
    Python prints what these raise, and goes on."""
    before = sys.unraisablehook

    def again(unraisable: "sys.UnraisableHookArgs") -> None:
        if isinstance(unraisable.exc_value, KeyboardInterrupt):
            # Not from here, which can't raise either.
            threading.Timer(AGAIN_AFTER_S, os.kill, (os.getpid(), signal.SIGINT)).start()
        else:
            before(unraisable)

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = before


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
