"""Environments as they are made: by a real pip, which can't always do it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.base.paths import ROOT
from experiments.servers import environments
from experiments.servers.added import AddError, add
from experiments.servers.environments import ABSENT, WHOLE, environment_of
from tests.support.other_servers import server_that_was_added

pytestmark = [pytest.mark.integration, pytest.mark.wide]

ADD_ELSEWHERE = """
import sys
from pathlib import Path
from experiments.servers import environments
environments.FOLDER = Path(sys.argv[1])
from mps.servers import app
app(["add", "triton"])
"""


@pytest.fixture
def no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip asks an index that is not there."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")


@pytest.mark.usefixtures("no_index")
def test_without_a_package_index_a_line_says_so_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    told: list[str] = []
    with pytest.raises(AddError, match="can't install triton: no package index can be reached"):
        add("triton", told.append)
    assert told[0] == "triton: making an environment for nvidia-pytriton 0.7.0"
    assert environment_of("triton").state == ABSENT
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_index")
def test_ctrl_c_leaves_nothing_and_ends_with_a_line(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ADD_ELSEWHERE, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as program:
        assert program.stderr is not None
        while "installing" not in program.stderr.readline():
            pass
        time.sleep(0.2)
        program.send_signal(signal.SIGINT)
        last = program.stderr.read().splitlines()[-1]
    assert program.returncode == 130
    assert last == "interrupted: what was half made is removed; the same command begins anew"
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_left_as_it_is() -> None:
    server_that_was_added("litserve")
    told: list[str] = []
    assert add("litserve", told.append).state == WHOLE
    assert told == ["litserve 0.2.19 is there already"]
