"""A program that has just been started, as /proc shows it.

Popen returns when the kernel has closed what exec closes, which is a moment before it has written down the
new program's words and variables: whoever reads them then finds nothing.
"""

import subprocess
import time
from pathlib import Path
from typing import Any

LONGEST_S = 10.0


def shown(program: "subprocess.Popen[Any]", *, variables: bool = True) -> None:
    """Waits until /proc shows the program's words, and its variables where it has any. One that has ended has
    neither, and is not waited for."""
    names = ("cmdline", "environ") if variables else ("cmdline",)
    deadline = time.monotonic() + LONGEST_S
    while not all(Path(f"/proc/{program.pid}/{name}").read_bytes() for name in names):
        if program.poll() is not None or time.monotonic() > deadline:
            return
        time.sleep(0.001)
