"""The benchmark of autoscaling: its cases, and what it tells."""

import json

import pytest
from typer.testing import CliRunner

from benchmarks.autoscaling import app
from benchmarks.parts.scaling import cases, served


@pytest.mark.thorough
def test_it_ends_with_the_outcomes_of_every_policy() -> None:
    found = CliRunner().invoke(app, ["--only", "bursts", "--shorter", "0.01"])
    assert found.exit_code == 0, found.output
    told = json.loads(found.output.splitlines()[-1])
    [case] = told["simulated"]
    policies = [outcome["policy"] for outcome in case["outcomes"]]
    assert policies[:2] == ["measured thresholds", "the same for 90 %"]
    assert policies[2:] == ["CPU at 50 %", "CPU at 70 %", "CPU at 80 %", "fixed, 5"]
    assert len({outcome["requests"] for outcome in case["outcomes"]}) == 1


@pytest.mark.thorough
def test_the_trace_is_known_by_its_first_half_only() -> None:
    *_, trace = cases.cases(seed=0, shorter=0.01)
    assert (trace.history.lasts_s, trace.curve.lasts_s) == (1600, 1600)
    assert trace.history.rates_rps[0] == 47.2
    assert trace.batches.latency_ms[0] == 11.509
    assert 2 * trace.batches.latency_ms[-1] <= trace.service.bound_ms


def test_live_curves_are_squeezed_to_one_peak() -> None:
    for was, comes in served.curves(seed=0, lasts_s=60.0):
        assert (was.lasts_s, comes.lasts_s) == (pytest.approx(60), pytest.approx(60))
        assert was.peak_rps == comes.peak_rps == pytest.approx(served.PEAK_RPS)
