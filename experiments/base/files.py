"""Files that are there whole or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_whole(path: Path, text: str) -> None:
    """Writes a text file as UTF-8, whole or not at all. Raises OSError.

    A path in it that is not UTF-8, or was not taken for it in a C locale, is written byte by byte as it is.
    """
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text, "utf-8", errors="surrogateescape")
    temporary.replace(path)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes a JSON file, whole or not at all. Raises OSError."""
    write_whole(path, json.dumps(value, indent=2) + "\n")
