"""What a load found: which answers count, the figures they give, and why they may be no result.

Pure arithmetic on the recording of a load. Not here: how the load was put on the server.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.load.kept import Answers
from experiments.load.traffic import Pace, Recording

LATE_MS = 1.0
MOST_LATE = 0.01
"""Where the generator was later than `LATE_MS` for more than this share of the requests, a trial is none."""

LEAST_COVERED = 0.5
"""A closed loop whose answers span less of its window saw a part of a batch: that tells no rate."""

MOST_BUSY = 0.95
"""A generator that is busy for longer than this share of the window is behind with reading answers, too."""


@dataclass(frozen=True, slots=True)
class Window:
    """The measured time, in seconds of the clock of the answers, and the answers `[first:stop]` inside it."""

    begin_s: float
    end_s: float
    first: int
    stop: int


def snap_window(ends_s: NDArray[np.float64], first_send_s: float, opens_s: float, closes_s: float) -> Window:
    """Move the edges of a measurement to answers, so that a server answering in batches is measured fairly.

    `ends_s` are the times of all answers, ascending. The window begins with the last answer up to `opens_s`
    (with `first_send_s` if there is none) and ends with the last one up to `closes_s`; the one that it begins
    with is not inside. Cut at arbitrary moments instead, a window of ten batches is off by up to a tenth.
    """
    first, stop = (int(index) for index in np.searchsorted(ends_s, [opens_s, closes_s], side="right"))
    begin_s = float(ends_s[first - 1]) if first else first_send_s
    if stop <= first:
        return Window(begin_s, begin_s, first, first)
    return Window(begin_s, float(ends_s[stop - 1]), first, stop)


@dataclass(frozen=True, slots=True, eq=False)
class Pacing:
    """What an open loop's window had on its schedule, and how the generator kept it.

    `scheduled` requests were due inside the window and `sent` of them were sent. `scheduled_s` (seconds from
    the window's begin) is parallel to the arrays of the LoadResult. `lateness_s` tells for each request that
    was due how much later the generator got to it; waiting for a free connection is no part of it, as that is
    the server's doing. `answers` came inside the window, whenever they were due. `busy` is the share of the
    window in which the generator ran or wanted to; with several processes that of the busiest.
    """

    scheduled: int
    sent: int
    answers: int
    scheduled_s: NDArray[np.float64]
    lateness_s: NDArray[np.float64]
    busy: float

    @property
    def late(self) -> float:
        """The share of the requests that the generator got to more than `LATE_MS` late."""
        return float(np.mean(self.lateness_s * 1e3 > LATE_MS)) if len(self.lateness_s) else 0.0

    def lateness_ms(self, percentile: float) -> float:
        """The lateness that `percentile` (0 to 100) of the requests don't exceed; NaN when none was due."""
        if not len(self.lateness_s):
            return float("nan")
        return float(np.percentile(self.lateness_s, percentile) * 1e3)

    @property
    def generator_problem(self) -> str | None:
        """Why the generator, and not the server, kept the schedule from being kept; None when it didn't."""
        reasons = []
        if self.late > MOST_LATE:
            p99 = f"p99 {self.lateness_ms(99):.1f} ms"
            reasons.append(f"{self.late:.1%} of the requests were more than {LATE_MS:g} ms late ({p99})")
        if self.busy > MOST_BUSY:
            reasons.append(f"it was busy for {min(self.busy, 1.0):.0%} of the time")
        if not reasons:
            return None
        why = " and ".join(reasons)
        return f"the generator could not keep up: {why}; use more client processes or a lower rate"

    def told(self) -> dict[str, Any]:
        """How many requests there were, and how late the generator was with them, as JSON has it."""
        percentiles = (("p50", 50), ("p99", 99), ("p99.9", 99.9), ("max", 100))
        late = len(self.lateness_s) > 0
        return {
            "scheduled": self.scheduled,
            "sent": self.sent,
            "answered": len(self.scheduled_s),
            "lateness_ms": {name: self.lateness_ms(p) if late else None for name, p in percentiles},
            "late_share": self.late,
            "busy_share": self.busy,
        }

    def problems(self) -> list[str]:
        """Why the schedule was not kept; empty when it was."""
        unsent = self.scheduled - self.sent
        found = [f"{unsent} of {self.scheduled} scheduled requests were never sent"] if unsent else []
        return [*found, *([self.generator_problem] if self.generator_problem else [])]


@dataclass(frozen=True, slots=True, eq=False)
class LoadResult:
    """What a load found. The arrays hold one element a request that counts, in the order of the answers.

    Closed loop: those answered inside the measured window. Open loop: those scheduled inside it and answered
    at some time; `pacing` has their schedule.

    `start_s` and `end_s` (float64) are seconds from the window's begin: a request that was already under way
    then has a negative start; `begin_s` is that begin on the clock of `time.monotonic`. `status` is int16.
    `statuses` counts every answer, warm-up and drain included, so that no error hides there. `client_cpu_s`
    is what the generator itself used during the window, `asked_s` how long the window was to be: its edges
    are moved to answers. The warm-up took `discarded_s`, with `discarded_answers`; `settled` tells whether
    the rate was steady at its end, None where nobody looked. `answers` has what was answered, where that was
    to be kept.
    """

    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    status: NDArray[np.int16]
    begin_s: float
    window_s: float
    statuses: dict[int, int]
    lost_connections: int
    first_error: str | None
    client_cpu_s: float
    pacing: Pacing | None = None
    asked_s: float = 0.0
    discarded_s: float = 0.0
    discarded_answers: int = 0
    settled: bool | None = None
    answers: Answers | None = None

    @property
    def requests(self) -> int:
        """Requests that count."""
        return len(self.end_s)

    @property
    def throughput_rps(self) -> float:
        """Answers a second inside the window; 0 when there was none."""
        answers = self.requests if self.pacing is None else self.pacing.answers
        return answers / self.window_s if self.window_s > 0 else 0.0

    @property
    def is_sparse(self) -> bool:
        """Whether answers came in so small a part of what was asked that a longer run is wanted."""
        return self.window_s < LEAST_COVERED * self.asked_s

    @property
    def latency_s(self) -> NDArray[np.float64]:
        """Latency of each request: from its send in a closed loop, from when it was due in an open one."""
        return self.end_s - (self.start_s if self.pacing is None else self.pacing.scheduled_s)

    @property
    def cpu_us_per_request(self) -> float:
        """CPU time of the generator for one request; NaN when none was answered."""
        return self.client_cpu_s * 1e6 / self.requests if self.requests else float("nan")

    def latency_ms(self, percentile: float) -> float:
        """The latency that `percentile` (0 to 100) of the requests don't exceed; NaN when there was none.

        Between two samples it is interpolated linearly, as numpy and pandas do.
        """
        if not self.requests:
            return float("nan")
        return float(np.percentile(self.latency_s, percentile) * 1e3)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Every request that counts: its start, end and status; of an open loop also its schedule."""
        columns: dict[str, NDArray[Any]] = {
            "start_s": self.start_s,
            "end_s": self.end_s,
            "status": self.status,
        }
        if self.pacing is not None:
            columns |= {"scheduled_s": self.pacing.scheduled_s, "lateness_s": self.pacing.lateness_s}
        return columns

    def problems(self) -> list[str]:
        """Why a trial with this load is no result; empty when it is one."""
        found = []
        total = sum(self.statuses.values())
        failures = sum(count for status, count in self.statuses.items() if not 200 <= status < 300)
        if failures:
            by_status = ", ".join(f"{count} x {status}" for status, count in self.statuses.items())
            found.append(f"{failures} of {total} answers were no success ({by_status})")
        if self.lost_connections:
            found.append(f"{self.lost_connections} connections were lost")
        if found:
            found[-1] += f"; first: {self.first_error}"
        if self.pacing is not None:
            found += self.pacing.problems()
        if not self.requests:
            found.append("no request was answered inside the measured window: measure longer")
        elif self.is_sparse:
            found.append(
                f"answers came in {self.window_s:.2g} of {self.asked_s:.2g} s only: batches take longer than "
                f"what was measured, measure longer"
            )
        return found


def result_of(recording: Recording) -> LoadResult:
    """The requests of a recording that count, on the clock of its window."""
    starts_s = np.array(recording.starts_s, dtype=np.float64)
    ends_s = np.array(recording.ends_s, dtype=np.float64)
    statuses = np.array(recording.statuses, dtype=np.int16)
    pacing: Pacing | None = None
    counts: slice | NDArray[np.bool_]
    if recording.pace is None:
        window = snap_window(ends_s, recording.first_send_s, recording.opens_s, recording.closes_s)
        begin_s, end_s, counts = window.begin_s, window.end_s, slice(window.first, window.stop)
    else:
        begin_s, end_s = recording.opens_s, max(recording.opens_s, recording.closes_s)
        counts, pacing = _of_schedule(recording.pace, ends_s, begin_s, end_s)
    codes, how_many = np.unique(statuses, return_counts=True)
    return LoadResult(
        start_s=starts_s[counts] - begin_s,
        end_s=ends_s[counts] - begin_s,
        status=statuses[counts],
        begin_s=begin_s,
        window_s=end_s - begin_s,
        statuses={int(code): int(count) for code, count in zip(codes, how_many, strict=True)},
        lost_connections=recording.lost_connections,
        first_error=recording.first_error,
        client_cpu_s=recording.cpu_s,
        pacing=pacing,
        asked_s=recording.closes_s - recording.opens_s,
        discarded_s=max(0.0, begin_s - recording.first_send_s),
        discarded_answers=int((ends_s <= begin_s).sum()),
        settled=recording.settled,
    )


def _of_schedule(
    pace: Pace, ends_s: NDArray[np.float64], begin_s: float, end_s: float
) -> tuple[NDArray[np.bool_], Pacing]:
    """Which answers are of requests due inside the window, and how those were paced."""
    due_inside = (begin_s <= pace.due_s) & (pace.due_s < end_s)
    numbers = np.array(pace.numbers, dtype=np.int64)
    counts = due_inside[numbers]
    lateness_s = pace.lateness_s[due_inside]
    return counts, Pacing(
        scheduled=int(due_inside.sum()),
        sent=int((due_inside & pace.sent).sum()),
        answers=int(((begin_s < ends_s) & (ends_s <= end_s)).sum()),
        scheduled_s=pace.due_s[numbers[counts]] - begin_s,
        lateness_s=lateness_s[~np.isnan(lateness_s)],
        busy=pace.busy_s / (end_s - begin_s) if end_s > begin_s else 0.0,
    )
