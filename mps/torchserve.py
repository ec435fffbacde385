"""`python -m mps.torchserve`, or `torchserve`: TorchServe's command, which with --mps serves under MPS.

A door: it reads the two options that TorchServe does not have, and passes all others on.
"""

import os
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from experiments.base.errors import UsageError
from experiments.serving.temporary import private_folder
from experiments.serving.under_mps import COMMAND, FOREGROUND, cards_to_serve_on, in_background, serve
from mps.door import one_line_errors, to_stdout

HELP = """TorchServe's own command; with --mps it serves under an NVIDIA MPS control daemon of its own.

All options but these two go to TorchServe as they are. The daemon is started first, for the GPUs of
CUDA_VISIBLE_DEVICES or all, with pipe and log folders of its own that only the user can read; its server is
up before the first worker is. It ends with `torchserve --stop`, and when TorchServe ends in any other way.
Where the daemon ends first, TorchServe is stopped, and logs/mps.log says why.

Examples:

  torchserve --start --mps --thread-percentage 50

  python -m mps.torchserve --start --mps --foreground --ncs --ts-config config.properties

  torchserve --stop

Exit codes: TorchServe's own; with --mps also 1 where the daemon does not come up or ends first; 2 wrong
usage, no GPU, no nvidia-cuda-mps-control, or an MPS daemon that runs already: nothing is started; 130
interrupted.
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=HELP, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def main(
    context: typer.Context,
    mps: Annotated[bool, typer.Option("--mps", help="With --start: serve under MPS.")] = False,
    thread_percentage: Annotated[
        int | None,
        typer.Option(help="With --mps: percent of a GPU's multiprocessors for each worker, 1 to 100."),
    ] = None,
) -> None:
    """See HELP."""
    arguments = context.args
    if not mps and thread_percentage is None:
        os.execv(sys.executable, [*COMMAND, *arguments])  # noqa: S606 - its own options are its business
    with one_line_errors(lambda: "TorchServe and its MPS control daemon have ended"):
        _end_with_the_terminal()
        _refuse(arguments, mps, thread_percentage)
        try:
            cards = cards_to_serve_on()
        except UsageError as error:
            raise UsageError(str(error).replace("--with-mps", "--mps")) from error
        tempfile.tempdir = str(private_folder("torchserve"))  # where `torchserve --stop` looks for it
        console = to_stdout()

        def tell(line: str) -> None:
            console.print(line, markup=False)

        if FOREGROUND in arguments:
            raise typer.Exit(serve(arguments, cards, thread_percentage, tell, lambda: None))
        log = Path(os.environ.get("LOG_LOCATION", "logs")) / "mps.log"
        raise typer.Exit(
            in_background(lambda started: serve(arguments, cards, thread_percentage, tell, started), log)
        )


def _refuse(arguments: list[str], mps: bool, thread_percentage: int | None) -> None:
    """Raises UsageError for what can't be together."""
    if not mps:
        raise UsageError("--thread-percentage is a setting of MPS: give --mps too")
    if "--start" not in arguments:
        raise UsageError("--mps goes with --start; `torchserve --stop` ends its daemon too")
    if thread_percentage is not None and not 1 <= thread_percentage <= 100:
        raise UsageError(f"--thread-percentage is a whole number from 1 to 100, not {thread_percentage}")


def _end_with_the_terminal() -> None:
    """A terminal that is closed ends it as Ctrl-C does, unless that is ignored (nohup)."""
    with suppress(ValueError):  # not the main thread
        if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
            signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGTERM))


if __name__ == "__main__":
    app()
