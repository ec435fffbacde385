"""What engines tell their makers, turned off."""

import os


def turn_off() -> None:
    """Before ONNX Runtime is imported: else it sends events of sessions and models to Microsoft (so its
    Privacy.md), and leaves an identifier in ~/.cache and a file in TMPDIR. Where the variable is set, it
    stays."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
