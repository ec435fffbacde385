"""Trials of archives in forks of this process: the same program, without its four seconds of imports.

The fork drops this repository's `handlers` and its path, so that the archive's own are found, as in a worker.
test_trial.py has the trial in a process of its own, as it is in use.
"""

import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest

from handlers.archive import archives, trial


@contextmanager
def forked_trials() -> Iterator[None]:
    """What is built inside is tried in a fork."""
    forking = SimpleNamespace(run=_run, TimeoutExpired=subprocess.TimeoutExpired)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "subprocess", forking)
        yield


def _run(
    command: Sequence[str], *, env: Mapping[str, str], **_: object
) -> "subprocess.CompletedProcess[str]":
    """What subprocess.run gives of a Python script with its arguments."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as stderr:
        pid = os.fork()
        if not pid:
            _run_here(command[command.index(trial.__file__) :], env, stderr.fileno())
        _, status = os.waitpid(pid, 0)
        stderr.seek(0)
        return subprocess.CompletedProcess(command, os.waitstatus_to_exitcode(status), "", stderr.read())


def _run_here(arguments: Sequence[str], env: Mapping[str, str], stderr: int) -> NoReturn:
    code: object = 1
    with (
        open(stderr, "w", encoding="utf-8", closefd=False) as said,
        Path(os.devnull).open("w", encoding="utf-8") as null,
    ):
        sys.stdout, sys.stderr = null, said
        try:
            os.environ.clear()
            os.environ.update(env)
            sys.path = [path for path in sys.path if Path(path).resolve() != archives.HERE.parent]
            for name in [name for name in sys.modules if name.partition(".")[0] == "handlers"]:
                del sys.modules[name]
            sys.argv = [*arguments]
            runpy.run_path(arguments[0], run_name="__main__")
            code = 0
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
        if not isinstance(code, int):
            print(code, file=said)
            code = 1
        said.flush()
        os._exit(code)
