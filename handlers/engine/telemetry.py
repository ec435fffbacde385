"""What engines tell their makers, turned off."""

import os


def turn_off() -> None:
    """Before ONNX Runtime is imported: else it sends what runs on it to Microsoft, and leaves an identifier
    in ~/.cache and a file in TMPDIR (its Privacy.md). Where the variable is set already, it stays."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
