"""YAML files that people write, read with an error of one line."""

from pathlib import Path
from typing import Any

import yaml

from experiments.base.errors import UsageError


def read_yaml(path: Path, what: str) -> Any:
    """What the file of `what` ("a plan") holds. Raises UsageError where it can't be read or is no YAML."""
    return parsed_yaml(read_text(path, what), path)


def read_text(path: Path, what: str) -> str:
    """The file of `what` as UTF-8. Raises UsageError where it can't be read."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} can't be read ({error}): give the file of {what}") from error


def parsed_yaml(text: str, path: Path) -> Any:
    """What a text that `path` holds says. Raises UsageError where it is no YAML."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
