"""Mutants of a module, each tried in a fork of this process, which has imported what isn't ours already."""

import gc
import importlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType

from tests.mutants.child import run
from tests.mutants.made import Mutant

ROOT = Path(__file__).parents[2]
POLL_S = 0.005
LEAST_LIMIT_S, LIMIT_FACTOR = 10.0, 5.0  # of what the tests take without a mistake: then it hangs


class BrokenTestsError(Exception):
    """The tests fail without any mutant, so they can't tell one."""


@dataclass(frozen=True)
class Suite:
    """The tests of a module: files, or single tests as pytest names them. `seen` is how long each takes."""

    path: str
    tests: Sequence[str]
    seen: Mapping[str, float] = field(default_factory=dict)
    takes_s: float = 600 / LIMIT_FACTOR

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@dataclass(frozen=True)
class _Child:
    pid: int
    mutant: Mutant | None
    folder: Path
    ends_s: float


def warmed(tests: Suite, scratch: Path) -> Suite:
    """The same tests, timed in a process that has imported what they need. Raises BrokenTestsError."""
    for _ in range(2):  # the first imports
        begun_s = time.monotonic()
        child = _begun(tests, None, None, scratch / "unchanged")
        while (code := _ended(child)) is None:
            time.sleep(POLL_S)
        if code:
            output = (child.folder / "output").read_text(encoding="utf-8", errors="replace")
            raise BrokenTestsError(f"{' '.join(tests.tests)}: pytest ends with {code}\n{output}")
        takes_s = time.monotonic() - begun_s
        told = json.loads((child.folder / "seen.json").read_text(encoding="utf-8"))
        shutil.rmtree(child.folder)
        _import_strangers(told["modules"])
    return Suite(tests.path, tests.tests, told["durations_s"], takes_s)


def tried(mutants: Iterable[Mutant], tests: Suite, scratch: Path, jobs: int) -> Iterator[tuple[Mutant, bool]]:
    """Each mutant, and whether a test has noticed it, in the order in which that is known."""
    waiting = iter(enumerate(mutants))
    running: list[_Child] = []
    while True:
        while len(running) < jobs and (following := next(waiting, None)):
            number, mutant = following
            running.append(_begun(tests, mutant, mutant.code(), scratch / str(number)))
        if not running:
            return
        for child in list(running):
            if (code := _ended(child)) is not None:
                running.remove(child)
                shutil.rmtree(child.folder, ignore_errors=True)
                assert child.mutant is not None
                yield child.mutant, code != 0
        time.sleep(POLL_S)


def _begun(tests: Suite, mutant: Mutant | None, code: CodeType | None, folder: Path) -> _Child:
    folder.mkdir(parents=True)
    gc.collect()
    gc.freeze()  # a child's collector need not copy what is there already
    if (pid := os.fork()) == 0:
        run(tests.module, ROOT / tests.path, code, tests.tests, folder, tests.seen)
    limit_s = max(LEAST_LIMIT_S, LIMIT_FACTOR * tests.takes_s)
    return _Child(pid, mutant, folder, time.monotonic() + limit_s)


def _ended(child: _Child) -> int | None:
    """The exit code, not 0 where a signal ended it; None while it runs. What runs too long is ended."""
    pid, status = os.waitpid(child.pid, os.WNOHANG)
    if pid:
        return os.waitstatus_to_exitcode(status)
    if time.monotonic() > child.ends_s:
        _kill(child.pid)
    return None


def _kill(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:  # it isn't the leader of a group yet
        os.kill(pid, signal.SIGKILL)


def _import_strangers(files: Mapping[str, str]) -> None:
    """Every one of these modules that isn't this project's: no child has to import it any more."""
    for name, file in files.items():
        if name not in sys.modules and not _is_ours(Path(file)):
            with suppress(Exception):  # what can't be imported by itself is imported by the tests
                importlib.import_module(name)


def _is_ours(file: Path) -> bool:
    return file.is_relative_to(ROOT) and not file.is_relative_to(ROOT / ".venv")
