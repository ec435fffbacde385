"""Files that are there whole or not at all, files of lines that are, and files that are not too large."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from experiments.base.errors import ExperimentError

MOST_BYTES = 64 * 2**20
"""Of a file that is read whole, a thousand times what a sweep of fifty cells writes."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write in place of `path`, which it takes once it is whole. Where it can't be written, as on a
    full disk, nothing is left of it. Raises OSError."""
    temporary = path.with_name(path.name + ".new")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_whole(path: Path, text: str) -> None:
    """Writes a text file as UTF-8, whole or not at all. Raises OSError.

    A path in it that is not UTF-8, or was not taken for it in a C locale, is written byte by byte as it is.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, "utf-8", errors="surrogateescape")


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes a JSON file, whole or not at all. Raises OSError."""
    write_whole(path, json.dumps(value, indent=2) + "\n")


def append_line(file: IO[bytes], value: Mapping[str, Any]) -> None:
    """Adds a line of JSON, and waits until it is on the disk. Raises OSError."""
    file.write(json.dumps(value).encode() + b"\n")
    file.flush()
    os.fsync(file.fileno())


def cut_torn_line(file: IO[bytes]) -> None:
    """Cuts off what a kill has left of a last line. Raises OSError."""
    file.seek(0)
    content = file.read()
    file.truncate(content.rfind(b"\n") + 1)


def bytes_of(path: Path, most: int = MOST_BYTES) -> bytes:
    """A file's content. Raises ExperimentError where it is larger than `most`, OSError where it can't be
    read."""
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ExperimentError(f"{path} is larger than {most / 2**20:.0f} MiB: none of ours is")
    return content
