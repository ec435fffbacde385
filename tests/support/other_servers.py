"""Servers for tests: their environments where they were added, and a small archive."""

from pathlib import Path

import pytest

from experiments.servers.environments import NAMES, WHOLE, environment_of
from experiments.servers.known import SERVERS
from experiments.servers.served import Server
from handlers.archive.archives import build
from tests.support.checkpoints import tiny_bert


def server_that_was_added(name: str) -> Server:
    """The server of that name; the test is skipped, with the command that adds it, where it was not."""
    if name in NAMES and (state := environment_of(name).state) != WHOLE:
        pytest.skip(f"{name} is {state}: python -m mps.servers add {name}")
    return SERVERS[name]


def small_classifier(folder: Path, name: str = "small", seed: int = 0) -> Path:
    """`<folder>/<name>.mar`: a BERT of two layers with three labels."""
    checkpoint = tiny_bert(folder / f"{name}-checkpoint", seed=seed, spread=0.2)
    return build("text", checkpoint, folder, name=name, trial=False)
