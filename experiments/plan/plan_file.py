"""A plan's YAML file as a mapping of settings. What they mean and which make sense is known in plan.py."""

from pathlib import Path
from typing import Any

from experiments.base.errors import UsageError
from experiments.base.yaml_files import parsed_yaml


def settings_in(path: Path) -> dict[str, Any]:
    """The `key: value` lines of a plan file. Raises UsageError where it can't be read as such."""
    try:
        settings = parsed_yaml(path.read_text("utf-8"), path)
    except OSError as error:
        raise UsageError(f"--plan {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"--plan {path} is no YAML: {' '.join(str(error).split())}") from error
    except UsageError as error:
        raise UsageError(f"--plan {error}") from error
    if not isinstance(settings, dict | None):
        raise UsageError(f"--plan {path} must hold 'key: value' lines")
    return settings or {}
