"""What the tests of control daemons share: a temporary folder each, in which nothing may be left."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from mps.control import PIPE_VARIABLE, MpsDaemon


@pytest.fixture(autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder of this test's own, in which and of which nothing may be left."""
    monkeypatch.delenv(PIPE_VARIABLE, raising=False)
    tmp_path_factory.getbasetemp()  # made at its first use, and not in here
    with tempfile.TemporaryDirectory(prefix="t") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)
        assert list(Path(folder).iterdir()) == []
        assert _mps_processes(Path(folder)) == []


def begin_of_log(daemon: MpsDaemon) -> str:
    """What the daemon's log tells of its start, both lines. A thread of the daemon's own writes it, which may
    be behind what the daemon answers."""
    deadline = time.monotonic() + 20
    while PIPE_VARIABLE not in (begin := daemon.log_tail()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return begin


def lives(pid: int) -> bool:
    """Whether a process is there, and not as a zombie only."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _mps_processes(folder: Path) -> list[int]:
    """The daemons and servers, whosever child they are by now, whose pipe folder lies in `folder`."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(PIPE_VARIABLE, "").startswith(f"{folder}/") and lives(process.pid):
                found.append(process.pid)
    return found
