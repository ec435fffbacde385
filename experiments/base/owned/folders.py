"""Temporary folders that are removed at the end, and by the next of their kind where there was no end."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from experiments.base.interrupts import Reserve, carry_through, interrupts_held_back
from experiments.base.owned.names import new_name, those_of_the_dead


@contextmanager
def owned_folder(prefix: str) -> Iterator[Path]:
    """A new folder in TMPDIR, mode 0700, removed at the end. What the dead have left is removed first."""
    remove_those_of_the_dead(prefix)
    folder = Path(tempfile.gettempdir()) / new_name(prefix)
    reserve = Reserve(4)
    try:
        with interrupts_held_back():
            folder.mkdir(mode=0o700)
        yield folder
    finally:
        carry_through(lambda: _remove(folder, reserve))


def _remove(folder: Path, reserve: Reserve) -> None:
    reserve.release()
    shutil.rmtree(folder, ignore_errors=True)


def remove_those_of_the_dead(prefix: str) -> list[Path]:
    """Removes the folders of processes that are gone, and returns them."""
    folders = [path for path in those_of_the_dead(prefix) if path.is_dir() and not path.is_symlink()]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    return folders
