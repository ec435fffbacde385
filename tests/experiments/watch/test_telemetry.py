"""From the sampler's lines to the figures of a trial: windows, means, what is missing and why."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.results.telemetry import Telemetry, telemetry_from
from experiments.watch.telemetry import Problem, Recorder, Sample, parse, summarise

MEBIBYTE = 2**20
POWER_CAP, THERMAL, IDLE = 0x4, 0x20, 0x1


def a_sample(at_s: float, cpu_cores: float | None = 0.5, **card: Any) -> Sample:
    """What the sampler says at that moment of two workers that have used `cpu_cores` since 0."""
    cpu_s = None if cpu_cores is None else cpu_cores * at_s
    rss_bytes = None if cpu_cores is None else 100 * MEBIBYTE
    return Sample(at_s, 0.002 * at_s, {"workers": cpu_s}, {"workers": rss_bytes}, **card)


def a_card_sample(at_s: float, **differently: Any) -> Sample:
    """The same with a GPU that draws 500 W."""
    card = {
        "utilisation_percent": 80,
        "sm_clock_mhz": 1980,
        "throttle_bits": IDLE,
        "energy_mj": round(500_000 * at_s) + 7_000_000,
    }
    return a_sample(at_s, **(card | differently))


def some_samples(seconds: int = 4, **card: Any) -> list[Sample]:
    """Ten a second, from 0 on, of a machine without a GPU but for `card`."""
    return [a_sample(tenth / 10, **card) for tenth in range(10 * seconds + 1)]


def figures(
    samples: Sequence[Sample],
    window: tuple[float, float] | None = None,
    problems: Sequence[Problem] = (),
    workers: Sequence[int] = (),
) -> Telemetry:
    return summarise(samples, problems, 2000, window, workers)


def lines(printed: Sequence[Sample | Problem]) -> bytes:
    return b"".join(json.dumps(asdict(line)).encode() + b"\n" for line in printed)


def test_cpu_seconds_become_cores_used() -> None:
    found = figures(some_samples(), window=(1.0, 3.0))
    assert found.cpu_cores_used == {"workers": pytest.approx(0.5)}
    assert found.rss_bytes == {"workers": 100 * MEBIBYTE}
    assert found.sampler_cpu_cores == pytest.approx(0.002)
    assert (found.window_s, found.samples) == (2.0, 21)
    assert found.problems == ()


def test_of_several_cpu_quotas_the_one_that_stopped_us_most_is_told() -> None:
    samples = [
        a_sample(tenth / 10, throttled=[[tenth, 0, 0.0], [tenth, tenth // 2, tenth / 50], None])
        for tenth in range(41)
    ]
    found = figures(samples, window=(1.0, 3.0))
    assert (found.quota_periods, found.quota_stopped_periods) == (20, 10)
    assert found.quota_stopped_s == pytest.approx(0.4)
    without = figures(some_samples(), window=(1.0, 3.0))
    assert (without.quota_periods, without.quota_stopped_periods, without.quota_stopped_s) == (
        None,
        None,
        None,
    )
    unreadable = [a_sample(tenth / 10, throttled=[None]) for tenth in range(41)]
    assert figures(unreadable).quota_stopped_periods is None


def test_warm_up_and_drain_do_not_count() -> None:
    busy_at_first = [a_sample(1 + n / 10, cpu_cores=(3 + n / 10) / (1 + n / 10)) for n in range(30)]
    idle = Sample(0.0, 0.0, {"workers": 0.0}, {"workers": 900 * MEBIBYTE})
    found = figures([idle, *busy_at_first, idle], window=(1.0, 3.9))
    assert found.cpu_cores_used["workers"] == pytest.approx(1.0)
    assert found.rss_bytes["workers"] == 100 * MEBIBYTE


def test_without_a_window_everything_counts() -> None:
    assert figures(some_samples(seconds=2)).window_s == 2.0


def test_a_machine_without_a_gpu_has_no_figures_of_one_and_that_is_no_problem() -> None:
    found = figures(some_samples())
    assert found.power_w is None
    assert found.gpu_memory_bytes_by_worker is None
    assert found.throttle_reasons is None
    assert found.problems == ()


def test_energy_is_what_the_counter_grew_by_scaled_to_the_window() -> None:
    samples = [a_card_sample(tenth / 10) for tenth in range(50)]
    found = figures(samples, window=(1.05, 3.05))
    assert found.power_w == pytest.approx(500)
    assert found.energy_j == pytest.approx(1000)
    assert found.energy_j_per_1000_requests == pytest.approx(500)


def test_without_a_counter_energy_is_the_integral_of_power() -> None:
    """Readings that are not evenly spaced count for the time that they stand for."""
    times_s, powers_mw = [0.0, 1.0, 1.2, 2.0], [400_000, 400_000, 600_000, 600_000]
    samples = [
        a_card_sample(at_s, energy_mj=None, power_mw=power_mw)
        for at_s, power_mw in zip(times_s, powers_mw, strict=True)
    ]
    assert figures(samples).energy_j == pytest.approx(400 + 100 + 480)


def test_a_counter_that_stands_still_is_not_zero_energy() -> None:
    found = figures([a_card_sample(n / 10, energy_mj=7) for n in range(20)])
    assert found.power_w is None
    assert found.energy_j_per_1000_requests is None
    assert found.problems == ("the GPU's energy counter stands still or is not there all along",)


def test_no_request_has_no_energy_for_a_thousand() -> None:
    found = summarise([a_card_sample(n / 10) for n in range(20)], [], 0, None)
    assert found.energy_j is not None
    assert found.energy_j_per_1000_requests is None


def test_clock_utilisation_and_throttle_reasons_over_the_window() -> None:
    samples = [a_card_sample(n / 10) for n in range(11)]
    samples[4] = a_card_sample(0.4, sm_clock_mhz=1430, throttle_bits=POWER_CAP, utilisation_percent=91)
    samples[5] = a_card_sample(0.5, sm_clock_mhz=1980, throttle_bits=POWER_CAP | THERMAL)
    found = figures(samples)
    assert found.sm_clock_mhz_min == 1430
    assert found.sm_clock_mhz_mean == pytest.approx(1930)
    assert found.gpu_utilisation_percent == pytest.approx(81)
    assert found.throttle_reasons == ("power cap", "temperature (software)")


def test_an_idle_gpu_is_not_throttled() -> None:
    assert figures([a_card_sample(n / 10) for n in range(11)]).throttle_reasons == ()


def test_memory_by_worker_is_the_largest_reading_of_each_and_of_nobody_else() -> None:
    samples = [a_card_sample(n / 10) for n in range(41)]
    for second, used in ((1, 300), (3, 500)):
        listed = {"11": used * MEBIBYTE, "12": 400 * MEBIBYTE, "99": 30 * MEBIBYTE}
        samples[10 * second] = a_card_sample(
            float(second),
            memory_bytes=(used + 1000) * MEBIBYTE,
            memory_bytes_by_pid=listed,
            temperature_c=30 + second,
        )
    found = figures(samples, window=(0.5, 3.5), workers=[11, 12])
    assert found.gpu_memory_bytes_by_worker == {"11": 500 * MEBIBYTE, "12": 400 * MEBIBYTE}
    assert found.gpu_memory_bytes_total == 1500 * MEBIBYTE
    assert found.temperature_c == 33


def test_a_window_without_a_seldom_reading_takes_the_one_before_it() -> None:
    samples = [a_card_sample(n / 10) for n in range(41)]
    for second, used in ((0, 1), (1, 2), (4, 3)):
        samples[10 * second] = a_card_sample(float(second), memory_bytes=used, temperature_c=40)
    assert figures(samples, window=(1.5, 3.5)).gpu_memory_bytes_total == 2


def test_pids_of_another_namespace_are_said_to_be_unknown() -> None:
    card = {"memory_bytes": 5, "memory_bytes_by_pid": {"4000011": 300}, "temperature_c": 40}
    found = figures([a_card_sample(n / 10, **card) for n in range(11)], workers=[11])
    assert found.gpu_memory_bytes_total == 5
    assert found.gpu_memory_bytes_by_worker is None
    assert found.problems == (
        "the driver does not tell the workers' GPU memory: in a container it may see other pids",
    )


def test_a_gpu_that_fails_on_the_way_has_no_means_but_the_processes_have() -> None:
    samples = [*(a_card_sample(n / 10) for n in range(10)), *(a_sample(1 + n / 10) for n in range(10))]
    found = figures(samples, problems=[Problem(1.0, "no GPU telemetry from here on: GPU is lost")])
    assert (found.power_w, found.sm_clock_mhz_min, found.gpu_utilisation_percent) == (None, None, None)
    assert found.cpu_cores_used["workers"] == pytest.approx(0.5)
    assert "GPU is lost" in found.problems[0]


def test_a_process_that_ends_leaves_its_group_without_figures() -> None:
    ended = Problem(2.0, "process 11 (workers) ended while it was measured")
    samples = [*some_samples(2), *(a_sample(2 + n / 10, cpu_cores=None) for n in range(1, 10))]
    found = figures(samples, window=(0.5, 2.5), problems=[ended])
    assert found.cpu_cores_used == {"workers": None}
    assert found.rss_bytes == {"workers": None}
    assert found.problems == (ended.problem,)


def test_what_happens_after_the_window_is_no_problem() -> None:
    ended = Problem(2.0, "process 11 (workers) ended while it was measured")
    assert figures(some_samples(), window=(0.0, 1.9), problems=[ended]).problems == ()


def test_too_few_samples_are_no_figures() -> None:
    assert figures([]).problems == ("0 telemetry samples over 0.0 of 0.0 s: too few",)
    found = figures(some_samples(seconds=1), window=(0.5, 4.5))
    assert found.cpu_cores_used == {}
    assert found.problems == ("6 telemetry samples over 0.5 of 4.0 s: too few",)


def test_a_sampler_that_died_has_no_figures_but_of_a_window_that_was_over() -> None:
    recorder = Recorder([], lines(some_samples(seconds=2)), failure="the telemetry sampler was killed")
    assert recorder.summary(10, window=(0.5, 1.5)).problems == ()
    unfinished = recorder.summary(10, window=(0.5, 2.5))
    assert unfinished.cpu_cores_used == {}
    assert unfinished.problems == ("the telemetry sampler was killed",)
    assert recorder.summary(10).samples == 0


def test_the_reason_why_a_sampler_died_is_the_end_of_its_traceback() -> None:
    output = b"Traceback (most recent call last):\nModuleNotFoundError: No module named 'pynvml'\n"
    found = Recorder([], output, failure="the telemetry sampler ended with code 1").summary(10)
    assert found.problems == (
        "the telemetry sampler ended with code 1 (ModuleNotFoundError: No module named 'pynvml')",
    )


def test_telemetry_survives_json() -> None:
    samples = [a_card_sample(n / 10, throttle_bits=POWER_CAP) for n in range(20)]
    found = figures(samples, workers=[11])
    assert telemetry_from(json.loads(json.dumps(asdict(found)))) == found
    assert telemetry_from(json.loads(json.dumps(asdict(Telemetry())))) == Telemetry()
    assert telemetry_from({"power_w": 500}) == Telemetry(power_w=500)  # of an earlier version


@given(st.lists(st.floats(0, 1e6), min_size=1).map(sorted))
def test_every_whole_line_is_read_back(times_s: list[float]) -> None:
    samples = [a_card_sample(at_s) for at_s in times_s]
    torn = lines([*samples, Problem(1.0, "x")]) + lines(samples[:1])[:30]
    read, problems, others = parse(torn)
    assert read == samples
    assert problems == [Problem(1.0, "x")]
    assert len(others) == 1


@given(st.binary())
def test_any_output_is_parsed(output: bytes) -> None:
    samples, problems, others = parse(output)
    assert samples == []
    assert problems == []
    assert all(isinstance(line, str) for line in others)
