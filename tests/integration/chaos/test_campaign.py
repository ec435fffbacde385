"""A few kills of the campaign, each of which goes on to what it would have come to."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from experiments.base.paths import ROOT
from tests.chaos.log import Log

CAMPAIGN = (sys.executable, "-m", "tests.chaos", "--seed", "1")

pytestmark = [pytest.mark.integration, pytest.mark.wide, pytest.mark.timeout(900)]


def test_five_kills_cost_nothing() -> None:
    command = [*CAMPAIGN, "--kills", "5", "--scene", "sweep"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["kills"] > 0
    assert not any(told[name] for name in ("lost", "doubled", "left_behind", "failed"))


def test_a_killed_campaign_leaves_nothing_behind_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "kills.log"
    command = [*CAMPAIGN, "--kills", "2", "--scene", "report", "--jobs", "1", "--log", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as campaign:
        while not good(path):
            assert campaign.poll() is None
            time.sleep(0.1)
        ours = psutil.Process(campaign.pid).children(recursive=True)
        campaign.kill()
    psutil.wait_procs(ours, timeout=60)
    assert not [each for each in ours if each.is_running()]
    first = good(path)
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True, timeout=600)
    assert len(good(path)) == 2
    for number in good(path):
        assert len(re.findall(rf"^ *{number} ", path.read_text("utf-8"), re.MULTILINE)) == 1
    assert first < good(path)


def good(path: Path) -> set[int]:
    return Log(path, seed=1).good()
