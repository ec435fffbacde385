"""Workers that share a part of a device take turns: one batch at a time, by a lock on a file.

Each on its own would be slowed down by the others for as long as they work, and none would keep its bound.
"""

import fcntl
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType


class Turns:
    """Inside of it nobody else is who has the same file. Ends with the process, however that ends."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab")

    def __enter__(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)


def turns_of(path: str | None) -> AbstractContextManager[None]:
    """Turns with all who name the same file, None: with nobody. Raises OSError where it can't be written."""
    return nullcontext() if path is None else Turns(Path(path))
