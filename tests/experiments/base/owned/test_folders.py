"""Folders of the dead are removed, of the living and of others they are not."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from experiments.base.owned import new_name, owned_folder, owner_in, remove_those_of_the_dead
from experiments.base.paths import ROOT

DIES_IN_ITS_FOLDER = """
import os, signal
from experiments.base.owned import owned_folder
with owned_folder("a-kind-") as folder:
    (folder / "kept").write_text("x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_is_there_as_long_as_it_is_used(temporary: Path) -> None:
    with owned_folder("a-kind-") as folder:
        assert folder.parent == temporary
        assert folder.stat().st_mode & 0o777 == 0o700
        assert owner_in(folder.name, "a-kind-") == os.getpid()
    assert list(temporary.iterdir()) == []


def test_what_a_sigkill_leaves_the_next_one_removes(temporary: Path) -> None:
    subprocess.run([sys.executable, "-c", DIES_IN_ITS_FOLDER], cwd=ROOT)
    (left,) = temporary.iterdir()
    with owned_folder("another-kind-"):
        assert left.exists()
    with owned_folder("a-kind-") as folder:
        assert list(temporary.iterdir()) == [folder]


def test_the_living_and_what_only_looks_alike_are_left_alone(temporary: Path) -> None:
    with owned_folder("a-kind-") as folder:
        elsewhere = new_name("a-kind-").replace("-kind-", "-kind-1")  # of another namespace of pids
        others = [temporary / "a-kind-of-somebody", temporary / elsewhere]
        for other in others:
            other.mkdir()
        assert remove_those_of_the_dead("a-kind-") == []
        assert {folder, *others} == set(temporary.iterdir())
