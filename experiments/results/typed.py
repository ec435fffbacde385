"""JSON from a file, which may be damaged -> records whose every field has the type that it declares.

What is read here is compared and drawn later: a number that is a word, or not a number at all, is to be named
where it stands, not where something stumbles over it.
"""

import dataclasses
import json
import types
from collections.abc import Hashable, Mapping, Sequence
from functools import cache
from typing import Any, NoReturn, TypeVar, Union, cast, get_args, get_origin, get_type_hints

LARGEST = 1e18
"""More than any figure of ours, be it bytes or operations a second; beyond it sums lose themselves."""

T = TypeVar("T")


def strictly_parsed(text: bytes) -> Any:
    """What JSON says, in UTF-8. Raises ValueError for what JSON does not know (NaN, a key given twice), for
    text that can't be written again, and where it is nested too deeply."""
    try:
        value = json.loads(
            text.decode(), parse_constant=_refuse_constant, object_pairs_hook=_without_duplicates
        )
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if b"\\u" in text:  # half of a surrogate pair
        json.dumps(value, ensure_ascii=False).encode()
    return value


def record_from(kind: type[T], values: Any) -> T:
    """A dataclass from the object that JSON holds of it; keys that it has no field for are passed over.

    Raises ValueError, naming the field, where one is missing or not of its type. A number must be finite.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"an object was expected, not {_shown(values)}")
    given: dict[str, Any] = {}
    for name, (hint, needed) in _fields_of(cast(Hashable, kind)).items():
        if name in values:
            given[name] = _of(hint, values[name], name)
        elif needed:
            raise ValueError(f"{name} is missing")
    return kind(**given)


@cache
def _fields_of(kind: Any) -> dict[str, tuple[Any, bool]]:
    """The fields' types by their names, and whether a record must hold them."""
    hints = get_type_hints(kind)
    missing = dataclasses.MISSING
    return {
        f.name: (hints[f.name], f.default is missing and f.default_factory is missing)
        for f in dataclasses.fields(kind)
    }


def _of(hint: Any, value: Any, name: str) -> Any:
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        assert isinstance(hint, type)
        return record_from(hint, value)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        (hint,) = (each for each in arguments if each is not type(None))
        return _of(hint, value, name)
    if origin is Mapping and isinstance(value, dict):
        return {key: _of(arguments[1], each, f"{name}.{key}") for key, each in value.items()}
    if origin in (Sequence, tuple) and isinstance(value, list):
        members = [_of(arguments[0], each, name) for each in value]
        return tuple(members) if origin is tuple else members
    if origin is None and _fits(hint, value):
        return value
    return _refuse(hint, value, name)


def _fits(hint: type, value: Any) -> bool:
    if hint is float or hint is int:
        number = isinstance(value, int | float if hint is float else int) and not isinstance(value, bool)
        return number and abs(value) <= LARGEST  # which NaN is not either
    return isinstance(value, hint)


_IN_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    Mapping: "an object",
}


def _refuse(hint: Any, value: Any, name: str) -> NoReturn:
    expected = _IN_WORDS.get(get_origin(hint) or hint, "a list")
    raise ValueError(f"{name[:60]} must be {expected}, not {_shown(value)}")


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found
