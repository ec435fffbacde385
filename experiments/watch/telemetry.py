"""What the machine did during a trial: CPU and memory of its processes; the GPU's clock, power and memory.

`sampling()` runs the sampler beside a trial, and the Recorder that it yields sums up the samples of the
measured window. A thread would not do: it shares the interpreter with the load generator. What is read, and
how often, is in sampler.py. Nothing that goes wrong here ends a trial: figures are missing, a line says why.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from experiments.base.paths import ROOT
from experiments.results.telemetry import LOAD_GENERATOR, WORKERS, Telemetry
from mps.card import throttle_reasons

PERIOD_S = 0.1
MOST_CPU_CORES = 0.02  # what often and what seldom read values may cost, each
START_TIMEOUT_S = 5.0  # NVML can take seconds to start where no program keeps the GPU awake
STOP_TIMEOUT_S = 3.0
SMALLEST_COVERAGE = 0.5  # share of the window that its samples must span


@contextmanager
def sampling(
    processes: Mapping[str, Sequence[int]],
    gpu_uuid: str | None = None,
    *,
    period_s: float = PERIOD_S,
    most_cpu_cores: float = MOST_CPU_CORES,
    with_children: Collection[str] = (WORKERS, LOAD_GENERATOR),
) -> Iterator["Recorder"]:
    """Samples groups of processes by their pids, and a GPU, while what is inside runs: the load, no more.

    Begins when the sampler is at work, so that its start is not measured. Descendants count for the groups in
    `with_children`; a process that is listed never counts for another group. Ask the Recorder afterwards.
    """
    recorder = Recorder(processes.get(WORKERS, ()) if gpu_uuid else ())
    asked = {
        "processes": {name: list(pids) for name, pids in processes.items()},
        "gpu_uuid": gpu_uuid,
        "period_s": period_s,
        "most_cpu_cores": most_cpu_cores,
        "with_children": list(with_children),
    }
    output = os.memfd_create("telemetry")  # a pipe would have to be emptied while the load runs
    try:
        sampler = _start(asked, output)
    except OSError as error:
        recorder.failure = f"the telemetry sampler can't be started: {error.strerror}"
        sampler = None
    try:
        if sampler is not None:
            _wait_for_output(sampler, output)
        recorder.running = output
        yield recorder
    finally:
        recorder.running = None
        if sampler is not None:
            recorder.failure = _stop(sampler)
            recorder.killed = (sampler.returncode or 0) < 0
        recorder.output = os.pread(output, os.fstat(output).st_size, 0)
        os.close(output)


@dataclass(slots=True)
class Recorder:
    """What the sampler wrote, filled in by `sampling()` at its end.

    `workers` are the pids whose GPU memory is wanted; `failure` is why the sampler did not work to the end,
    `killed` whether somebody's signal ended it.
    """

    workers: Sequence[int]
    output: bytes = b""
    failure: str | None = None
    killed: bool = False
    running: int | None = None  # where the sampler writes, while it does

    def so_far(self, window: tuple[float, float]) -> Telemetry:
        """The figures of a window that has passed, while the sampler is still at work."""
        if self.running is None:
            return Telemetry()
        samples, problems, _ = parse(os.pread(self.running, os.fstat(self.running).st_size, 0))
        return summarise(samples, problems, 0, window, self.workers)

    def summary(self, requests: int, window: tuple[float, float] | None = None) -> Telemetry:
        """The figures of the measured window, in which `requests` were answered.

        `window` is its begin and end in seconds of time.monotonic(), which on Linux is also the clock of
        perf_counter() and of event loops. Without one, everything from the first sample to the last.
        """
        samples, problems, others = parse(self.output)
        if self.failure and not (window and samples and samples[-1].at_s >= window[1]):
            cause = f" ({others[-1]})" if others else ""  # the end of a traceback
            return Telemetry(problems=(*(p.problem for p in problems), self.failure + cause))
        return summarise(samples, problems, requests, window, self.workers)


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of the sampler. `at_s` counts on CLOCK_MONOTONIC; CPU time and energy from any moment.

    None is what is not known. The last three are read in some of the samples only.
    """

    at_s: float
    own_cpu_s: float
    cpu_s: Mapping[str, float | None]
    rss_bytes: Mapping[str, int | None]
    utilisation_percent: int | None = None
    sm_clock_mhz: int | None = None
    throttle_bits: int | None = None
    energy_mj: int | None = None
    power_mw: int | None = None
    memory_bytes: int | None = None
    memory_bytes_by_pid: Mapping[str, int | None] | None = None
    temperature_c: int | None = None
    machine_cpu_s: float | None = None  # of the usable cores, whoever they worked for
    throttled: Sequence[Sequence[float] | None] | None = (
        None  # by CPU quota: periods, those stopped in, seconds
    )


@dataclass(frozen=True, slots=True)
class Problem:
    """Another line of the sampler: from `at_s` on something is missing."""

    at_s: float
    problem: str


def parse(output: bytes) -> tuple[list[Sample], list[Problem], list[str]]:
    """The sampler's samples, its problems, and any other line: what Python says when it dies."""
    samples, problems, others = [], [], []
    for line in output.decode(errors="replace").splitlines():
        try:
            said = json.loads(line)
            if "problem" in said:
                problems.append(Problem(**said))
            else:
                samples.append(Sample(**said))
        except (ValueError, TypeError):
            others.append(line)
    return samples, problems, others


def summarise(
    samples: Sequence[Sample],
    problems: Sequence[Problem],
    requests: int,
    window: tuple[float, float] | None,
    workers: Sequence[int] = (),
) -> Telemetry:
    """The samples inside the window as figures; rates are those from its first sample to its last."""
    begin_s, end_s = window or ((samples[0].at_s, samples[-1].at_s) if samples else (0.0, 0.0))
    notes = [problem.problem for problem in problems if problem.at_s <= end_s]
    inside = [sample for sample in samples if begin_s <= sample.at_s <= end_s]
    span_s = inside[-1].at_s - inside[0].at_s if inside else 0.0
    if len(inside) < 2 or span_s < SMALLEST_COVERAGE * (end_s - begin_s):
        notes.append(f"{len(inside)} telemetry samples over {span_s:.1f} of {end_s - begin_s:.1f} s: too few")
        return Telemetry(end_s - begin_s, len(inside), problems=tuple(notes))
    first, last = inside[0], inside[-1]
    power_w = _mean_power_w(inside)
    energy_j = None if power_w is None else power_w * (end_s - begin_s)
    clocks_mhz = _all_of(inside, "sm_clock_mhz")
    seldom = _seldom_ones(samples, begin_s, end_s)
    by_worker = _memory_by_worker(seldom, workers)
    if by_worker == {} and workers:
        notes.append("the driver does not tell the workers' GPU memory: in a container it may see other pids")
    if power_w is None and any(sample.energy_mj is not None for sample in inside):
        notes.append("the GPU's energy counter stands still or is not there all along")
    used = {name: _rate(first.cpu_s[name], last.cpu_s[name], span_s) for name in first.cpu_s}
    sampler = _rate(first.own_cpu_s, last.own_cpu_s, span_s)
    stopped = _stopped_most(first.throttled or (), last.throttled or ())
    all_used = _rate(first.machine_cpu_s, last.machine_cpu_s, span_s)
    return Telemetry(
        window_s=end_s - begin_s,
        samples=len(inside),
        cpu_cores_used=used,
        rss_bytes={name: _largest([sample.rss_bytes[name] for sample in inside]) for name in first.rss_bytes},
        gpu_memory_bytes_total=_largest([sample.memory_bytes for sample in seldom]),
        gpu_memory_bytes_by_worker=by_worker or None,
        gpu_utilisation_percent=_mean(_all_of(inside, "utilisation_percent")),
        sm_clock_mhz_min=min(clocks_mhz, default=None),
        sm_clock_mhz_mean=_mean(clocks_mhz),
        power_w=power_w,
        energy_j=energy_j,
        energy_j_per_1000_requests=energy_j / requests * 1000 if energy_j is not None and requests else None,
        temperature_c=_largest([sample.temperature_c for sample in seldom]),
        throttle_reasons=_reasons(_all_of(inside, "throttle_bits")),
        sampler_cpu_cores=sampler,
        other_cpu_cores=_others(all_used, [*used.values(), sampler]),
        gpu_processes=max((len(each.memory_bytes_by_pid or ()) for each in seldom), default=0) or None,
        quota_periods=None if stopped is None else int(stopped[0]),
        quota_stopped_periods=None if stopped is None else int(stopped[1]),
        quota_stopped_s=None if stopped is None else stopped[2],
        problems=tuple(notes),
    )


def _all_of(samples: Sequence[Sample], name: str) -> list[int]:
    """A value's readings, empty where one is missing: a mean over half a window is no figure of it."""
    values = [getattr(sample, name) for sample in samples]
    return [] if None in values else values


def _seldom_ones(samples: Sequence[Sample], begin_s: float, end_s: float) -> list[Sample]:
    """The samples in the window with what is seldom read; if it is shorter than that, the one before it."""
    seldom = [each for each in samples if (each.memory_bytes, each.memory_bytes_by_pid) != (None, None)]
    until_end = [sample for sample in seldom if sample.at_s <= end_s]
    return [sample for sample in until_end if sample.at_s >= begin_s] or until_end[-1:]


def _memory_by_worker(samples: Sequence[Sample], workers: Sequence[int]) -> dict[str, int]:
    found = {}
    for pid in map(str, workers):
        readings = [(sample.memory_bytes_by_pid or {}).get(pid) for sample in samples]
        if known := [value for value in readings if value is not None]:
            found[pid] = max(known)
    return found


def _mean_power_w(samples: Sequence[Sample]) -> float | None:
    """From the energy counter, which misses nothing between two samples; else from the power readings."""
    span_s = samples[-1].at_s - samples[0].at_s
    if energies_mj := _all_of(samples, "energy_mj"):
        grown_mj = energies_mj[-1] - energies_mj[0]
        return grown_mj / 1000 / span_s if grown_mj > 0 else None
    if powers_mw := _all_of(samples, "power_mw"):
        used_mj = 0.0
        for (before, after), (before_mw, after_mw) in zip(
            pairwise(samples), pairwise(powers_mw), strict=True
        ):
            used_mj += (after.at_s - before.at_s) * (before_mw + after_mw) / 2
        return used_mj / 1000 / span_s
    return None


def _reasons(all_bits: Sequence[int]) -> tuple[str, ...] | None:
    if not all_bits:
        return None
    seen = {name for bits in all_bits for name in throttle_reasons(bits)}
    return tuple(sorted(seen - {"idle"}))


def _stopped_most(
    begin: Sequence[Sequence[float] | None], end: Sequence[Sequence[float] | None]
) -> list[float] | None:
    """What the CPU quota that stopped us in the most periods did in between; None without a known one."""
    grown = [
        [after - before for before, after in zip(earlier, later, strict=True)]
        for earlier, later in zip(begin, end, strict=True)
        if earlier is not None and later is not None
    ]
    return max(grown, key=lambda each: (each[1], each[0]), default=None)


def _rate(begin: float | None, end: float | None, span_s: float) -> float | None:
    return None if begin is None or end is None else (end - begin) / span_s


def _others(all_used: float | None, ours: Sequence[float | None]) -> float | None:
    """What is left of the machine's CPU time. Two clocks may differ a little: nobody uses less than none."""
    known = [used for used in ours if used is not None]
    return None if all_used is None or len(known) < len(ours) else max(0.0, all_used - sum(known))


def _mean(values: Sequence[int]) -> float | None:
    return sum(values) / len(values) if values else None


def _largest(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return max(known) if known and len(known) == len(values) else None


def _start(asked: Mapping[str, Any], output: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.watch.sampler", json.dumps(asked)],
        cwd=ROOT,
        stdin=subprocess.PIPE,  # its end tells the sampler to stop, also if we are killed
        stdout=output,
        stderr=output,
        start_new_session=True,  # Ctrl-C reaches us, and we stop it
    )


def _wait_for_output(sampler: "subprocess.Popen[bytes]", output: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not os.fstat(output).st_size and sampler.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)


def _stop(sampler: "subprocess.Popen[bytes]") -> str | None:
    """Lets the sampler take its last sample; returns why it did not get that far.

    One that does not end, as a call into the driver hangs, is killed.
    """
    assert sampler.stdin is not None
    sampler.stdin.close()
    try:
        code = sampler.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        sampler.kill()  # not waited for: a call that hangs in the kernel outlasts even that
        return f"the telemetry sampler did not end in {STOP_TIMEOUT_S:.0f} s and was killed"
    if code == 0:
        return None
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    return f"the telemetry sampler {how}"
