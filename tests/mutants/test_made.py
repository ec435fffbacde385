"""Mutants of a few lines: what each is, that it runs, and what is left alone."""

from typing import Any

import pytest

from tests.mutants.made import Mutant, mutants_of

LINES = """
def allowed(tries: int, most: int = 3) -> bool:
    '''Whether one more is allowed.'''
    return 0 <= tries and not tries >= most
"""


def made(text: str) -> list[Mutant]:
    return mutants_of("module.py", text)


def told(text: str) -> list[str]:
    return [mutant.what for mutant in made(text)]


def test_each_kind_of_mistake_is_made_once() -> None:
    assert sorted(told(LINES)) == sorted(
        [
            "3 -> 4",
            "3 -> 2",
            "return 0 <= tries and (not tries >= most) -> return None",
            "0 <= tries and (not tries >= most) -> 0 <= tries or not tries >= most",
            "0 <= tries -> 0 < tries",
            "0 -> 1 in 0 <= tries",
            "0 -> -1 in 0 <= tries",
            "not tries >= most -> tries >= most",
            "tries >= most -> tries > most",
        ]
    )
    assert {(mutant.where, mutant.line) for mutant in made(LINES)} == {("allowed", 2), ("allowed", 4)}


def test_a_mutant_is_the_module_with_just_that_mistake() -> None:
    answers = []
    for mutant in made(LINES):
        module: dict[str, Any] = {}
        exec(mutant.code(), module)
        answers.append([module["allowed"](tries) for tries in (-1, 0, 2, 3, 4)])
    right = [False, True, True, False, False]
    assert right not in answers
    assert len(answers) == 9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("if a < b: f()", {"a < b -> a <= b", "a < b -> not a < b", "f() dropped"}),
        ("if a == b: f(x)", {"a == b -> a != b", "f(x) dropped"}),
        ("if not a: raise b", {"not a -> a", "raise b dropped"}),
        ("x = [a for a in b if a]", {"a -> not a"}),
        ("x = f(True)", {"True -> False in f(True)"}),
        ("x += 1", {"x += 1 -> x -= 1", "1 -> 2", "1 -> 0", "x += 1 dropped"}),
        ("a = f()\na = a", {"a = f() dropped", "a = a dropped"}),
        ("a.b = c", {"a.b = c dropped"}),
        (
            "x = -a * 2.5",
            {"-a * 2.5 -> -a / 2.5", "-a -> a", "2.5 -> 3.5 in -a * 2.5", "2.5 -> 1.5 in -a * 2.5"},
        ),
    ],
)
def test_mistakes(text: str, expected: set[str]) -> None:
    assert set(told(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "x: int | None = f()",
        "Number = int | float",
        "assert x > 0, 'never'",
        "zip(a, b, strict=True) if a is b else c",
        "'A docstring of 2 lines.'",
        "@dataclass(frozen=True)\nclass A: ...",
        "def f() -> None:\n    return None",
        "LARGEST = 1e18",
    ],
)
def test_what_is_no_behaviour_is_left_alone(text: str) -> None:
    assert [what for what in told(text) if "a is b" not in what] == []
