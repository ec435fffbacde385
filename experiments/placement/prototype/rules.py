"""A profile, and settings where there are some -> latencies and rules to place by."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from experiments.base.errors import UsageError
from experiments.placement.interference import NOT_FELT
from experiments.placement.latencies import LatencyTable
from experiments.placement.problem import Rules
from experiments.placement.prototype.device import read_device
from experiments.placement.prototype.settings import Settings
from experiments.placement.readers import read_latencies


def latencies_and_rules(
    profile: Path,
    settings: Settings | None = None,
    models_per_part: int = 3,
    percentile: str = "p50",
    warn: Callable[[str], None] = lambda _: None,
    engines: Mapping[str, str] | None = None,
) -> tuple[LatencyTable, Rules]:
    """What a profile knows. One that ends in .json is the prototype's device-config.json: neighbours are felt
    (unless settings say no), and memory counts. Settings come before `models_per_part`. `engines` say which
    ones of our own profile count (readers.py).

    Raises UsageError where a file can't be read or understood, or the settings ask for what it doesn't have.
    """
    if is_device(profile):
        if engines:
            raise UsageError(f"{profile} doesn't tell the engine of its latencies: leave --engine out")
        device = read_device(profile, settings.kind if settings else None, warn)
        felt = device.interference if settings is None or settings.interference else NOT_FELT
        table, rules = device.table, Rules(interference=felt, memory=device.memory)
    elif settings and settings.interference:
        raise UsageError(f"{profile} doesn't tell how neighbours are felt: give a device-config.json")
    else:
        table, rules = read_latencies(profile, warn, percentile, engines), Rules()
    if settings is None:
        return table, replace(rules, models_per_part=models_per_part)
    if settings.sizes is not None:
        table = table.only(settings.sizes)
    return table, replace(
        rules, models_per_part=settings.models_per_part, latency_ratio=settings.latency_ratio
    )


def is_device(profile: Path) -> bool:
    """Whether a profile is the prototype's file of devices."""
    return profile.suffix.lower() == ".json"
