"""The program that sends loads, as an actor of Ray starts it: alone, and for a card with a TorchServe."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import requests

from experiments.bench import bench_for
from experiments.cluster.dealt import LoadSeat
from experiments.cluster.messages import (
    Done,
    Equip,
    Event,
    Failed,
    Finished,
    Hello,
    Loaded,
    Lost,
    Measure,
    NotLoaded,
    Send,
)
from experiments.cluster.program import CARD, LOAD, Program
from experiments.load import Body, ClosedLoop, Sending
from experiments.plan import Plan
from tests.support.small_archives import NOOP, archive
from tests.support.small_server import always, http, serving

pytestmark = [pytest.mark.integration, pytest.mark.wide]
CORES = sorted(os.sched_getaffinity(0))
OTHER_ADDRESS = "127.0.0.2"  # of this machine as well: nothing but what was told so listens there


@contextmanager
def running(module: str, *arguments: str) -> Iterator[Program]:
    program = Program(module, [CORES[0] if module == LOAD else CORES[-1]], *arguments)
    try:
        assert isinstance(next_of(program), Hello)
        yield program
    finally:
        program.close()


def next_of(program: Program) -> Event:
    (event,) = program.events(120)
    return event


def a_send(url: str, processes: int = 1, connections: int = 2) -> Send:
    load = ClosedLoop(connections, duration_s=1.0, warm_up_s=0.1)
    return Send(Sending(url, [Body(b"hello", "text/plain")], load), processes, keep_answers=True)


def test_it_sends_a_load_and_tells_what_it_took() -> None:
    with serving(always(http())) as server, running(LOAD) as program:
        program.send(a_send(server.url))
        loaded = next_of(program)
    assert isinstance(loaded, Loaded)
    assert loaded.result.problems() == []
    assert loaded.result.answers is not None
    assert loaded.heard_s < loaded.result.begin_s < loaded.told_s
    assert loaded.network_ms is not None
    assert loaded.cpu_cores_used is not None


def test_what_it_can_not_load_is_told_and_it_goes_on() -> None:
    with serving(always(http())) as server, running(LOAD) as program:
        program.send(a_send("http://127.0.0.1:1/"))
        not_loaded = next_of(program)
        assert isinstance(not_loaded, NotLoaded)
        assert "cannot connect to http://127.0.0.1:1" in not_loaded.message
        program.send(a_send(server.url, connections=10**6))
        too_many = next_of(program)
        assert isinstance(too_many, NotLoaded)
        assert too_many.exit_code == 2
        program.send(a_send(server.url))
        assert isinstance(next_of(program), Loaded)


def test_when_its_pipe_ends_it_stops_its_load() -> None:
    with serving(always(http(), after_s=0.05)) as server, running(LOAD) as program:
        send = a_send(server.url)
        load = replace(send.sending.load, duration_s=60.0)
        program.send(replace(send, sending=replace(send.sending, load=load)))
        assert program.events(1.0) == []
        process = psutil.Process(program.pid)
        program.close()
        assert not process.is_running()


@pytest.mark.parametrize("listens_on", ["127.0.0.1", OTHER_ADDRESS])
def test_a_card_is_loaded_by_another_program_and_its_server_listens_where_that_reaches_it(
    listens_on: str, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("hello")
    model, text = archive(tmp_path, "noop", NOOP), str(tmp_path / "text.txt")
    plan = Plan(
        str(model), (1,), (1,), duration_s=0.5, warm_up_s=0.1, runs=1, input=text, check_answers=False
    )
    seat = LoadSeat("b", "host-b core 0", (CORES[0],), listens_on)
    with running(LOAD) as load, running(CARD, "cpu") as card:
        card.send(Equip(plan, bench_for(plan), load_seat=seat))
        assert next_of(card) == Done()
        card.send(Measure(plan.cells()[:1]))
        trials, listening = _measured(card, load)
    result = trials[-1].result  # measured again, where other programs were busy
    assert result.valid, result.problems
    assert result.load_from is not None
    assert (result.load_from.node, result.load_from.listens_on) == ("host-b core 0", listens_on)
    assert result.load_from.network_ms is not None
    assert result.telemetry is not None
    assert "load_generator" not in result.telemetry.cpu_cores_used
    assert sorted(listening) == sorted([listens_on, *["127.0.0.1"] * (len(listening) - 1)])


def _measured(card: Program, load: Program) -> tuple[list[Finished], list[str]]:
    """Passes on what the two tell each other, as Ray's actors do; the addresses that listened meanwhile."""
    trials: list[Finished] = []
    listening: list[str] = []
    while True:
        for event in card.events(120):
            assert not isinstance(event, Failed | Lost), event
            if isinstance(event, Send):
                listening = _listening(card.pid)
                without_token = requests.post(event.sending.url, data=b"hello", timeout=60)
                assert without_token.status_code == 400
                load.send(event)
                card.send(next_of(load))
            elif isinstance(event, Finished):
                trials.append(event)
            elif isinstance(event, Done):
                return trials, listening


def _listening(pid: int) -> list[str]:
    """The addresses of all TCP ports that a process and what it started listen at."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    ports = [
        each for one in family for each in one.net_connections("tcp") if each.status == psutil.CONN_LISTEN
    ]
    return [each.laddr.ip.removeprefix("::ffff:") for each in ports]
