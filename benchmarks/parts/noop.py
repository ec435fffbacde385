"""A model that does nothing: what remains is TorchServe itself, and whatever measures it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from experiments.serving.noop import noop_archive
from experiments.serving.registration import Registration
from experiments.serving.torchserve.running import TorchServe
from experiments.serving.torchserve.start import torchserve

__all__ = ["noop_archive", "serving_noop"]


@contextmanager
def serving_noop(workers: int = 1, batch_size: int = 32) -> Iterator[TorchServe]:
    """A TorchServe of our own that serves the model that does nothing."""
    with tempfile.TemporaryDirectory() as folder, torchserve() as server:
        server.register(Registration(noop_archive(Path(folder)), workers, batch_size))
        yield server
