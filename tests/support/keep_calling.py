"""What is called until it raises."""

import time
from collections.abc import Callable


def keep_calling(check: Callable[[], object]) -> None:
    """Calls until it raises; the deadline only keeps a failing test from hanging."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        check()
        time.sleep(0.01)
