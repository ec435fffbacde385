"""Where one kill is played: folders of its own, and an environment that marks every process of it."""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from experiments.base.paths import ROOT
from tests.support import begun, shared_classes

MARK = "CHAOS_MARK"
LEFT_OUT = ("CUDA_VISIBLE_DEVICES", "CUDA_MPS_PIPE_DIRECTORY", "TS_CONFIG_FILE", "LOG_LOCATION")
QUICK_JAVA = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")  # it lives for seconds


@dataclass(frozen=True, slots=True)
class Stage:
    """`shared` holds what is made once for all kills; `own_room`: see room.py."""

    folder: Path
    shared: Path
    own_room: bool
    mark: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def tmp(self) -> Path:
        """TMPDIR of every process."""
        return self.folder / "t"

    @property
    def disk(self) -> Path:
        """What a kill may make a file system of its own."""
        return self.folder / "d"

    @property
    def out(self) -> Path:
        """The results folder."""
        return self.disk / "out"

    @property
    def card(self) -> Path:
        """The stand-in card, where the scene has one."""
        return self.folder / "card"

    @property
    def light(self) -> str:
        """For PYTHONPATH: a torch that takes no second of CPU to import, for workers whose handler uses none.
        TorchServe itself only asks whether an answer is a tensor."""
        return str(self.shared / "light")

    def environment(self, **more: str) -> dict[str, str]:
        """For every program of this kill."""
        given = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
        java = " ".join([*QUICK_JAVA, *shared_classes.options()])
        ours = {MARK: self.mark, "TMPDIR": str(self.tmp), "JAVA_TOOL_OPTIONS": java, "OMP_NUM_THREADS": "1"}
        # Under a limit on file sizes Python keeps half of what it has compiled: we compile before.
        ours["PYTHONDONTWRITEBYTECODE"] = "1"
        return given | ours | {"no_proxy": "127.0.0.1,localhost"} | more

    def start(
        self, command: Sequence[str], env: dict[str, str], cwd: Path = ROOT
    ) -> "subprocess.Popen[bytes]":
        """A program, which `processes` finds; what it prints is `printed`. Into a file: a server would keep a
        pipe open."""
        with (self.folder / "printed.log").open("wb") as log:
            program = subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        begun.shown(program)
        return program

    @property
    def printed(self) -> str:
        """What the latest program printed."""
        with suppress(OSError):
            return (self.folder / "printed.log").read_text("utf-8", errors="replace")
        return ""

    def processes(self) -> list[psutil.Process]:
        """Those of this kill that live, whosever children they are by now."""
        mark = f"{MARK}={self.mark}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):  # several times as fast as psutil.process_iter
            with suppress(psutil.Error, OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):  # a zombie has none
                    found.append(psutil.Process(int(folder.name)))
        return found


@contextmanager
def staged(shared: Path, *, own_room: bool) -> Iterator[Stage]:
    """A stage, of which nothing is left in the end, whatever was played."""
    folder = Path(tempfile.mkdtemp(prefix="k-", dir="/tmp"))
    stage = Stage(folder, shared, own_room)
    stage.tmp.mkdir()
    stage.disk.mkdir()
    try:
        yield stage
    finally:
        for process in stage.processes():
            with suppress(psutil.Error):
                process.kill()
        shutil.rmtree(folder, ignore_errors=True)


PYTHON = sys.executable
