"""What should make one careful with a trial that is valid: each flag a line with its figures.

A throttled GPU, a CPU quota that was used up, another program on the GPU or on the CPU, a rate that drifts, a
warm-up that did not end in a steady rate, a server that fell behind its schedule. Some of them tell that the
trial was disturbed from outside, and is worth measuring again. Pure functions of what was measured.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from experiments.load.goodput.others import too_busy
from experiments.load.result import LoadResult
from experiments.load.steadiness import drift
from experiments.plan import Cell
from experiments.results.telemetry import Telemetry
from mps.card import THROTTLE_REASONS

LEAST_SERVED = 0.95  # of an open loop's rate

# What slows a GPU down without being asked to. A clock that somebody has set is no throttling.
THROTTLING = frozenset(THROTTLE_REASONS.values()) - {"idle", "application clocks", "display clocks"}
POWER_CAP = "power cap"  # where a card of 70 W always is, under load: by itself no disturbance
LEAST_CLOCK = 0.9  # of the clock that the GPU had in the cell's first run


@dataclass(frozen=True, slots=True)
class Flag:
    """A line with its figures. `disturbs`: it came from outside, so that another run may go without."""

    text: str
    disturbs: bool = False


def flags_of(
    cell: Cell,
    measured: LoadResult,
    telemetry: Telemetry | None,
    cores: int,
    *,
    first_clock_mhz: float | None = None,
) -> list[Flag]:
    """The flags of a trial, where `cores` of the machine may be used, whatever a quota leaves of them.

    `first_clock_mhz` is the mean clock of the GPU in the cell's first run, where there was one.
    """
    of_machine = _of_machine(cell, telemetry, cores, first_clock_mhz) if telemetry else ()
    return [*map(Flag, _of_load(cell, measured)), *of_machine]


def others_too_busy(telemetry: Telemetry, cores: int) -> str | None:
    """What other programs took of the cores, in words; None where it is little, or not known."""
    return too_busy(telemetry.other_cpu_cores, cores)


def _of_load(cell: Cell, measured: LoadResult) -> Iterator[str]:
    if measured.settled is False:
        yield f"the rate was not steady after {measured.discarded_s:.1f} s of warm-up"
    if cell.rate_rps is not None:
        if measured.throughput_rps < LEAST_SERVED * cell.rate_rps:
            yield f"the server fell behind: {measured.throughput_rps:.4g} of {cell.rate_rps:g} requests/s"
    elif change := drift(measured.end_s, measured.window_s):
        yield f"throughput drifted by {change:+.0%} from the first half to the second"


def _of_machine(
    cell: Cell, telemetry: Telemetry, cores: int, first_clock_mhz: float | None
) -> Iterator[Flag]:
    if throttled := THROTTLING.intersection(telemetry.throttle_reasons or ()):
        yield Flag(
            f"the GPU was slowed down: {', '.join(sorted(throttled))}", disturbs=throttled != {POWER_CAP}
        )
    clock_mhz = telemetry.sm_clock_mhz_mean
    if clock_mhz is not None and first_clock_mhz is not None and clock_mhz < LEAST_CLOCK * first_clock_mhz:
        yield Flag(
            f"the GPU's clock was {clock_mhz:.0f} MHz, in the cell's first run {first_clock_mhz:.0f}",
            disturbs=True,
        )
    if telemetry.quota_stopped_periods:
        in_periods = f"{telemetry.quota_stopped_periods} of {telemetry.quota_periods} periods"
        yield Flag(f"the CPU quota stopped it in {in_periods}", disturbs=True)
    expected = cell.workers + cell.mps  # the MPS server is one more
    if telemetry.gpu_processes is not None and telemetry.gpu_processes > expected:
        yield Flag(f"{telemetry.gpu_processes - expected} other processes were on the GPU", disturbs=True)
    if busy := others_too_busy(telemetry, cores):
        yield Flag(busy, disturbs=True)
