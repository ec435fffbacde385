"""What a worker tells who watches it: batches, rows, where the time of a batch goes, its multiprocessors.

Kept in a small file that others may read at any time, mapped into memory: counting costs about a microsecond
a batch. Who wants it sets HANDLER_TALLY in the server's environment; experiments/watch/counters.py reads it.
"""

import mmap
import os
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "HANDLER_TALLY"
# Batches, rows, and nanoseconds: until the forward pass, in it, in `handle` altogether.
LAYOUT = struct.Struct("=5Q")


class Tally:
    """The sums since this worker was loaded. Without a file, counting does nothing."""

    def __init__(self, path: Path | None = None) -> None:
        self._sums = [0] * 5
        self._map: mmap.mmap | None = None
        if path is not None:
            path.write_bytes(LAYOUT.pack(*self._sums))
            with path.open("r+b") as file:
                self._map = mmap.mmap(file.fileno(), LAYOUT.size)

    def add(self, rows: int, prepare_ns: int, forward_ns: int, handle_ns: int) -> None:
        """Count one batch."""
        if self._map is None:
            return
        added = (1, rows, prepare_ns, forward_ns, handle_ns)
        self._sums = [before + more for before, more in zip(self._sums, added, strict=True)]
        LAYOUT.pack_into(self._map, 0, *self._sums)


def open_tally(environment: Mapping[str, str] = os.environ) -> Tally:
    """A tally in <temporary folder>/<pid>.tally where HANDLER_TALLY is set, else one that does nothing."""
    if not environment.get(VARIABLE):
        return Tally()
    return Tally(_beside("tally"))


def tell_multiprocessors(count: int, environment: Mapping[str, str] = os.environ) -> None:
    """Where HANDLER_TALLY is set, leaves `count` in <temporary folder>/<pid>.multiprocessors."""
    if environment.get(VARIABLE):
        _beside("multiprocessors").write_text(f"{count}", "utf-8")


def _beside(ending: str) -> Path:
    return Path(tempfile.gettempdir()) / f"{os.getpid()}.{ending}"
