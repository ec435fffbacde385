"""What is printed for the user: on any console, and ready to be pasted."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.base.paths import ROOT
from experiments.base.shown import command

PRINT = "from mps.door import to_stdout; to_stdout().print('d\\u00e9j\\u00e0 \\u2192 [v2]', markup=False)"


@pytest.mark.parametrize("folder", ["plain", "out [v2] x", "d'été", 'say "so"', "a$HOME`ls`", "*;&|"])
def test_a_command_can_be_pasted_into_a_shell(folder: str) -> None:
    pasted = command("printf", "%s", Path(folder))
    done = subprocess.run(["sh", "-c", pasted], capture_output=True, text=True, check=True, encoding="utf-8")
    assert done.stdout == folder


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [
        ("iso-8859-1", b"d\xe9j\xe0 ? [v2]\n"),
        ("ascii", b"d?j? ? [v2]\n"),
        ("utf-8", "déjà → [v2]\n".encode()),
    ],
)
def test_what_a_console_lacks_is_a_question_mark(encoding: str, printed: bytes) -> None:
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", PRINT], cwd=ROOT, env=environment, capture_output=True)
    assert (done.returncode, done.stdout) == (0, printed)
