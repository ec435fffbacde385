"""Which control program this is, and which protocol a daemon that runs speaks.

Protocol 2 is a shell that takes commands, spoken in daemon.py. Protocol 3 (CUDA 13.4, chosen when the daemon
is started) takes a module and a verb instead, `server list`; it is recognised here, and not spoken.
https://docs.nvidia.com/deploy/mps/latest/mpsv3-interface.html
"""

import os
import re
import subprocess
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import psutil

from experiments.base.errors import ExperimentError
from mps.control.program import CONTROL, PIPE_VARIABLE, RunningDaemon, find_control, talk

PROTOCOL_VARIABLE = "CUDA_MPS_PROTOCOL_VERSION"
TIMEOUT_S = 5.0
BINARY_VERSION = re.compile(r"Binary version:\s*(\d+)")
PROTOCOL_FLAG = re.compile(r"(?:-p|--protocol)=?([23])")


def version(control: Path) -> int | None:
    """The version of CUDA that the program came with, 13010 for 13.1; None for older ones, which don't tell.

    Those take `-v` for nothing and act as the shell, on whatever daemon runs: so they are shown none.
    """
    said = _said(control, ["-v"], Path("/nonexistent"))
    found = BINARY_VERSION.search(said)
    return int(found[1]) if found else None


def version_told(control: Path) -> str:
    """The same in words."""
    number = version(control)
    if number is None:
        return "from before CUDA 13.1, which does not tell its version"
    return f"of CUDA {number // 1000}.{number % 1000 // 10}"


def protocol(there: RunningDaemon, control: Path | None = None) -> int | None:
    """The protocol that a running daemon speaks, 2 or 3; None where neither its start nor its answers tell.

    `control` is the program to ask it with, by default the one on PATH.
    """
    return _protocol_at_start(there.pid) or _protocol_by_asking(there, control)


def end_command(there: RunningDaemon, spoken: int | None) -> str:
    """What ends a running daemon, as a line for a shell."""
    where = f"{PIPE_VARIABLE}={there.pipe_folder} {CONTROL}"
    return f"{where} -q" if spoken == 3 else f"echo quit | {where}"


def _protocol_at_start(pid: int) -> int | None:
    """What it was told when it was started; the variable wins over the flag. Another user's environment is
    closed to us, its command line is not."""
    with suppress(psutil.Error):
        if (chosen := psutil.Process(pid).environ().get(PROTOCOL_VARIABLE)) in ("2", "3"):
            return int(chosen)
    with suppress(psutil.Error):
        words = psutil.Process(pid).cmdline()
        for word in [*words, *map("=".join, pairwise(words))]:
            if flag := PROTOCOL_FLAG.fullmatch(word):
                return int(flag[1])
    return None


def _protocol_by_asking(there: RunningDaemon, control: Path | None) -> int | None:
    try:
        program = find_control(control)
        # Programs before protocol 3 take the words for nothing, or answer that they do not know them.
        heading = _said(program, ["server", "list", "--format=csv"], there.pipe_folder).partition("\n")[0]
        if heading.startswith("name,"):
            return 3
        done = talk(program, there.pipe_folder, "get_server_list", TIMEOUT_S)
    except (ExperimentError, OSError, subprocess.TimeoutExpired):
        return None
    lists_servers = all(line.strip().isdigit() for line in done.stdout.splitlines() if line.strip())
    return 2 if done.returncode == 0 and lists_servers else None


def _said(control: Path, words: list[str], pipe_folder: Path) -> str:
    """What the program prints, without anything to read for the shell that it may take itself for."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("CUDA_MPS_")}
    with suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run(
            [control, *words],
            env=env | {PIPE_VARIABLE: str(pipe_folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            start_new_session=True,
        ).stdout
    return ""
