"""`python -m mps.servers`: other servers for the same model, each in an environment of its own.

A door: experiments/servers makes, tells and removes them.
"""

import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from experiments.base.errors import ServerError, UsageError
from experiments.servers.added import add
from experiments.servers.environments import NAMES, WHOLE, environment_of, package_of, remove
from experiments.servers.known import SERVERS
from experiments.serving.instances import is_alive
from experiments.serving.registration import Registration
from mps.door import one_line_errors, to_stderr, to_stdout

HELP = """Add servers to compare TorchServe with, each in an environment of its own: .build/servers/NAME.

They share torch and transformers with this project's environment; all else is pinned and installed by pip.

Examples:

  python -m mps.servers add triton litserve bentoml

  python -m mps.servers list

  python -m mps.servers remove triton

  python -m mps.servers start triton model_store/bert.mar --workers 2 --batch-size 8 --threads 1

Exit codes: 0 done; 1 it could not be installed, or does not serve; 2 wrong usage; 130 interrupted.
"""

ALIVE_PERIOD_S = 0.5

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=HELP, no_args_is_help=True)
Names = Annotated[list[str], typer.Argument(help=f"Of {', '.join(NAMES)}.")]


@app.command("add")
def add_them(names: Names) -> None:
    """Make the environments of these servers, and have each of them answer once."""
    with one_line_errors(lambda: "what was half made is removed; the same command begins anew"):
        for name in names:
            environment_of(name)  # a wrong name is told before anything is done
        console = to_stderr()
        for name in names:
            add(name, lambda line: console.print(line, markup=False))


@app.command("list")
def list_them() -> None:
    """Show the servers, their versions, whether they are there, and what a batch's delay means to each."""
    table = Table(box=box.SIMPLE)
    for heading in ("server", "package", "environment", "a batch's delay"):
        table.add_column(heading)
    for name, server in SERVERS.items():
        known = name in NAMES
        state = _state(name) if known else "this project's own"
        table.add_row(
            name, package_of(name) if known else f"torchserve {version('torchserve')}", state, server.delay
        )
    to_stdout().print(table)


@app.command("remove")
def remove_them(names: Names) -> None:
    """Remove the environments of these servers."""
    with one_line_errors():
        for environment in [environment_of(name) for name in names]:
            told = "removed" if remove(environment) else "was not there"
            to_stderr().print(f"{environment.name}: {told}", markup=False)


@app.command("start")
def start_one(
    name: Annotated[str, typer.Argument(help=f"Of {', '.join(NAMES)}.")],
    archive: Annotated[Path, typer.Argument(help="The .mar file to serve.")],
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    batch_size: Annotated[int, typer.Option(min=1, help="Requests in a batch, at most.")] = 1,
    batch_delay: Annotated[int, typer.Option(min=1, help="In ms, as the server means it.")] = 10,
    threads: Annotated[int, typer.Option(min=1, help="Of each worker.")] = 1,
    port: Annotated[int, typer.Option(help="On 127.0.0.1.")] = 8080,
    client_batch: Annotated[int, typer.Option(min=1, help="Inputs in a request, at most.")] = 1,
) -> None:
    """Serve one archive as a sweep does, on the CPU and 127.0.0.1 alone, until Ctrl-C or SIGTERM."""
    with one_line_errors(lambda: "the server is stopped"):
        environment_of(name)
        server = SERVERS[name]
        if not archive.is_file():
            raise UsageError(f"no archive {archive}: check the path, or run `make mar` first")
        model = Registration(archive, workers, batch_size, batch_delay, archive.stem, client_batch)
        with server.start([model], threads=threads, port=port) as running:
            body = running.dialect.body(*["The kettle is quiet."] * client_batch)
            to_stdout().print(f"{name} serves {running.predict_url(model.name)}", markup=False)
            to_stdout().print(f"POST {body.content_type}: {body.data.decode()}", markup=False)
            while is_alive(running.pid):
                time.sleep(ALIVE_PERIOD_S)
            raise ServerError(f"{name} has ended by itself", running.log())


def _state(name: str) -> str:
    environment = environment_of(name)
    state = environment.state
    if state == WHOLE:
        return f"there, {environment.size_bytes() / 1e6:.0f} MB"
    return f"{state}: python -m mps.servers add {name}"


if __name__ == "__main__":
    app()
