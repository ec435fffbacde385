"""The load generator and its benchmark against a real nginx, whose own log is the witness."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter

import psutil
import pytest

from benchmarks.load_generator import compare
from benchmarks.parts.nginx import Nginx, ToolMissingError, serving_nginx, tool
from experiments.base.paths import ROOT
from experiments.load import Body, ClosedLoop, OpenLoop, run


def needs(*programs: str) -> pytest.MarkDecorator:
    try:
        for program in programs:
            tool(program)
    except ToolMissingError as missing:
        return pytest.mark.skipif(True, reason=str(missing))
    return pytest.mark.skipif(False, reason="")


pytestmark = [pytest.mark.integration, needs("nginx")]


def logged(nginx: Nginx, expected: int = 0) -> list[str]:
    """The lines of the access log. nginx writes one after its answer: the `expected` number is waited for."""
    assert nginx.access_log is not None
    deadline = time.monotonic() + 10
    while True:
        lines = nginx.access_log.read_text().splitlines()
        if len(lines) >= expected or time.monotonic() > deadline:
            return lines
        time.sleep(0.05)


@pytest.mark.parametrize(
    "load",
    [
        ClosedLoop(16, requests=5000, warm_up_requests=500),
        ClosedLoop(64, duration_s=0.5, warm_up_s=0.2),
        ClosedLoop(1, requests=100),
    ],
)
def test_every_answer_is_counted_once(load: ClosedLoop) -> None:
    with serving_nginx(log=True) as nginx:
        result = run(nginx.url, [], load)
        lines = logged(nginx, expected=sum(result.statuses.values()))
    assert result.problems() == []
    assert result.statuses == {200: len(lines)}
    assert 0 < result.requests <= len(lines)
    assert load.requests in (None, result.requests)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("load", [OpenLoop(1000, 0.5, warm_up_s=0.2), OpenLoop(500, 0.4, "constant")])
def test_every_scheduled_request_is_sent_and_answered_once(load: OpenLoop, processes: int) -> None:
    due_s = load.schedule(seed=7)
    with serving_nginx(log=True) as nginx:
        result = run(nginx.url, [], load, seed=7, processes=processes)
        lines = logged(nginx, expected=len(due_s))
    assert result.statuses == {200: len(lines)} == {200: len(due_s)}
    assert result.requests == (due_s >= load.warm_up_s).sum()
    assert result.lost_connections == 0


def test_bodies_of_any_length_leave_the_connections_in_step() -> None:
    pool = [Body(b"x" * length, "application/octet-stream") for length in (0, 1, 300_000)]
    with serving_nginx(log=True) as nginx:
        result = run(nginx.url, pool, ClosedLoop(4, requests=30))
        lengths = Counter(line.split()[2] for line in logged(nginx, expected=sum(result.statuses.values())))
    assert result.problems() == []
    assert sum(lengths.values()) == sum(result.statuses.values())
    assert lengths["300000"] in range(10, 13)  # one in three of 30 to 33 requests


def test_an_error_of_the_server_is_told_with_its_first_body() -> None:
    with serving_nginx(log=True) as nginx:
        result = run(nginx.url + "busy", [], ClosedLoop(8, duration_s=60))
        lines = logged(nginx, expected=sum(result.statuses.values()))
    assert result.statuses == {503: len(lines)}
    assert result.first_error == "503 Service Unavailable: no worker"


def test_ctrl_c_ends_the_program_in_one_line() -> None:
    with serving_nginx(log=True) as nginx:
        program = subprocess.Popen(
            [sys.executable, "-m", "experiments.load", nginx.url, "--duration", "60", "--json"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while not logged(nginx):
            assert program.poll() is None
        os.kill(program.pid, signal.SIGINT)
        out, err = program.communicate(timeout=30)
    assert (program.returncode, out, err) == (130, "", "interrupted: nothing was measured\n")


def test_client_processes_end_with_the_program_that_is_killed() -> None:
    with serving_nginx(log=True) as nginx:
        program = subprocess.Popen(
            [sys.executable, "-m", "experiments.load", nginx.url, "--duration", "60", "--processes", "2"],
            cwd=ROOT,
        )
        while not logged(nginx):
            assert program.poll() is None
        clients = psutil.Process(program.pid).children()
        program.kill()
        program.wait()
        _, alive = psutil.wait_procs(clients, timeout=30)
    assert len(clients) == 2
    assert alive == []


@needs("wrk")
def test_the_comparison_with_wrk_measures_both() -> None:
    with serving_nginx(log=True) as nginx:
        comparison = compare(
            nginx.url,
            headers={"X-Key": "value"},
            body=Body(b"x" * 1000, "text/plain"),
            connections=8,
            duration_s=1,
            rounds=1,
        )
        methods = {line.split()[1] for line in logged(nginx)}
    assert methods == {"POST"}
    assert comparison.throughput_ratio > 0
    assert comparison.wrk[0].cpu_us_per_request > 0
    assert comparison.ours[0].cpu_us_per_request > 0


def test_a_missing_tool_is_one_line_with_the_remedy() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", WITHOUT_TOOLS], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 1
    assert finished.stderr == "wrk isn't installed: apt-get install wrk nginx-light\n"


# shutil.which finds nothing, as on a machine without the two.
WITHOUT_TOOLS = """
import shutil, runpy
shutil.which = lambda *_, **__: None
runpy.run_module("benchmarks.load_generator", run_name="__main__")
"""
