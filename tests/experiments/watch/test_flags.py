"""What makes one careful with a trial that is valid."""

from dataclasses import replace

import numpy as np

from experiments.plan import Cell, Plan
from experiments.results.telemetry import Telemetry
from experiments.watch.flags import flags_of
from tests.support.builders import a_gpu_telemetry, a_load_result

CELL = Plan(workers=(2,), batch_size=(8,)).cells()[0]
QUIET = replace(a_gpu_telemetry(2**30, 100.0), other_cpu_cores=0.05, gpu_processes=2)


def flags(cell: Cell = CELL, telemetry: Telemetry | None = QUIET, **load: object) -> list[str]:
    found = flags_of(cell, replace(a_load_result(), **load), telemetry, cores=2)  # type: ignore[arg-type]
    return [flag.text for flag in found]


def disturbances(telemetry: Telemetry, first_clock_mhz: float | None = None) -> list[str]:
    found = flags_of(CELL, a_load_result(), telemetry, cores=2, first_clock_mhz=first_clock_mhz)
    return [flag.text for flag in found if flag.disturbs]


def test_a_quiet_machine_and_an_even_rate_give_no_flag() -> None:
    assert flags() == []
    assert flags(telemetry=None) == []


def test_other_programs_on_the_machine_are_told_with_what_they_took() -> None:
    assert flags(telemetry=replace(QUIET, other_cpu_cores=0.4)) == ["other programs used 0.40 of 2 cores"]


def test_other_processes_on_the_gpu_are_counted_the_server_of_mps_is_none() -> None:
    crowded = replace(QUIET, gpu_processes=3)
    assert flags(telemetry=crowded) == ["1 other processes were on the GPU"]
    assert flags(replace(CELL, mps=True), crowded) == []


def test_throttling_is_told_with_its_reasons_but_not_a_clock_that_somebody_set() -> None:
    slow = replace(QUIET, throttle_reasons=("power cap", "application clocks"))
    assert flags(telemetry=slow) == ["the GPU was slowed down: power cap"]


def test_a_cpu_quota_that_was_used_up_is_told_with_its_periods() -> None:
    free = replace(QUIET, quota_periods=80, quota_stopped_periods=0, quota_stopped_s=0.0)
    assert flags(telemetry=free) == []
    stopped = replace(free, quota_stopped_periods=31, quota_stopped_s=1.7)
    assert flags(telemetry=stopped) == ["the CPU quota stopped it in 31 of 80 periods"]


def test_a_rate_that_drifts_or_was_never_steady_is_told() -> None:
    ends_s = np.concatenate([np.arange(0.02, 4, 0.02), np.arange(4.04, 8, 0.04)])
    (drifted,) = flags(end_s=ends_s)
    assert drifted == "throughput drifted by -67% from the first half to the second"
    assert flags(settled=False, discarded_s=5.0) == ["the rate was not steady after 5.0 s of warm-up"]


def test_a_server_that_falls_behind_its_schedule_is_told() -> None:
    assert flags(replace(CELL, rate_rps=4.0)) == ["the server fell behind: 1 of 4 requests/s"]
    assert flags(replace(CELL, rate_rps=1.0)) == []


def test_what_others_do_on_the_machine_disturbs_what_the_server_does_by_itself_does_not() -> None:
    assert disturbances(QUIET) == []
    assert len(disturbances(replace(QUIET, other_cpu_cores=0.4))) == 1
    assert len(disturbances(replace(QUIET, gpu_processes=3))) == 1
    assert len(disturbances(replace(QUIET, quota_periods=80, quota_stopped_periods=31))) == 1
    drifted = np.concatenate([np.arange(0.02, 4, 0.02), np.arange(4.04, 8, 0.04)])
    (flag,) = flags_of(CELL, replace(a_load_result(), end_s=drifted), QUIET, cores=2)
    assert not flag.disturbs


def test_a_power_cap_disturbs_only_where_the_clock_is_below_that_of_the_cells_first_run() -> None:
    capped = replace(QUIET, throttle_reasons=("power cap",), sm_clock_mhz_mean=1100.0)
    assert disturbances(capped) == []
    assert disturbances(capped, first_clock_mhz=1150.0) == []
    assert disturbances(capped, first_clock_mhz=1500.0) == [
        "the GPU's clock was 1100 MHz, in the cell's first run 1500"
    ]
    hot = replace(QUIET, throttle_reasons=("power cap", "temperature (hardware)"))
    assert len(disturbances(hot)) == 1
