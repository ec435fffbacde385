"""A few kills of the campaign, each of which goes on to what it would have come to."""

import json
import subprocess
import sys

import pytest

from experiments.base.paths import ROOT

pytestmark = [pytest.mark.integration, pytest.mark.wide]


def test_five_kills_cost_nothing() -> None:
    command = [sys.executable, "-m", "tests.chaos", "--kills", "5", "--seed", "1", "--scene", "sweep"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["kills"] > 0
    assert not any(told[name] for name in ("lost", "doubled", "left_behind", "failed"))
