"""What the integration tests share: a temporary folder of their own for the programs that they start."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from experiments.load.goodput import others
from tests.support import shared_classes


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # else who started us has
        shared_classes.make()
    os.environ["JAVA_TOOL_OPTIONS"] = " ".join([os.environ["JAVA_TOOL_OPTIONS"], *shared_classes.options()])


@pytest.fixture
def own_tmp(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The temporary folder of the test and of the programs it starts, with a short path for their sockets.

    What is in it at the end is what they left behind; other tests and runs on this machine don't matter.
    """
    folder = Path(tempfile.mkdtemp(prefix="t-", dir="/tmp"))
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def programs_in(folder: Path) -> list[str]:
    """The command lines of the processes, but for our own, that name `folder` or have it as TMPDIR."""
    found = []
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
            ours = process.pid == os.getpid()
            if not ours and (str(folder) in line or process.environ().get("TMPDIR") == str(folder)):
                found.append(line)
        except psutil.Error:
            continue
    return found


@pytest.fixture(autouse=True)
def nothing_else_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests run side by side: to each other they are programs that would have runs measured again."""
    monkeypatch.setattr(others, "MOST_OTHER_CPU", 100.0)
