"""The simulation against a plain one, moment by moment, where nothing is left to chance."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from experiments.predict.simulation import Offered, Station, simulate


@dataclass
class Plain:
    """A clock, requests that wait, at most one worker that gathers, and workers that are at work."""

    station: Station
    offered: Offered
    now_s: float = 0.0
    next_due_s: float = 0.0
    free: int = field(init=False)  # clients that may send
    waiting: list[float] = field(default_factory=list)  # when each was due
    idle: int = field(init=False)
    gathered: list[float] | None = None  # by the worker that has the lock
    deadline_s: float = np.inf
    busy: list[tuple[float, list[float]]] = field(default_factory=list)
    begun: list[tuple[float, list[float]]] = field(default_factory=list)  # all batches: their end, and dues
    last_begun_s: float = 0.0

    def __post_init__(self) -> None:
        self.free, self.idle = self.offered.clients, self.station.workers

    def run(self, until_s: float) -> None:
        while self.last_begun_s < until_s or not self.begun:
            self.send()
            self.gather()
            if self.gathered is not None and len(self.gathered) == self.station.batch_size:
                self.begin(self.now_s)
                continue
            ends_s = min((end_s for end_s, _ in self.busy), default=np.inf)
            due_s = self.next_due_s if self.free and self.offered.rate_rps else np.inf
            moment_s = min(ends_s, due_s)
            if self.deadline_s < moment_s:
                self.begin(self.deadline_s)
                continue
            self.now_s = moment_s
            if ends_s <= due_s:
                self.end_one(ends_s)

    def send(self) -> None:
        """Whoever may send does: at once in a closed loop, when it is due in an open one."""
        while self.free and (self.offered.rate_rps is None or self.next_due_s <= self.now_s):
            self.free -= 1
            if self.offered.rate_rps is None:
                self.waiting.append(self.now_s)
            else:
                self.waiting.append(self.next_due_s)
                self.next_due_s += 1 / self.offered.rate_rps

    def gather(self) -> None:
        """A worker that is free takes the lock; the first request that it takes sets its deadline."""
        if self.gathered is None and self.idle:
            self.idle -= 1
            self.gathered = []
        while self.gathered is not None and self.waiting and len(self.gathered) < self.station.batch_size:
            if not self.gathered:
                self.deadline_s = self.now_s + self.station.delay_ms / 1e3
            self.gathered.append(self.waiting.pop(0))

    def begin(self, at_s: float) -> None:
        assert self.gathered
        batch = at_s + self.station.batch_ms[len(self.gathered) - 1] / 1e3, self.gathered
        self.busy.append(batch)
        self.begun.append(batch)
        self.now_s = self.last_begun_s = at_s
        self.gathered, self.deadline_s = None, np.inf

    def end_one(self, at_s: float) -> None:
        done = next(batch for batch in self.busy if batch[0] == at_s)
        self.busy.remove(done)
        self.free += len(done[1])
        self.idle += 1


def expected_rps(station: Station, offered: Offered) -> float:
    """A closed loop: all clients' requests in each round, of a batch and, where it is not full, a delay."""
    size = min(offered.clients, len(station.batch_ms))
    round_ms = station.batch_ms[size - 1] + (station.delay_ms if size < len(station.batch_ms) else 0)
    return min(station.most_rps, 1000 * offered.clients / round_ms, offered.rate_rps or np.inf)


def by_hand(station: Station, offered: Offered) -> dict[str, float]:
    """Seven windows after two batches and a delay; of each percentile the median of the windows'."""
    rps, in_a_round = expected_rps(station, offered), station.workers * len(station.batch_ms)
    window_s = offered.window_s or (offered.requests or 1500) / rps
    window_s = min(window_s, max(1500, 10 * in_a_round) / rps)
    settling_s = (2 * max(station.batch_ms) + station.delay_ms) / 1000
    plain = Plain(station, offered)
    plain.run(settling_s + 7 * window_s)
    answers = [(end_s, end_s - due_s) for end_s, dues in plain.begun for due_s in dues]
    settled = [each for each in answers if each[0] > settling_s]
    if len({end_s for end_s, _ in settled}) > 1:
        answers = settled
    begin_s, last_s = min(answers)[0], max(answers)[0]
    windows: list[list[float]] = [[] for _ in range(7)]
    for end_s, latency_s in answers:
        windows[min(int((end_s - begin_s) / window_s), 6)].append(1000 * latency_s)
    later = sum(end_s > begin_s for end_s, _ in answers)
    rate_rps = later / (last_s - begin_s)
    percentiles = {"p50_ms": 50, "p95_ms": 95, "p99_ms": 99, "asked_ms": offered.percentile}
    return {
        "throughput_rps": min(rate_rps, station.most_rps),
        "filled_batch": float(np.mean([len(dues) for _, dues in plain.begun])),
        **{
            name: float(np.median([np.percentile(each, percent) for each in windows if each]))
            for name, percent in percentiles.items()
        },
    }


# Eighths of a second, so that no sum is rounded and moments that are the same stay so.
EIGHTH_MS = 125.0
stations = st.builds(
    lambda workers, delay, batches: Station(
        workers, delay * EIGHTH_MS, tuple(EIGHTH_MS * each for each in sorted(batches))
    ),
    workers=st.integers(1, 3),
    delay=st.integers(1, 6),
    batches=st.lists(st.integers(1, 24), min_size=1, max_size=5),
)
lengths_s = st.sampled_from([2.0, 40.0, 1000.0])  # the last is longer than percentiles take
closed = st.builds(Offered, clients=st.integers(1, 12), window_s=lengths_s)
counted = st.builds(Offered, clients=st.integers(1, 12), requests=st.none() | st.integers(1, 60))
opened = st.builds(
    Offered,
    clients=st.integers(1, 12),
    rate_rps=st.sampled_from([0.05, 0.5, 2.0, 8.0, 32.0]),  # so that what is between two is exact, too
    poisson=st.just(False),
    window_s=lengths_s,
    percentile=st.sampled_from([50.0, 90.0]),
)


@pytest.mark.thorough
@given(stations, closed | counted | opened)
@example(Station(3, EIGHTH_MS, tuple(EIGHTH_MS * n for n in range(1, 65))), Offered(64, window_s=1e4))
@example(Station(1, EIGHTH_MS, (EIGHTH_MS,)), Offered(1, rate_rps=0.05, poisson=False, window_s=2.0))
@settings(max_examples=40, deadline=None)
def test_the_simulation_is_what_happens_moment_by_moment(station: Station, offered: Offered) -> None:
    found = simulate(station, offered)
    for name, value in by_hand(station, offered).items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-9), name
