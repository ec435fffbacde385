"""The program that outlives its parent: where a run is killed, it ends the run's servers there and then.

It waits for its standard input, which its parent holds open, to end. A parent that has stopped its server
itself kills it before. Everything else of the clean-up is that of the next run (serving/instances.py).
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from experiments.base.interrupts import carry_through
from experiments.base.paths import ROOT

END_OF_PARENT_S = 10.0  # its pipe closes a little before it is gone


@contextmanager
def guarded() -> Iterator[None]:
    """While what is inside runs, a kill of this process ends the servers that it has started."""
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.servers.guard", str(os.getpid())],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the parent, which stops its server
    )
    try:
        yield
    finally:
        carry_through(lambda: _dismiss(process))


def _dismiss(process: "subprocess.Popen[bytes]") -> None:
    """Before its input ends, which it would take for our end; it is killed as that is faster than its own."""
    assert process.stdin is not None
    process.kill()
    process.wait()
    process.stdin.close()


def main(parent: int) -> None:
    sys.stdin.buffer.read()
    from experiments.serving.instances import remove_leftovers

    deadline = time.monotonic() + END_OF_PARENT_S
    while os.getppid() == parent and time.monotonic() < deadline:
        time.sleep(0.02)
    remove_leftovers()


if __name__ == "__main__":
    main(int(sys.argv[1]))
