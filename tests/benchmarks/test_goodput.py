"""The benchmark of the search for the highest rate: its other fits, and its figures."""

from __future__ import annotations

import math

import pytest

from benchmarks.goodput import Searched, marks
from benchmarks.parts.goodput_fits import FITS
from experiments.load.goodput import Goodput, Probe
from experiments.load.goodput.evidence import Evidence
from experiments.plan import Slo, search_takes_s


def a_look(rate_rps: float) -> Probe:
    """Of an M/M/1 server whose limit is 100 requests/s: its p99 is 100 ms there, and 1 % is late."""
    late = 0.01 * math.exp((rate_rps - 100) * 0.1)
    latency_ms = 1e3 * math.log(100) / (100 + math.log(100) / 0.1 - rate_rps)
    found = Evidence(100_000, round(100_000 * late), 1.0)
    return Probe(rate_rps, "unsure", late <= 0.01, latency_ms, found, 5.0)


def found(rate_rps: float, *rates_rps: float) -> Goodput:
    probes = tuple(a_look(each) for each in rates_rps)
    return Goodput(Slo(99, 100), rate_rps, 0.9 * rate_rps, 1.1 * rate_rps, True, 0.95, probes)


@pytest.mark.parametrize("name", FITS)
def test_each_way_to_fit_the_limit_finds_it_where_nothing_is_left_to_chance(name: str) -> None:
    assert FITS[name](found(100, 110, 94, 98, 103)) == pytest.approx(100, rel=0.015)


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("rates", [(80, 90), (110, 120), (105,)])
def test_each_gives_a_rate_whatever_the_looks_were(name: str, rates: tuple[float, ...]) -> None:
    assert 50 < FITS[name](found(100, *rates)) < 150


def test_errors_are_shares_of_the_truth() -> None:
    took_s = [search_takes_s(), search_takes_s() / 2, search_takes_s()]
    searched = Searched("a server", 100.0, [found(90, 90), found(102, 102), found(104, 104)], took_s)
    assert marks([searched]) == {
        "median_error": 0.04,
        "p90_error": pytest.approx(0.088),
        "median_s": search_takes_s(),
        "longest_s": search_takes_s(),
        "time_told_off_median": 0.0,
    }
    assert searched.inside == pytest.approx(2 / 3)
