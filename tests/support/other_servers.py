"""Servers for tests: their environments where they were added, a small archive, what they leave behind."""

from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from experiments.servers.environments import NAMES, WHOLE, environment_of
from experiments.servers.known import SERVERS
from experiments.servers.served import Server
from handlers.archive.archives import build
from tests.support.checkpoints import tiny_bert

SHARED_MEMORY = Path("/dev/shm")


def server_that_was_added(name: str) -> Server:
    """The server of that name; the test is skipped, with the command that adds it, where it was not."""
    if name in NAMES and (state := environment_of(name).state) != WHOLE:
        pytest.skip(f"{name} is {state}: python -m mps.servers add {name}")
    return SERVERS[name]


def small_classifier(folder: Path, name: str = "small", seed: int = 0) -> Path:
    """`<folder>/<name>.mar`: a BERT of two layers with three labels."""
    checkpoint = tiny_bert(folder / f"{name}-checkpoint", seed=seed, spread=0.2)
    return build("text", checkpoint, folder, name=name, trial=False)


def left_in(folder: Path) -> list[str]:
    """What servers have left that were started with `folder` as TMPDIR: files, processes, shared memory."""
    names = [path.name for path in folder.iterdir()]
    files = [str(path) for path in folder.iterdir()]
    shared = [str(path) for path in SHARED_MEMORY.iterdir() if path.name.startswith("tsmps-")]
    processes = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("TMPDIR", "").startswith(f"{folder}/"):
                processes.append(" ".join(process.cmdline()) or process.name())
    return files + processes + [path for path in shared if any(name in path for name in names)]


def is_free(port: int) -> bool:
    """Whether nothing listens on the port of this machine."""
    listening = [each for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
    return port not in {each.laddr.port for each in listening}
