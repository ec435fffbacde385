"""Goodput: reading a bound, what a sample proves, the search, and servers whose goodput is known."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from typer.testing import CliRunner

from experiments.base.errors import UsageError
from experiments.load import LoadResult, OpenLoop, Pacing
from experiments.load.__main__ import app
from experiments.load.goodput.evidence import Evidence, at_most, evidence, judge, least_requests
from experiments.load.goodput.search import Goodput, NoGoodputError, Probe, as_json, find, search
from experiments.plan import Slo, parse_slo
from tests.support.queueing import departures, fifo_departures

P99_100MS = Slo(99, 100)


# The bound.


@pytest.mark.parametrize(
    ("text", "slo"),
    [
        ("p99=100ms", Slo(99, 100)),
        ("p50<5ms", Slo(50, 5)),
        (" p99.9 <= 1.5s ", Slo(99.9, 1500)),
    ],
)
def test_a_bound_is_read_as_it_is_written(text: str, slo: Slo) -> None:
    assert parse_slo(text) == slo
    assert parse_slo(str(slo)) == slo


@pytest.mark.parametrize("text", ["", "100ms", "p99", "p99=100", "p99>100ms", "p100=1s", "p0=1s", "p99=0ms"])
def test_what_is_no_bound_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"p99|above 0"):
        parse_slo(text)


# What a sample proves.


@pytest.mark.parametrize(("n", "share"), [(1, 0.5), (10, 0.01), (20, 0.3)])
def test_the_binomial_distribution_is_summed_exactly(n: int, share: float) -> None:
    exact = [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]
    for count in range(-1, n + 1):
        assert at_most(count, n, share) == pytest.approx(sum(exact[: count + 1]))


@given(n=st.integers(0, 10**6), count=st.integers(0, 10**4), share=st.floats(0.0001, 0.5))
def test_a_probability_stays_one(n: int, count: int, share: float) -> None:
    assert 0 <= at_most(count, n, share) <= at_most(count + 1, n, share) * (1 + 1e-9) <= 1 + 1e-9


def test_a_p99_needs_three_hundred_requests_for_95_percent() -> None:
    assert least_requests(Slo(99, 100), 0.05) == 299
    assert judge(Slo(99, 100), Evidence(299, 0, 1.0), 0.05) == "holds"
    assert judge(Slo(99, 100), Evidence(298, 0, 1.0), 0.05) == "unsure"


@pytest.mark.parametrize(
    ("requests", "misses", "verdict"),
    [(1000, 0, "holds"), (1000, 10, "unsure"), (1000, 30, "fails"), (100, 100, "fails"), (0, 0, "unsure")],
)
def test_few_misses_hold_many_fail_and_the_allowed_number_says_nothing(
    requests: int, misses: int, verdict: str
) -> None:
    assert judge(P99_100MS, Evidence(requests, misses, 1.0), 0.02) == verdict


def test_requests_that_are_late_together_say_less() -> None:
    rng = np.random.default_rng(1)
    alone = np.where(rng.random(10_000) < 0.02, 0.2, 0.05)
    together = np.sort(alone)  # all misses at the end
    assert evidence(P99_100MS, alone).misses == evidence(P99_100MS, together).misses
    assert evidence(P99_100MS, alone).inflation < 2.5
    assert evidence(P99_100MS, together).inflation > 50
    assert judge(P99_100MS, evidence(P99_100MS, alone), 0.01) == "fails"
    assert judge(P99_100MS, evidence(P99_100MS, together), 0.01) == "unsure"


def test_one_hiccup_in_a_good_sample_proves_nothing() -> None:
    latency_s = np.full(2000, 0.01)
    latency_s[1000:1100] = 0.5
    assert judge(P99_100MS, evidence(P99_100MS, latency_s), 0.0125) == "unsure"


def test_verdicts_are_wrong_as_rarely_as_they_say() -> None:
    # Exactly 1 % are late: neither verdict is right, so each that is given is wrong.
    rng = np.random.default_rng(2)
    verdicts = [
        judge(
            P99_100MS,
            evidence(P99_100MS, np.where(rng.random(4000) < 0.01, 0.2, rng.random(4000) / 10)),
            0.025,
        )
        for _ in range(1000)
    ]
    assert 1000 * 0.025 + 4 * math.sqrt(1000 * 0.025) > max(verdicts.count("holds"), verdicts.count("fails"))


# The search.


def a_probe(rate_rps: float, glance: bool, holds: bool, **other: object) -> Probe:
    fields: dict[str, object] = {
        "verdict": "unsure" if glance else "holds" if holds else "fails",
        "latency_ms": 50.0,
        "found": Evidence(1000, 0 if holds else 500, 1.0),
        "measured_s": 1.0,
    }
    return Probe(rate_rps=rate_rps, glance=glance, holds=holds, **(fields | other))  # type: ignore[arg-type]


def a_server_of(capacity_rps: float) -> Callable[[float, bool], Probe]:
    return lambda rate_rps, glance: a_probe(rate_rps, glance, rate_rps <= capacity_rps)


@given(capacity=st.floats(0.6, 1e5), start=st.floats(0.6, 1e5), tolerance=st.floats(0.01, 0.5))
def test_the_search_ends_around_the_truth(capacity: float, start: float, tolerance: float) -> None:
    goodput = search(a_server_of(capacity), P99_100MS, start_rps=start, tolerance=tolerance)
    assert goodput.rate_rps <= capacity < goodput.fails_at_rps
    assert goodput.fails_at_rps / goodput.rate_rps <= 1 + tolerance
    assert goodput.sure
    assert goodput.problems() == []
    assert len(goodput.probes) < 40


@given(capacity=st.floats(1, 1e4), start=st.floats(1, 1e4), factor=st.floats(0.3, 3))
def test_glances_may_be_wrong(capacity: float, start: float, factor: float) -> None:
    def probe(rate_rps: float, glance: bool) -> Probe:
        return a_probe(rate_rps, glance, rate_rps <= capacity * (factor if glance else 1))

    goodput = search(probe, P99_100MS, start_rps=start)
    assert goodput.rate_rps <= capacity < goodput.fails_at_rps
    assert goodput.sure


def test_a_bound_that_no_rate_keeps_is_told() -> None:
    with pytest.raises(NoGoodputError, match=r"not kept at any rate: even at .* requests/s p99 is 50 ms"):
        search(a_server_of(0.01), P99_100MS, start_rps=10)


def test_a_generator_at_its_limit_leaves_a_lower_bound() -> None:
    def probe(rate_rps: float, glance: bool) -> Probe:
        problem = "the generator could not keep up: too fast" if rate_rps > 1000 else None
        return a_probe(rate_rps, glance, problem is None, generator_problem=problem)

    goodput = search(probe, P99_100MS, start_rps=10)
    (problem,) = goodput.problems()
    assert 640 <= goodput.rate_rps <= 1000
    assert f"is kept up to {goodput.rate_rps:g} requests/s or more" in goodput.explain()
    assert problem.startswith(f"the goodput is {goodput.rate_rps:g} requests/s or more: the generator")


def test_a_server_that_changes_meanwhile_is_told() -> None:
    probes = (a_probe(20, False, True), a_probe(10.5, False, False), a_probe(10, False, True))
    (problem,) = Goodput(P99_100MS, 10, 10.5, 0.95, probes).problems()
    assert problem.startswith("it holds at 20 requests/s and fails at 10.5")


def test_what_is_found_is_a_sentence() -> None:
    goodput = search(a_server_of(79), P99_100MS, start_rps=10)
    assert goodput.explain() == (
        f"p99=100ms is kept up to {goodput.rate_rps:g} requests/s and not at {goodput.fails_at_rps:g} "
        "(0 of 1,000 requests took longer, 1% of them may); 95% sure"
    )


# Simulated servers.


Services = Callable[[int], Sequence[float] | NDArray[np.float64]]
"""A seed's service times."""


def simulated(
    services_s: Services, most: int = 1, lateness_s: float = 0.0
) -> Callable[[OpenLoop, int], LoadResult]:
    """A server whose latencies are computed."""

    def send(load: OpenLoop, seed: int) -> LoadResult:
        due_s = load.schedule(seed)
        done_s = (
            fifo_departures(due_s, services_s(seed))
            if most == 1
            else departures(due_s, services_s(seed), most)
        )
        before_s = np.concatenate([[0.0], done_s[:-1]])
        sent_s = np.maximum(due_s, before_s) if load.max_in_flight == 1 else due_s
        inside = due_s >= load.warm_up_s
        due_s, sent_s, done_s = (times[inside] - load.warm_up_s for times in (due_s, sent_s, done_s))
        n = len(due_s)
        return LoadResult(
            start_s=sent_s,
            end_s=done_s,
            status=np.full(n, 200, dtype=np.int16),
            begin_s=0.0,
            window_s=load.duration_s,
            statuses={200: n},
            lost_connections=0,
            first_error=None,
            client_cpu_s=0.0,
            pacing=Pacing(n, n, n, due_s, np.full(n, lateness_s), 0.1),
        )

    return send


def exponential(mean_s: float) -> Services:
    return lambda seed: np.random.default_rng(seed + 10**6).exponential(mean_s, 30_000)


def test_the_goodput_of_an_mm1_server_is_that_of_theory() -> None:
    # Time in the system is exponential with mean 1 / (125 - rate), its p99 is ln(100) times that.
    truth = 125 - math.log(100) / 0.1
    found = [find(simulated(exponential(0.008)), P99_100MS, longest_s=200, seed=1000 * n) for n in range(6)]
    errors = [math.sqrt(each.rate_rps * each.fails_at_rps) / truth - 1 for each in found]
    assert np.median(np.abs(errors)) < 0.05
    right = [each for each in found if (each.surely_rps or 0) < truth < (each.surely_not_rps or math.inf)]
    assert len(right) >= 5
    assert all(each.surely_rps and each.surely_not_rps for each in found)


def test_a_batch_server_is_found_to_its_capacity() -> None:
    # Batches of 8 in 40 ms: 200 requests/s, and far from that nobody waits for 100 ms.
    goodput = find(simulated(lambda _: [0.04], most=8), Slo(99, 200), start_rps=20, longest_s=60)
    assert 170 < goodput.rate_rps < 201
    assert goodput.problems() == []


def test_a_service_time_above_the_bound_is_told() -> None:
    with pytest.raises(NoGoodputError, match="a request by itself takes 150 ms"):
        find(simulated(lambda _: [0.15]), P99_100MS)


def test_a_short_measurement_says_that_it_is_unsure() -> None:
    goodput = find(simulated(exponential(0.008)), P99_100MS, start_rps=10, longest_s=3)
    assert not goodput.sure
    assert "measure longer" in goodput.explain()


def test_a_rate_with_failures_is_too_high_however_fast_the_rest_is() -> None:
    fast = simulated(lambda _: [0.001])

    def fails_above_100(load: OpenLoop, seed: int) -> LoadResult:
        result = fast(load, seed)
        if load.rate_rps > 100:
            result.statuses[503] = 1
        return result

    goodput = find(fails_above_100, P99_100MS)
    assert 95 < goodput.rate_rps <= 100
    assert any(probe.failure and "503" in probe.failure for probe in goodput.probes)


def test_the_generators_lateness_matters_where_the_bound_is_as_small() -> None:
    late = simulated(lambda _: [0.001], lateness_s=0.002)
    assert find(late, Slo(99, 100), start_rps=500).problems() == []
    with pytest.raises(
        NoGoodputError, match=r"no rate can be measured: .* 2 ms late at p99.*tenth of the bound"
    ):
        find(late, Slo(99, 10), start_rps=500)


BUSY = "other programs used 1.00 of 2 cores"


def busy_looks(*numbers: int) -> Callable[[LoadResult], str | None]:
    """Says of the looks with these numbers, or of all where none is given, that another program ran."""
    looks = iter(range(10**6))

    def disturbed(result: LoadResult) -> str | None:
        return BUSY if not numbers or next(looks) in numbers else None

    return disturbed


def test_a_look_that_was_disturbed_is_taken_again() -> None:
    server = simulated(exponential(0.008))
    looked: list[float] = []

    def send(load: OpenLoop, seed: int) -> LoadResult:
        looked.append(load.rate_rps)
        return server(load, seed)

    goodput = find(send, P99_100MS, longest_s=60, disturbed=busy_looks(0, 3))
    assert goodput.problems() == []
    assert not any(probe.disturbed for probe in goodput.probes)
    assert looked[1] == looked[2]  # the first is that of a request alone


def test_a_search_on_a_machine_that_stays_busy_says_so() -> None:
    goodput = find(simulated(exponential(0.008)), P99_100MS, longest_s=20, disturbed=busy_looks())
    (problem,) = goodput.problems()
    assert problem.endswith("this machine was busy, each time that it was looked at: " + BUSY)
    assert as_json(goodput)["probes"][0]["disturbed"] == BUSY


# The program.


def invoke(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout, result.stderr


def test_the_program_searches_for_a_rate_that_keeps_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    send = simulated(lambda _: [0.01])
    monkeypatch.setattr(
        "experiments.load.__main__.run", lambda url, pool, load, *, seed, **_: send(load, seed)
    )
    code, out, err = invoke("http://127.0.0.1:1/", "--slo", "p99=100ms", "--rate", "20", "--json")
    printed = json.loads(out)
    assert code == 0
    assert 75 < printed["goodput_rps"] < printed["fails_at_rps"] < 100
    assert printed["slo"] == "p99=100ms"
    assert printed["explanation"].startswith("p99=100ms is kept up to")
    assert printed["probes"][0]["rate_rps"] == 20
    assert len(err.splitlines()) == len(printed["probes"])
    assert "20 requests/s: holds, at a glance" in err


def test_the_program_tells_when_no_rate_keeps_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    send = simulated(lambda _: [0.01])
    monkeypatch.setattr(
        "experiments.load.__main__.run", lambda url, pool, load, *, seed, **_: send(load, seed)
    )
    code, out, err = invoke("http://127.0.0.1:1/", "--slo", "p99=9ms")
    assert (code, out) == (1, "")
    assert err == "p99=9ms is not kept at any rate: a request by itself takes 10 ms\n"


@pytest.mark.parametrize(
    "arguments",
    [["--slo", "fast"], ["--slo", "p99=1s", "--requests", "5"], ["--slo", "p99=1s", "--rate", "0"]],
)
def test_wrong_usage_exits_with_2_and_one_line(arguments: list[str]) -> None:
    code, out, err = invoke("http://127.0.0.1:1/", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
