"""What a placement's proof leaves: measured.json."""

import json
from dataclasses import asdict
from pathlib import Path

from experiments.base.errors import ExperimentError
from experiments.placement.deployment.live import Proven

MEASURED = "measured.json"


def write_proof(folder: Path, proven: Proven, measured_on: str) -> Path:
    """Writes what was predicted and measured. Raises ExperimentError where it can't be written."""
    path = folder / MEASURED
    try:
        path.write_text(json.dumps({"measured_on": measured_on, **asdict(proven)}, indent=1) + "\n", "utf-8")
    except OSError as error:
        raise ExperimentError(f"can't write {path}: {error.strerror}; make room") from error
    return path
