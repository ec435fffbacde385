"""A mutant's code in functions that were imported long ago."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.mutants.made import mutants_of
from tests.mutants.swapped import functions_of, swap

TEXT = """
from functools import cache

MOST = 3

class Counted:
    least = 0

    @property
    def more(self):
        return self.least + 10

@cache
def doubled(number):
    return [each * 2 for each in (number, MOST)]
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    (tmp_path / "some_lines.py").write_text(TEXT)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("some_lines")
    del sys.modules["some_lines"]


def swapped(module: ModuleType, what: str) -> bool:
    (code,) = [each.code() for each in mutants_of("some_lines.py", TEXT) if each.what == what]
    return swap(compile(TEXT, "some_lines.py", "exec"), code, functions_of(module.__name__))


@pytest.mark.thorough
def test_whoever_has_imported_a_function_has_the_mutants(module: ModuleType) -> None:
    doubled, counted = module.doubled, module.Counted()
    assert swapped(module, "each * 2 -> each / 2")
    assert doubled(8) == [4, 1.5]
    assert swapped(module, "self.least + 10 -> self.least - 10")
    assert counted.more == -10


@pytest.mark.thorough
@pytest.mark.parametrize("what", ["3 -> 4", "0 -> 1"])
def test_what_an_import_calculates_takes_an_import(module: ModuleType, what: str) -> None:
    assert not swapped(module, what)
    assert (module.MOST, module.Counted.least) == (3, 0)
