"""`python -m tests.mutants`, on a module of a few mutants."""

import json
import subprocess
import sys

import pytest

from tests.mutants.child import ROOT

SMALLEST = "experiments/plan/servers.py"


@pytest.mark.thorough
def test_the_mutants_of_a_module_are_tried_and_told() -> None:
    command = [sys.executable, "-m", "tests.mutants", SMALLEST, "--jobs", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout.splitlines()[-1])["modules"] == {SMALLEST: "4/4"}
