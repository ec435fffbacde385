"""Where this project lies."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
"""The repository: config.properties, handlers/, model_store/ and results/ are in it."""
