"""The environment of a server made on demand: in a folder beside its place, tried, and moved there whole."""

import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from experiments.base.errors import ExperimentError
from experiments.base.files import write_json, write_whole
from experiments.base.interrupts import carry_through, interrupts_held_back
from experiments.base.owned import owned_folder
from experiments.servers import parity
from experiments.servers.environments import (
    HALF,
    NOTE,
    OTHER,
    WHOLE,
    Environment,
    being_made,
    environment_of,
    ingredients,
    package_of,
    remove,
    requirements_of,
    shared_packages,
)
from experiments.servers.known import OTHERS
from experiments.serving.registration import Registration
from handlers.archive.archives import CORPUS, SEED, build

Tell = Callable[[str], None]

TEXTS = ("The kettle is quiet and pours well.", "No.")
UNREACHABLE = ("Retrying (Retry(", "name resolution", "Connection refused", "Network is unreachable")
SHOWN = re.compile(r"Downloading (?:\S*/)?([^-\s]+-[^-\s]+)-\S+ \((.* MB)\)")  # what is worth a line
SHARED = "shared.pth"  # adds the packages of our own environment, behind those of the server's


class AddError(ExperimentError):
    """An environment could not be made. `details`: what pip printed last."""


def add(name: str, tell: Tell) -> Environment:
    """Makes the environment of a server, unless it is there, and has the server answer with it once.

    Tells how it goes. Raises UsageError for a server that has none, AddError where it can't be installed,
    ServerError or ParityError where the server does not serve with it.
    """
    wanted = environment_of(name)
    state = wanted.state
    if state == WHOLE:
        tell(f"{package_of(name)} is there already")
        return wanted
    if state in (HALF, OTHER):
        tell(f"{name}: the environment that is there is {state}, and made anew")
    made = Environment(name, being_made(wanted.folder))
    try:
        _make(made, tell)
        tell(f"{name}: trying it with a small model")
        _try(made)
        write_json(made.folder / NOTE, ingredients(name))
        with interrupts_held_back():
            remove(wanted)
            made.folder.rename(wanted.folder)
    finally:
        carry_through(lambda: shutil.rmtree(made.folder, ignore_errors=True))
    tell(f"{package_of(name)} is ready, {wanted.size_bytes() / 1e6:.0f} MB in {wanted.folder}")
    return wanted


def _make(made: Environment, tell: Tell) -> None:
    pins = requirements_of(made.name).read_text("utf-8").splitlines()[1:]
    tell(f"{made.name}: making an environment for {package_of(made.name)}")
    made.folder.parent.mkdir(parents=True, exist_ok=True)
    venv.EnvBuilder(symlinks=True, clear=True).create(made.folder)
    tell(f"{made.name}: installing {len(pins)} packages")
    _install(made, tell)
    # After the installation: to pip, what is shared would be there already.
    write_whole(made.site / SHARED, f"{shared_packages()}\n")


def _install(made: Environment, tell: Tell) -> None:
    """Its pins, which are complete, by the pip of our own environment."""
    pip = [sys.executable, "-m", "pip", "--python", str(made.python), "install", "--no-color"]
    options = ["--no-deps", "--disable-pip-version-check", "--progress-bar", "off", "--retries", "2"]
    printed: list[str] = []
    with subprocess.Popen(
        [*pip, *options, "-r", str(requirements_of(made.name))],
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            printed.append(line)
            if shown := SHOWN.match(line.strip()):
                tell(f"{made.name}: downloading {shown[1]}, {shown[2]}")
    if process.returncode != 0:
        raise AddError(_reason(made.name, "".join(printed)), "".join(printed[-20:]))


def _reason(name: str, printed: str) -> str:
    """Why pip failed, from what it printed."""
    if any(sign in printed for sign in UNREACHABLE):
        return f"can't install {name}: no package index can be reached: connect, or name one in PIP_INDEX_URL"
    errors = [line for line in printed.splitlines() if line.startswith("ERROR")]
    return f"can't install {name}: {(errors or printed.splitlines() or ['pip says nothing'])[-1].strip()}"


def _try(made: Environment) -> None:
    """One prediction by the server in this environment, compared with that of the handler alone."""
    with owned_folder("tried-") as folder:
        archive = _small_archive(folder)
        server = replace(OTHERS[made.name], environment=made)
        with server.start([Registration(archive, workers=1, batch_size=2)]) as running:
            parity.check(running, TEXTS, parity.direct(archive, TEXTS))


def _small_archive(folder: Path) -> Path:
    """A classifier of two layers with random weights."""
    import transformers

    from handlers.archive import checkpoints

    config = transformers.BertConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    checkpoint = folder / "checkpoint"
    checkpoints.random_text(checkpoint, config, CORPUS.read_text("utf-8").splitlines(), SEED)
    return build("text", checkpoint, folder, name="small", trial=False)
