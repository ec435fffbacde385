"""Another server's answers in the form of ours, and bodies in its own: nothing here starts one."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.base.errors import ServerError
from experiments.load import Answers, Body
from experiments.measure import hosts
from experiments.measure.alone import is_wanted
from experiments.measure.hosts import Guest, WorkersLostError, as_ours, bodies, counters_of
from experiments.plan import Plan
from experiments.servers.dialects import V2, OneText
from experiments.servers.served import Running
from experiments.serving.registration import Registration

SMALL = Registration(Path("small.mar"), workers=1, batch_size=2)
LABELS = [{"label": "good", "probability": 0.75}, {"label": "bad", "probability": 0.25}]


def a_guest(pid: int | None = None, dialect: OneText | V2 | None = None, workers: int = 1) -> Guest:
    own = os.getpid() if pid is None else pid
    spoken = dialect or OneText()
    pids = [own] * workers
    running = Running("litserve", spoken, 8123, Path("/nowhere"), own, lambda: pids, lambda: "its log")
    return Guest(running, SMALL)


def test_bodies_are_in_the_servers_form_and_keep_their_names() -> None:
    (body,) = bodies(a_guest(), [Body("ü".encode(), "text/plain", "one.txt")])
    assert json.loads(body.data) == {"text": "ü"}
    assert body.name == "one.txt"


def test_an_image_goes_as_it_is_to_torchserve_and_in_json_to_others() -> None:
    (body,) = bodies(a_guest(), [Body(b"\xff\xd8", "image/jpeg", "one.jpg")])
    assert json.loads(body.data) == {"image": "/9g="}


def test_answers_are_compared_in_the_form_of_ours() -> None:
    tensors = {
        "outputs": [
            {"name": "LABEL", "shape": [1, 2], "data": ["good", "bad"]},
            {"name": "PROBABILITY", "shape": [1, 2], "data": [0.75, 0.25]},
        ]
    }
    spaced, close = json.dumps(tensors).encode(), json.dumps(tensors, separators=(",", ":")).encode()
    told = as_ours(a_guest(dialect=V2()), Answers({3: {spaced: 2, close: 5}}, unkept=1))
    assert told == Answers({3: {json.dumps(LABELS).encode(): 7}}, unkept=1)


def test_an_answer_that_can_not_be_read_stays_and_will_be_found_wrong() -> None:
    assert as_ours(a_guest(), Answers({0: {b"sorry": 1}})) == Answers({0: {b"sorry": 1}})


def test_a_server_that_counts_nothing_has_no_counters_and_one_that_is_gone_is_told() -> None:
    assert counters_of(a_guest()) is None
    with pytest.raises(ServerError, match="the server ended"):
        counters_of(a_guest(pid=2**22 + 1))


def test_workers_that_stay_away_need_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "REPLACED_S", 0.0)
    assert [worker.pid for worker in a_guest().register(SMALL)] == [os.getpid()]
    with pytest.raises(WorkersLostError, match="litserve has 0 of 1 workers left"):
        a_guest(workers=0).wait_for_workers(1)


def test_requests_alone_cost_a_sweep_of_torchserve_alone_nothing() -> None:
    plan = Plan()
    assert not is_wanted(plan)
    assert is_wanted(replace(plan, server=("torchserve", "triton")))
    assert is_wanted(replace(plan, server=("triton",)))
    assert is_wanted(replace(plan, engine=("torch", "onnxruntime")))
