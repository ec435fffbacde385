"""`make audit` without a network: loud, and no failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.base.paths import ROOT


@pytest.mark.wide
@pytest.mark.thorough
def test_where_nobody_can_be_asked_it_is_skipped_loudly(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("six==1.17.0\n")
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0"}
    nowhere["PIP_CONFIG_FILE"] = os.devnull
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")} | nowhere
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "audit.py"), str(lock)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "")
    skipped = "audit: SKIPPED, the lock is NOT checked: pip-audit>=2.7,<3 can't be installed"
    assert done.stderr.startswith(skipped)
