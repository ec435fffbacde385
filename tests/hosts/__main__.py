"""`python -m tests.hosts`: the main job and `torchserve --start` on every kind of host, in some five minutes.

As root (a quota, another user, a small file system), with nothing else to do on the machine. Each host either
works, or says in one line what is in the way; nothing is left running.
"""

import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from tests.hosts.surroundings import Host, a_served_folder, hosts
from tests.support.served_folder import no_server_of, predict
from tests.support.small_archives import NOOP, archive

SWEEP = shlex.split("--workers 1 --batch-size 1,2 --duration 1 --warm-up 1 --runs 1 --no-ceilings --input")


def main() -> int:
    """Try all, print a table. Returns 1 where a host is not as it should be."""
    table = Table(box=box.SIMPLE)
    for column in ("host", "main job", "torchserve --start"):
        table.add_column(column)
    wrong = 0
    console = Console()
    with tempfile.TemporaryDirectory(prefix="hosts-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        model = archive(folder, "noop", NOOP)
        text = folder / "text.txt"
        text.write_text("Great value.", "utf-8")
        with hosts(folder) as found, console.status("") as status:
            for number, host in enumerate(found):
                status.update(f"{number + 1} of {len(found)}: {host.name}")
                measured = _measured(host, model, text, folder / f"out {number}") if host.measures else ""
                served = _served(host, folder / f"served {number}")
                table.add_row(host.name, measured, served)
                wrong += any(said.startswith("WRONG") for said in (measured, served))
    console.print(table)
    console.print(f"{wrong} wrong")
    return 1 if wrong else 0


def _measured(host: Host, model: Path, text: Path, out: Path) -> str:
    """What the main job comes to: two cells measured, or refused."""
    out.mkdir()
    if host.owner is not None:
        os.chown(out, host.owner, host.owner)
    begin_s = time.monotonic()
    arguments = ["-m", "mps.run", "--model", str(model), *SWEEP, str(text)]
    arguments += ["--out", str(out / "results")]
    done = _run(host, arguments, host.clone)
    if host.refuses:
        return _refusal(host, done, code=2)
    rows = (out / "results" / "summary.csv").read_text("utf-8").splitlines() if done.returncode == 0 else []
    if len(rows) != 4:  # the heading, two cells, and the first once more
        return f"WRONG: {_last_line(done)}"
    return f"measured, {time.monotonic() - begin_s:.0f} s"


def _served(host: Host, folder: Path) -> str:
    """What `torchserve --start` comes to: it answers and stops, or refuses."""
    script = str(host.clone / "scripts" / "torchserve.py")
    with a_served_folder(host, folder) as (served, ports):
        done = _run(host, [script, "--start"], served)
        if host.refuses:
            return _refusal(host, done, code=1)
        if done.returncode != 0:
            return f"WRONG: {_last_line(done)}"
        answer = predict(served, ports)
        stopped = _run(host, [script, "--stop", "--foreground"], served)
        if answer.text != "ok" or stopped.returncode != 0 or not no_server_of(served):
            return f"WRONG: answered {answer.text[:40]!r}, {_last_line(stopped)}"
    return "answered and stopped"


def _run(host: Host, arguments: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name != "TS_CONFIG_FILE"}
    for name, value in host.environment.items():
        environment.pop(name, None)
        environment |= {} if value is None else {name: value}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as printed:
        # A file, not a pipe: what a server inherits of it would keep a pipe open.
        done = subprocess.run(
            [*host.command, sys.executable, *arguments],
            cwd=folder,
            env=environment,
            stdout=printed,
            stderr=printed,
            timeout=300,
        )
        printed.seek(0)
        return subprocess.CompletedProcess(arguments, done.returncode, printed.read())


def _refusal(host: Host, done: "subprocess.CompletedProcess[str]", code: int) -> str:
    last = _last_line(done)
    lines = [line for line in done.stdout.splitlines() if line.startswith("error: ")]
    right = done.returncode == code and len(lines) == 1 and host.refuses in done.stdout
    return f"refused: {host.refuses}" if right else f"WRONG: {done.returncode}, {last}"


def _last_line(done: "subprocess.CompletedProcess[str]") -> str:
    return (done.stdout.strip().splitlines() or ["it said nothing"])[-1]


if __name__ == "__main__":
    sys.exit(main())
