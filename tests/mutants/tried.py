"""Mutants of a module, each tried in a process of its own, in one of two ways.

The quick one: a process that has collected the tests is forked, and the fork exchanges the code of functions.
What no test notices that way, or is no change of a function, is imported anew, in a fork of a process that
has imported nothing of ours: what an import calculates is the mutant's too then.
"""

import importlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from math import ceil
from pathlib import Path

import pytest

from tests.mutants.child import (
    LEAST_CPU_S,
    ROOT,
    InTheLoopsPlace,
    Suite,
    end_after_s,
    run_tests,
    try_anew,
    try_unchanged,
)
from tests.mutants.forks import each_forked
from tests.mutants.made import Mutant
from tests.mutants.swapped import functions_of, swap

LIMIT_S = 1200.0  # for one that sleeps; what works for ever is ended by the CPU time it takes
COLLECTING_CPU_S = 3600.0
NOT_QUICK = 71
QUICKER = 0.9  # of the tests: the slowest are left for what no other notices


class BrokenTestsError(Exception):
    """The tests fail without any mutant, so they can't tell one."""


def warmed(suite: Suite, scratch: Path) -> Suite:
    """The same tests, timed in a process that has imported what they need. Raises BrokenTestsError."""
    for number in range(2):  # the first imports
        folder = scratch / f"unchanged{number}"
        ((_, code),) = each_forked([folder], partial(try_unchanged, suite), 1, LIMIT_S)
        if code:
            output = (folder / "output").read_text(encoding="utf-8", errors="replace")
            raise BrokenTestsError(f"{' '.join(suite.tests)}: pytest ends with {code}\n{output}")
        told = json.loads((folder / "seen.json").read_text(encoding="utf-8"))
        _import_strangers(told["modules"])
        suite = replace(suite, seen=told["durations_s"], cpu_s=told["cpu_s"])
    return suite


def tried(mutants: Sequence[Mutant], suite: Suite, scratch: Path, jobs: int) -> Iterator[tuple[Mutant, bool]]:
    """Each mutant, and whether a test has noticed it, in the order in which that is known."""
    left = dict(enumerate(mutants))
    for number in _noticed_quickly(mutants, suite, scratch, jobs):
        yield left.pop(number), True

    def anew(number: int) -> int:
        return try_anew(suite, left[number].code(), scratch / f"anew{number}")

    for number, code in each_forked(list(left), anew, jobs, LIMIT_S):
        yield left[number], code != 0


def _noticed_quickly(mutants: Sequence[Mutant], suite: Suite, scratch: Path, jobs: int) -> list[int]:
    told = scratch / "noticed.json"
    codes = [mutant.code() for mutant in mutants]

    def collected(session: pytest.Session) -> None:
        there = functions_of(suite.module)
        original = compile((ROOT / suite.path).read_text("utf-8"), suite.path, "exec")

        def quickly(number: int) -> int:
            if not swap(original, codes[number], there):
                return NOT_QUICK
            temporary = scratch / f"quick{number}"
            temporary.mkdir()
            end_after_s(2 * suite.cpu_s + LEAST_CPU_S)
            session.config._tmp_path_factory._basetemp = temporary  # type: ignore[attr-defined]
            return _first_failure(session)

        ended = each_forked(range(len(codes)), quickly, jobs, LIMIT_S)
        told.write_text(json.dumps([number for number, code in ended if code not in (0, NOT_QUICK)]))

    def served(folder: Path) -> int:
        return run_tests(suite, folder, InTheLoopsPlace(suite.seen, collected), COLLECTING_CPU_S)

    list(each_forked([scratch / "collected"], served, 1, LIMIT_S * (len(mutants) + 1)))
    noticed: list[int] = json.loads(told.read_text()) if told.exists() else []
    return noticed


def _first_failure(session: pytest.Session) -> int:
    """1 as soon as a test fails, 0 where none of the quicker ones does."""
    items = session.items[: ceil(len(session.items) * QUICKER)]
    for item, after in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        if session.testsfailed:
            return 1
    return 0


def _import_strangers(files: Mapping[str, str]) -> None:
    """Every one of these modules that isn't this project's: no child has to import it any more."""
    for name, file in files.items():
        if name not in sys.modules and not _is_ours(Path(file)):
            with suppress(Exception):  # what can't be imported by itself is imported by the tests
                importlib.import_module(name)


def _is_ours(file: Path) -> bool:
    return file.is_relative_to(ROOT) and not file.is_relative_to(ROOT / ".venv")
