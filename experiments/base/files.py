"""Files that are there whole or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_whole(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all. Raises OSError."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text)
    temporary.replace(path)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes a JSON file, whole or not at all. Raises OSError."""
    write_whole(path, json.dumps(value, indent=2) + "\n")
