"""The lists are true: modules, their tests, and the mutants that are explained, all exist."""

import pytest

from tests.mutants.child import ROOT
from tests.mutants.listed import explanations, modules_and_tests
from tests.mutants.made import mutants_of

LISTED = modules_and_tests()


@pytest.mark.parametrize("path", LISTED)
def test_a_module_has_tests(path: str) -> None:
    assert (ROOT / path).is_file()
    assert all((ROOT / test).exists() for test in LISTED[path])
    assert mutants_of(path, (ROOT / path).read_text("utf-8"))


@pytest.mark.parametrize("path", LISTED)
def test_what_is_explained_is_a_mutant_and_has_a_reason(path: str) -> None:
    made = mutants_of(path, (ROOT / path).read_text("utf-8"))
    there = {(mutant.path, mutant.where, mutant.what) for mutant in made}
    explained = {key: why for key, why in explanations().items() if key[0] == path}
    assert set(explained) <= there
    assert all(len(why.split()) > 3 for why in explained.values())
