"""A plan's keys, as a YAML file, a plan.json or options have them -> a Plan, each value in the key's type."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from experiments.base.errors import UsageError
from experiments.plan.defaults import LONGEST_LOOK_S
from experiments.plan.plan import Plan


def plan_from(values: Mapping[str, Any]) -> Plan:
    """A Plan from a YAML file's or a plan.json's mapping. Raises UsageError for an unknown key or type.

    A single number stands for a list of one; `requests` without `duration_s` replaces the default duration.
    """
    known = {f.name for f in dataclasses.fields(Plan)}
    if unknown := sorted(set(values) - known):
        raise UsageError(f"unknown plan key {unknown[0][:40]!r}; known are {', '.join(sorted(known))}")
    arguments = {key: _of_type(key, value) for key, value in values.items()}
    if arguments.get("requests") is not None and "duration_s" not in arguments:
        arguments["duration_s"] = None
    if arguments.get("slo") is not None:  # a search is sure by itself, and takes what it needs
        arguments = {"duration_s": LONGEST_LOOK_S, "runs": 1} | arguments
    return Plan(**arguments)


def _of_type(key: str, value: Any) -> Any:
    """A plan's value in the type that the key has; one value stands for a list of one."""
    if key in LISTS:
        values = value if isinstance(value, list | tuple) else [value]
        if value is None and key not in NEVER_EMPTY:  # as plans were written when these were single values
            values = []
        return tuple(_checked(key, LISTS[key], each) for each in values)
    return _checked(key, SINGLE[key], value)


def _checked(key: str, kind: "Kind", value: Any) -> Any:
    if not (value is None and kind.optional) and not kind.fits(value):
        raise UsageError(f"plan key {key!r} must be {kind.name}, not {repr(value)[:40]}")
    return value


LARGEST = 1e18
"""More than anything that a plan can ask for; results keep no larger number."""


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


@dataclass(frozen=True, slots=True)
class Kind:
    """What a plan's key may hold; an optional one may hold null as well."""

    name: str
    fits: Callable[[Any], bool]
    optional: bool = False


WHOLE = Kind("whole numbers", _is_whole)
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
TEXT = Kind("text", lambda value: isinstance(value, str))
SECONDS = Kind("a number of seconds", _is_number, optional=True)
LISTS = {
    **dict.fromkeys(
        (
            "workers",
            "batch_size",
            "thread_percentage",
            "memory_limit_mib",
            "sm_chunks",
            "batch_delay_ms",
            "concurrency",
            "client_batch",
        ),
        WHOLE,
    ),
    "rate_rps": Kind("numbers of requests/s", _is_number),
    "server": TEXT,
    **dict.fromkeys(("engine", "precision"), replace(TEXT, optional=True)),
}
NEVER_EMPTY = ("engine", "precision")  # a list of null stands for the archive's own
SINGLE = {
    **dict.fromkeys(("runs", "seed", "processes"), replace(WHOLE, name="a whole number")),
    **dict.fromkeys(("requests", "tokens"), replace(WHOLE, name="a whole number", optional=True)),
    **dict.fromkeys(("duration_s", "budget_s"), SECONDS),
    "warm_up_s": replace(SECONDS, optional=False),
    **dict.fromkeys(("check_answers", "interleave", "noise_floor", "search", "until_sure", "with_mps"), FLAG),
    **dict.fromkeys(("model", "goal", "arrivals", "input_as"), TEXT),
    **dict.fromkeys(("input", "slo"), replace(TEXT, optional=True)),
}
