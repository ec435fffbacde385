"""What a results folder holds, read without the product's own reader: what was lost, what is there twice."""

import json
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tests.chaos.harms.damages import TRIALS

CELL = ("server", "mps", "workers", "batch_size", "batch_delay_ms", "concurrency", "twin", "run")
Key = tuple[Any, ...]


def whole_lines(out: Path) -> list[bytes]:
    """The finished trials on disk: a line counts once its end is there."""
    try:
        return (out / TRIALS).read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []


def readable(lines: Sequence[bytes]) -> list[bytes]:
    """Those lines that hold a trial: of one that we have harmed nothing is expected."""
    found = []
    for line in lines:
        with suppress(ValueError):
            json.loads(line)
            found.append(line)
    return found


def visits(lines: Sequence[bytes]) -> list[dict[str, Any]]:
    """The trials in the lines. Raises ValueError where one is none."""
    return [json.loads(line) for line in lines]


def key_of(trial: dict[str, Any]) -> Key:
    """What tells a run of a cell from all others."""
    return tuple(trial.get(name) for name in CELL)


def measured(lines: Sequence[bytes]) -> set[Key]:
    """The runs that have a valid trial."""
    return {key_of(trial) for trial in visits(lines) if trial["valid"]}


def problems(lines: Sequence[bytes]) -> dict[Key, str]:
    """What was in the way of the latest attempt of each run."""
    return {key_of(trial): " | ".join(trial["problems"]) for trial in visits(lines)}


def doubled(lines: Sequence[bytes]) -> list[str]:
    """Attempts that are there twice, and runs that were measured again though they were good."""
    trials = visits(lines)
    attempts = Counter((key_of(trial), trial["attempt"]) for trial in trials)
    good = Counter(key_of(trial) for trial in trials if trial["valid"] and not trial["disturbances"])
    twice = [f"attempt {key} is there {count} times" for key, count in attempts.items() if count > 1]
    return twice + [f"{key} was good, and measured again" for key, count in good.items() if count > 1]


def lost(before: Collection[bytes], after: Collection[bytes]) -> list[str]:
    """The lines of `before` that are not in `after`."""
    there = set(after)
    return [f"a finished trial is gone: {line[:80]!r}" for line in before if line not in there]


def without_requests(out: Path, lines: Sequence[bytes], excused: Collection[str]) -> list[str]:
    """Valid trials whose requests are not there whole. `excused`: files that we harmed ourselves."""
    missing = []
    for trial in visits(lines):
        name = f"{trial['position']:04}.npz"
        if not trial["valid"] or name in excused:
            continue
        try:
            with np.load(out / "requests" / name) as columns:
                assert len(columns["status"]) > 0
        except (OSError, ValueError, KeyError, EOFError, AssertionError) as error:
            missing.append(f"requests/{name} of a valid trial: {error}")
    return missing
