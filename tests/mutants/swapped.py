"""The code of functions that are there already, exchanged for a mutant's: nothing is imported anew."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from types import CodeType, FunctionType

IS_FUNCTION = 0x0001  # CO_OPTIMIZED: neither a module nor the body of a class

Key = tuple[str, int]
"""A function: its qualified name and its first line."""


def functions_of(module: str) -> dict[Key, list[FunctionType]]:
    """The functions of a module that exist, decorated ones, methods and lambdas too."""
    found: dict[Key, list[FunctionType]] = {}
    for each in gc.get_objects():
        if isinstance(each, FunctionType) and each.__module__ == module:
            found.setdefault(_key(each.__code__), []).append(each)
    return found


def swap(original: CodeType, mutant: CodeType, there: Mapping[Key, Sequence[FunctionType]]) -> bool:
    """Whether the mutant differs from its module in functions alone; those that are `there` are its own now.

    Where a value of the module, of a class or a default is another, nothing is changed: that takes an import.
    """
    if list(_of_bodies(original)) != list(_of_bodies(mutant)):
        return False
    before, after = dict(_outermost(original)), dict(_outermost(mutant))
    changed = [key for key, code in after.items() if before.get(key) != code]
    if not changed or any(key not in there or after[key].co_freevars for key in changed):
        return False
    for key in changed:
        for function in there[key]:
            function.__code__ = after[key]
    return True


def _key(code: CodeType) -> Key:
    return code.co_qualname, code.co_firstlineno


def _inside(code: CodeType) -> Iterator[CodeType]:
    return (each for each in code.co_consts if isinstance(each, CodeType))


def _outermost(code: CodeType) -> Iterator[tuple[Key, CodeType]]:
    """The functions of a module and of its classes, not those within functions."""
    for each in _inside(code):
        if each.co_flags & IS_FUNCTION:
            yield _key(each), each
        else:
            yield from _outermost(each)


def _of_bodies(code: CodeType) -> Iterator[tuple[object, ...]]:
    """What a module and its classes do by themselves when they are imported."""
    constants = tuple((type(each), each) for each in code.co_consts if not isinstance(each, CodeType))
    yield code.co_code, constants, code.co_names
    for each in _inside(code):
        if not each.co_flags & IS_FUNCTION:
            yield from _of_bodies(each)
