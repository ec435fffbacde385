"""Servers of a plan: an axis like any other, but for MPS, which is TorchServe's alone."""

from itertools import groupby

import pytest

from experiments.base.errors import UsageError
from experiments.plan import Plan, estimated_s, plan_from
from experiments.plan.servers import SERVERS, TORCHSERVE
from experiments.servers import known

EVERYTHING = Plan(
    workers=(1, 2), batch_size=(1, 8), server=SERVERS, engine=("torch", "onnxruntime"), noise_floor=False
)


def test_the_names_are_those_of_the_servers_that_there_are() -> None:
    assert tuple(known.SERVERS) == SERVERS


def test_without_it_cells_are_as_they_were() -> None:
    (cell, _) = Plan(workers=(1,), batch_size=(8,)).cells()
    assert cell.server == TORCHSERVE
    assert str(cell) == "bert, 1 worker, batch size 8"


def test_each_server_has_all_other_combinations() -> None:
    cells = EVERYTHING.cells()
    assert len(cells) == 4 * 2 * 2 * 2
    assert {cell.server for cell in cells} == set(SERVERS)
    assert "triton, onnxruntime" in str(next(cell for cell in cells[8:] if cell.server == "triton" and cell.engine == "onnxruntime"))  # fmt: skip # noqa: E501


def test_torchserve_is_started_for_what_its_workers_have_the_others_for_their_batches_too() -> None:
    started = {server: set() for server in SERVERS}  # type: dict[str, set[object]]
    for cell in EVERYTHING.cells():
        started[cell.server].add(cell.started_with)
    assert {server: len(found) for server, found in started.items()} == {
        "torchserve": 2 * 2,
        "triton": 2 * 2 * 2,
        "litserve": 2 * 2 * 2,
        "bentoml": 2 * 2 * 2,
    }


def test_the_others_are_started_anew_for_requests_of_more_inputs() -> None:
    plan = Plan(workers=(1,), batch_size=(8,), server=("torchserve", "triton"), client_batch=(1, 5))
    started = {(cell.server, cell.started_with) for cell in plan.cells()}
    assert sorted(server for server, _ in started) == ["torchserve", "triton", "triton"]


@pytest.mark.parametrize("interleave", [False, True])
def test_no_server_is_started_more_often_than_a_pass_needs(interleave: bool) -> None:
    plan = Plan(workers=(1,), batch_size=(1, 8), server=("torchserve", "triton"), runs=4,
                noise_floor=False, interleave=interleave)  # fmt: skip
    starts = [key for key, _ in groupby(trial.cell.started_with for trial in plan.trials())]
    passes = 4 if interleave else 2
    assert len(starts) <= passes * 3
    assert estimated_s(plan.trials()) > 0


def test_mps_is_torchserves_alone() -> None:
    plan = Plan(workers=(1,), batch_size=(1,), server=("torchserve", "triton"), with_mps=True,
                thread_percentage=(50,), noise_floor=False)  # fmt: skip
    assert [(cell.server, cell.mps) for cell in plan.cells()] == [
        ("torchserve", False),
        ("torchserve", True),
        ("triton", False),
    ]


def test_a_plans_file_names_one_or_several() -> None:
    assert plan_from({"server": "triton"}).server == ("triton",)
    assert plan_from({"server": ["torchserve", "litserve"]}).server == ("torchserve", "litserve")
    assert plan_from({}).server == (TORCHSERVE,)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["nginx"], "--server must be one of torchserve, triton, litserve, bentoml, not 'nginx'"),
        ([], "--server needs at least one value"),
        ([None], "plan key 'server' must be text"),
    ],
)
def test_what_can_not_be_is_said(given: list[str | None], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        plan_from({"server": given})
