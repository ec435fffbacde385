"""Open-loop latencies against exact computation, for servers whose every departure is known.

What may differ is what was recorded: how late the generator came to its own schedule, and the server to its
script. So these tests hold on a busy machine and are sharp on an idle one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from experiments.load import ClosedLoop, LoadResult, OpenLoop, run
from experiments.load.goodput import find
from experiments.plan import Slo
from tests.support.queueing import Stall, departures
from tests.support.scripted_server import Script, Witness, scripted

pytestmark = pytest.mark.integration


def exponential(mean_s: float) -> list[float]:
    return np.random.default_rng(11).exponential(mean_s, 1000).tolist()


# About 80 % busy, so that latency is mostly waiting. With few connections some of that is in the schedule.
QUEUES = {
    "M/M/1": (OpenLoop(100, 2.0), Script(exponential(0.008)), 1),
    "M/M/1, two processes": (OpenLoop(100, 2.0), Script(exponential(0.008)), 2),
    "M/D/1": (OpenLoop(100, 2.0), Script([0.008]), 1),
    "D/M/1, few connections": (
        OpenLoop(100, 2.0, "constant", max_in_flight=3),
        Script(exponential(0.008)),
        1,
    ),
    "batches": (OpenLoop(300, 2.0), Script([0.02], most=8), 1),
    "batches, few connections": (OpenLoop(300, 2.0, max_in_flight=16), Script([0.02], most=8), 2),
}


def measure(load: OpenLoop, script: Script, processes: int = 1) -> tuple[LoadResult, Witness]:
    with scripted(script) as server:
        result = run(server.url, [], load, seed=2, processes=processes)
    assert result.lost_connections == 0
    assert server.witness is not None
    return result, server.witness


def assert_true(result: LoadResult, truth_s: NDArray[np.float64], witness: Witness) -> None:
    """Mean and p99 are those of the truth within a tenth, and what generator and server were late."""
    assert result.pacing is not None
    server_late_s = witness.written_s - witness.done_s
    mean_slack_s = server_late_s.mean() + 5 * result.pacing.lateness_s.mean()
    assert result.latency_s.mean() == pytest.approx(truth_s.mean(), rel=0.1, abs=mean_slack_s)
    tail_slack_s = server_late_s.max() + 2 * result.pacing.lateness_s.max()
    p99_s = np.percentile(truth_s, 99)
    assert result.latency_ms(99) / 1e3 == pytest.approx(p99_s, abs=0.1 * p99_s + tail_slack_s)


@pytest.mark.parametrize("name", QUEUES)
def test_latencies_are_those_of_the_queue(name: str) -> None:
    load, script, processes = QUEUES[name]
    result, witness = measure(load, script, processes)
    due_s = load.schedule(seed=2) + result.begin_s
    # The server did what its script says, for the requests as they came ...
    exact_s = departures(witness.arrived_s, script.services_s, script.most, script.stall)
    assert witness.done_s == pytest.approx(exact_s, abs=1e-6)
    # ... and they waited since they were due. Nobody gets an answer before it was written.
    assert_true(result, exact_s - due_s, witness)
    assert (result.end_s + result.begin_s).sum() >= witness.written_s.sum()


@pytest.mark.wide
def test_a_clock_started_at_the_send_would_hide_a_stall_and_ours_does_not() -> None:
    # 1 s in 10: a tenth of the requests has to wait for half a second on average.
    script = Script([0.002], stall=Stall(10.0, 1.0))
    result, witness = measure(OpenLoop(100, 11.5, "constant", max_in_flight=4), script)
    due_s = np.arange(1150) / 100
    planned_s = departures(due_s, script.services_s, stall=script.stall) - due_s
    assert np.percentile(planned_s, 99) > 0.8
    # As the requests came: on a busy machine some do later, and wait for longer since they were due.
    done_s = departures(witness.arrived_s, script.services_s, stall=script.stall)
    assert witness.done_s == pytest.approx(done_s, abs=1e-6)
    assert_true(result, done_s - due_s - result.begin_s, witness)
    assert result.pacing is not None
    late_s = (witness.written_s - witness.done_s).max() + 2 * result.pacing.lateness_s.max()
    from_send_s = result.end_s - result.start_s
    assert (np.percentile(from_send_s, 99) - late_s) * 10 < np.percentile(planned_s, 99)


def test_the_goodput_of_a_server_is_found_on_it() -> None:
    # It can do 100 requests/s, and nobody waits for long at half of that.
    with scripted(Script([0.01])) as server:

        def send(load: ClosedLoop | OpenLoop, seed: int) -> LoadResult:
            """What comes back, at the times that the script says: however late this busy machine was."""
            result = run(server.url, [], load, seed=seed)
            if isinstance(load, ClosedLoop):
                return result
            assert result.pacing is not None
            due_s = load.schedule(seed)
            latency_s = (departures(due_s, [0.01]) - due_s)[due_s >= load.warm_up_s][: result.requests]
            pacing = replace(result.pacing, lateness_s=np.zeros(1), busy=0.0)
            return replace(result, end_s=pacing.scheduled_s + latency_s, pacing=pacing)

        goodput = find(send, Slo(95, 60), start_rps=50, longest_s=3, tolerance=0.2)
    assert 50 <= goodput.rate_rps < 105
    assert goodput.problems() == []
    assert goodput.surely_rps is not None
    assert goodput.surely_rps < 100
