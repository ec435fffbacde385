"""`python -m tests.hosts`: the main job and `torchserve --start` on each kind of machine, as a table.

In a clone of this repository's last commit. Exit code 0: each works, or is refused in one line where it must
be. Needs root for another user, a small TMPDIR and a quota; what can't be made here is said, and passed over.
`--only WORDS` takes the machines with these words in their names.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from experiments.base.paths import ROOT
from handlers.archive.archives import build
from tests.hosts.surroundings import HOSTS, NOBODY, Host, NotHereError, Surroundings
from tests.support.checkpoints import tiny_bert
from tests.support.served_folder import a_folder, no_server_of, predict

PORTS = ("inference", "management", "metrics", "grpc_inference", "grpc_management")
TIMEOUT_S = 240
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job came to on a machine. `well`: as it is wanted."""

    host: str
    job: str
    well: bool
    told: str
    seconds: float


@app.command(help=__doc__)
def main(only: Annotated[str, typer.Option(help="Words of the machines' names.")] = "") -> None:
    """See the module's docstring."""
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="h-") as name:
        Path(name).chmod(0o755)
        archive = build("text", tiny_bert(Path(name) / "tiny"), Path(name), name="tiny", trial=False)
        for host in [host for host in HOSTS if only in host.name]:
            for job, does in JOBS.items():
                outcomes.append(_tried(host, job, does, archive))
                _say(outcomes[-1])
    for key in PORTS if only in "a taken port" else ():
        outcomes.append(_taken(key))
        _say(outcomes[-1])
    _show(outcomes)
    raise typer.Exit(0 if all(outcome.well for outcome in outcomes) else 1)


@contextmanager
def _clone(host: Host) -> Iterator[tuple[Surroundings, Path]]:
    """The machine, and a clone on it. Raises NotHereError."""
    with tempfile.TemporaryDirectory(prefix="h-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with host.made(folder) as here:
            clone = folder / here.folder
            subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
            yield here, clone


def _tried(host: Host, job: str, does: Callable[..., str], archive: Path) -> Outcome:
    begin_s = time.monotonic()
    try:
        with _clone(host) as (here, clone):
            told, well = does(here, clone, host, archive), True
    except NotHereError as error:
        told, well = f"not here: {error}", True
    except AssertionError as error:
        told, well = str(error), False
    return Outcome(host.name, job, well, told, time.monotonic() - begin_s)


def main_job(here: Surroundings, clone: Path, host: Host, archive: Path) -> str:
    """A sweep of one cell with its page, and the same again with --resume."""
    out = _own_folder(here, clone) / "results [v2] of it"
    command = ["-m", "mps.run", "--model", str(archive), "--workers", "1", "--batch-size", "1"]
    command += ["--runs", "2", "--duration", "0.5", "--warm-up", "0.2", "--no-noise-floor", "--out", str(out)]
    code, printed = _call(here, clone, command)
    if host.run_refuses:
        return _refused(code, printed, host.run_refuses, codes=(1, 2), nothing_at=out)
    assert code == 0, f"code {code}: {printed[-600:]}"
    for name in ("report.html", "summary.csv", "trials.jsonl"):
        assert (out / name).stat().st_size > 100, f"{name} is missing"
    code, printed = _call(here, clone, ["-m", "mps.run", "--resume", str(out)])
    assert code == 0, f"--resume: code {code}: {printed[-600:]}"
    return "measured, its page written; --resume goes on"


def torchserve_start(here: Surroundings, clone: Path, host: Host, archive: Path) -> str:
    """Started, asked, stopped; one of our handlers among the models."""
    folder = _own_folder(here, clone)
    ports = a_folder(folder)
    shutil.copy(archive, folder / "model_store")
    if "setpriv" in here.prefix:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    script = [str(clone / "scripts" / "torchserve.py")]
    code, printed = _call(here, folder, [*script, "--start"])
    try:
        if host.start_refuses:
            return _refused(code, printed, host.start_refuses, codes=(1,))
        assert code == 0, f"code {code}: {printed[-600:]}"
        answer = predict(folder, ports)
        assert (answer.status_code, answer.text) == (200, "ok"), answer.text
    finally:
        code, said = _call(here, folder, [*script, "--stop", "--foreground"])
    assert code == 0, f"--stop: code {code}: {said[-300:]}"
    assert no_server_of(folder), "a process is left"
    return "serves, and stops"


JOBS: dict[str, Callable[..., str]] = {"mps.run": main_job, "torchserve --start": torchserve_start}


def _taken(key: str) -> Outcome:
    begin_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="h-") as name:
        port = a_folder(Path(name))[key]
        with socket.create_server(("127.0.0.1", port)):
            script = [str(ROOT / "scripts" / "torchserve.py"), "--start"]
            code, printed = _call(Surroundings(), Path(name), script)
    try:
        told, well = _refused(code, printed, str(port), codes=(1,)), True
    except AssertionError as error:
        told, well = str(error), False
    return Outcome(f"a taken port: {key}", "torchserve --start", well, told, time.monotonic() - begin_s)


def _own_folder(here: Surroundings, clone: Path) -> Path:
    """A folder beside the clone that belongs to who works there."""
    folder = clone.parent / "work"
    folder.mkdir(mode=0o755)
    if "setpriv" in here.prefix:
        os.chown(folder, NOBODY, NOBODY)
    return folder


def _call(here: Surroundings, folder: Path, arguments: list[str]) -> tuple[int, str]:
    """Exit code, and all that was printed. The clone's packages are those of the current folder."""
    env = {**os.environ, **here.env}
    with tempfile.TemporaryFile() as log:
        done = subprocess.run(
            [*here.prefix, sys.executable, *arguments],
            cwd=folder,
            env={key: value for key, value in env.items() if value is not None},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            timeout=TIMEOUT_S,
            check=False,
        )
        log.seek(0)
        return done.returncode, log.read().decode("utf-8", "replace")


def _refused(
    code: int, printed: str, words: str, codes: tuple[int, ...], nothing_at: Path | None = None
) -> str:
    """The one line. Raises AssertionError where it isn't one, or lacks the words."""
    lines = [line for line in printed.splitlines() if line.strip()]
    assert code in codes, f"code {code}: {printed[-600:]}"
    assert len(lines) == 1, f"{len(lines)} lines: {printed[-600:]}"
    assert words in lines[0], lines[0]
    assert nothing_at is None or not nothing_at.exists(), "something was begun"
    return lines[0]


def _say(outcome: Outcome) -> None:
    mark = "ok  " if outcome.well else "FAIL"
    print(f"{mark} {outcome.host}: {outcome.job}: {outcome.told} ({outcome.seconds:.0f} s)", flush=True)


def _show(outcomes: list[Outcome]) -> None:
    table = Table("machine", "job", "", "what came of it", box=box.SIMPLE)
    for outcome in outcomes:
        table.add_row(outcome.host, outcome.job, "ok" if outcome.well else "FAIL", outcome.told)
    Console(width=200).print(table)


if __name__ == "__main__":
    app()
