"""Whether an environment is there, whole and of today's pins, and what its making says where it fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.base.errors import UsageError
from experiments.base.files import write_json
from experiments.servers import environments
from experiments.servers.added import _reason
from experiments.servers.environments import (
    ABSENT,
    HALF,
    NAMES,
    NOTE,
    OTHER,
    WHOLE,
    Environment,
    being_made,
    environment_of,
    half_made,
    ingredients,
    package_of,
    remove,
    whole,
)


@pytest.fixture
def litserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Where LitServe's environment would be, with nothing there."""
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    return environment_of("litserve")


def make(environment: Environment) -> None:
    environment.python.parent.mkdir(parents=True)
    environment.python.touch()
    write_json(environment.folder / NOTE, ingredients(environment.name))


def test_nothing_is_there_at_first(litserve: Environment) -> None:
    assert litserve.state == ABSENT
    assert not remove(litserve)
    with pytest.raises(UsageError, match=r"is absent: run `python -m mps\.servers add litserve`"):
        whole("litserve")


def test_the_note_that_is_written_last_makes_it_whole(litserve: Environment) -> None:
    make(litserve)
    assert litserve.state == WHOLE
    assert whole("litserve") == litserve
    (litserve.folder / NOTE).unlink()
    assert litserve.state == HALF


def test_other_pins_or_another_torch_make_it_one_of_the_past(litserve: Environment) -> None:
    make(litserve)
    write_json(litserve.folder / NOTE, ingredients("litserve") | {"pins_sha256": "of yesterday"})
    assert litserve.state == OTHER
    write_json(litserve.folder / NOTE, ingredients("litserve") | {"shared": "/elsewhere"})
    assert litserve.state == OTHER


def test_what_a_killed_run_has_left_is_half_made_and_removed(litserve: Environment) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = litserve.folder.with_name(f".litserve-{gone.pid}")
    left.mkdir()
    being_made(litserve.folder).mkdir()  # by us, at this moment
    assert litserve.state == HALF
    assert list(half_made(litserve.folder)) == [left]
    assert remove(litserve)
    assert not left.exists()
    assert being_made(litserve.folder).name == f".litserve-{os.getpid()}"
    assert being_made(litserve.folder).exists()


@pytest.mark.parametrize("name", NAMES)
def test_every_server_has_pins_that_name_it(name: str) -> None:
    package, version = package_of(name).split()
    pins = environments.requirements_of(name).read_text().splitlines()[1:]
    assert f"{package}=={version}" in pins
    assert all("==" in pin for pin in pins)


def test_a_server_that_is_not_known_is_told_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="choose among bentoml, litserve, triton"):
        environment_of("torchserve")


def test_why_pip_failed_is_told_in_a_line() -> None:
    no_network = (
        "WARNING: Retrying (Retry(total=1)) after connection broken by 'NewConnectionError'\n"
        "ERROR: Could not find a version that satisfies the requirement litserve\n"
        "ERROR: No matching distribution found for litserve==0.2.19\n"
    )
    assert _reason("litserve", no_network).endswith(
        "no package index can be reached: connect, or name one in PIP_INDEX_URL"
    )
    no_space = "ERROR: Could not install packages due to an OSError: No space left on device\n"
    assert _reason("litserve", no_space).endswith("No space left on device")
    assert _reason("litserve", "") == "can't install litserve: pip says nothing"
