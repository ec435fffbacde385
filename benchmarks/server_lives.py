"""Each server started, asked and stopped many times: how long that takes, and that nothing of it is left.

`python -m benchmarks.server_lives`; servers beside TorchServe are added by `python -m mps.servers add NAME`.
In turns it is stopped, its first process is killed, and Ctrl-C hits while it is up. The last line is one
JSON object: for each server the starts, what was left (0), and in seconds the medians of its start, of its
stop and of what it takes after Ctrl-C, and the longest of these last.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Annotated

import typer

from benchmarks.parts import models
from benchmarks.parts.leftovers import is_free, left_in
from experiments.servers.known import SERVERS, servers
from experiments.servers.served import Server
from experiments.serving.registration import Registration
from mps.door import one_line_errors

WORKERS, BATCH_SIZE = 2, 8
STOPPED, KILLED, INTERRUPTED = ENDS = ("stopped", "killed", "interrupted")


class _CtrlC(KeyboardInterrupt):
    """Ours: a real one ends the benchmark."""


def main(
    starts: Annotated[int, typer.Option(min=1, help="Of each server.")] = 20,
    only: Annotated[list[str] | None, typer.Option(help="A server. [all]")] = None,
) -> None:
    """See the module's docstring."""
    with one_line_errors(lambda: "the servers are stopped"), tempfile.TemporaryDirectory() as folder:
        archive = models.minilm_archive(Path(folder))
        found = {each.name: _lives(each, archive, starts) for each in servers(only or list(SERVERS))}
    typer.echo(json.dumps(found))
    if any(each["left"] for each in found.values()):
        raise typer.Exit(1)


def _lives(server: Server, archive: Path, starts: int) -> dict[str, float | None]:
    starts_s: list[float] = []
    ends_s: dict[str, list[float]] = {how: [] for how in ENDS}
    left = 0
    for number in range(starts):
        how = ENDS[number % len(ENDS)]
        with _own_temporary_folder() as folder:
            begin_s = perf_counter()
            with suppress(_CtrlC), server.start([Registration(archive, WORKERS, BATCH_SIZE)]) as running:
                starts_s.append(perf_counter() - begin_s)
                running.predict("Is anybody there?")
                if how == KILLED:
                    os.kill(running.pid, signal.SIGKILL)
                begin_s = perf_counter()
                if how == INTERRUPTED:
                    raise _CtrlC
            ends_s[how].append(perf_counter() - begin_s)
            remains = left_in(folder, running.folder.name) + (
                [] if is_free(running.port) else [f"port {running.port}"]
            )
        left += len(remains)
        took = f"started in {starts_s[-1]:.2f} s, {how} in {ends_s[how][-1]:.2f} s"
        told = f"{took}, left: {', '.join(remains) or 'nothing'}"
        typer.echo(f"{server.name} {number + 1}: {told}", err=True)
    return {
        "starts": starts,
        "left": left,
        "start_s": _rounded(median, starts_s),
        "stop_s": _rounded(median, ends_s[STOPPED]),
        "interrupted_s": _rounded(median, ends_s[INTERRUPTED]),
        "interrupted_longest_s": _rounded(max, ends_s[INTERRUPTED]),
    }


def _rounded(what: Callable[[list[float]], float], values: list[float]) -> float | None:
    return round(what(values), 2) if values else None


@contextmanager
def _own_temporary_folder() -> Iterator[Path]:
    """TMPDIR of what is started inside; short, for the sockets in it."""
    before = os.environ.get("TMPDIR")
    with tempfile.TemporaryDirectory(prefix="l-") as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        try:
            yield Path(folder)
        finally:
            tempfile.tempdir = None
            if before is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = before


if __name__ == "__main__":
    typer.run(main)
