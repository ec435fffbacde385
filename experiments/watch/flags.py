"""What should make one careful with a trial that is valid: each flag a line with its figures.

A throttled GPU, a CPU quota that was used up, another program on the GPU or on the CPU, a rate that drifts, a
warm-up that did not end in a steady rate, a server that fell behind its schedule. Pure functions of what was
measured.
"""

from collections.abc import Iterator

from experiments.load.result import LoadResult
from experiments.load.steadiness import drift
from experiments.plan import Cell
from experiments.results.telemetry import Telemetry
from mps.card import THROTTLE_REASONS

MOST_OTHER_CPU = 0.1  # share of the usable cores that programs which are no part of the trial may use
LEAST_SERVED = 0.95  # of an open loop's rate

# What slows a GPU down without being asked to. A clock that somebody has set is no throttling.
THROTTLING = frozenset(THROTTLE_REASONS.values()) - {"idle", "application clocks", "display clocks"}


def flags_of(cell: Cell, measured: LoadResult, telemetry: Telemetry | None, cores: int) -> list[str]:
    """The flags of a trial, where `cores` of the machine may be used, whatever a quota leaves of them."""
    return [*_of_load(cell, measured), *(_of_machine(cell, telemetry, cores) if telemetry else ())]


def _of_load(cell: Cell, measured: LoadResult) -> Iterator[str]:
    if measured.settled is False:
        yield f"the rate was not steady after {measured.discarded_s:.1f} s of warm-up"
    if cell.rate_rps is not None:
        if measured.throughput_rps < LEAST_SERVED * cell.rate_rps:
            yield f"the server fell behind: {measured.throughput_rps:.4g} of {cell.rate_rps:g} requests/s"
    elif change := drift(measured.end_s, measured.window_s):
        yield f"throughput drifted by {change:+.0%} from the first half to the second"


def _of_machine(cell: Cell, telemetry: Telemetry, cores: int) -> Iterator[str]:
    if throttled := THROTTLING.intersection(telemetry.throttle_reasons or ()):
        yield f"the GPU was slowed down: {', '.join(sorted(throttled))}"
    if telemetry.quota_stopped_periods:
        in_periods = f"{telemetry.quota_stopped_periods} of {telemetry.quota_periods} periods"
        yield f"the CPU quota stopped it in {in_periods}"
    expected = cell.workers + cell.mps  # the MPS server is one more
    if telemetry.gpu_processes is not None and telemetry.gpu_processes > expected:
        yield f"{telemetry.gpu_processes - expected} other processes were on the GPU"
    others = telemetry.other_cpu_cores
    if others is not None and others > MOST_OTHER_CPU * cores:
        yield f"other programs used {others:.2f} of {cores} cores"
