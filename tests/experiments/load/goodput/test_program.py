"""`python -m experiments.load --slo`, on a simulated server."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from experiments.load.__main__ import app
from tests.support.simulated_server import BatchServer, Simulated

SERVER = BatchServer(most=1, base_s=0.01, each_s=0.0, jitter=0.1)  # 100 requests/s at most


def invoke(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> Simulated:
    server = Simulated(SERVER)
    monkeypatch.setattr(
        "experiments.load.__main__.run", lambda url, pool, load, *, seed, **_: server.send(load, seed)
    )
    monkeypatch.setattr("experiments.load.goodput.search.monotonic", server.clock)
    return server


@pytest.mark.thorough
def test_the_program_searches_for_a_rate_that_keeps_a_bound(simulated: Simulated) -> None:
    code, out, err = invoke("http://127.0.0.1:1/", "--slo", "p99=100ms", "--rate", "85", "--json")
    printed = json.loads(out)
    assert code == 0
    assert 75 < printed["goodput_rps"] < 100
    assert printed["surely_rps"] <= printed["goodput_rps"] <= printed["surely_not_rps"]
    assert printed["slo"] == "p99=100ms"
    assert printed["explanation"].startswith("p99=100ms is kept up to")
    assert printed["probes"][0]["rate_rps"] == pytest.approx(85, rel=0.02)
    told, *looks = err.splitlines()
    assert told.startswith("searching the highest rate that keeps p99=100ms, about ")
    assert len(looks) == len(printed["probes"])
    assert looks[0].startswith(f"{printed['probes'][0]['rate_rps']:g} requests/s: ")


@pytest.mark.thorough
def test_it_takes_about_as_long_as_it_says(simulated: Simulated) -> None:
    _, _, err = invoke("http://127.0.0.1:1/", "--slo", "p99=100ms")
    told_s = float(err.splitlines()[0].split()[-2])
    assert told_s / 2 < simulated.now_s < 2 * told_s


def test_the_program_tells_when_no_rate_keeps_the_bound(simulated: Simulated) -> None:
    code, out, err = invoke("http://127.0.0.1:1/", "--slo", "p99=9ms")
    assert (code, out) == (1, "")
    assert "p99=9ms is not kept at any rate: a request by itself takes 9.39 ms" in err.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments",
    [["--slo", "fast"], ["--slo", "p99=1s", "--requests", "5"], ["--slo", "p99=1s", "--rate", "0"]],
)
def test_wrong_usage_exits_with_2_and_one_line(arguments: list[str]) -> None:
    code, out, err = invoke("http://127.0.0.1:1/", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
