"""Who sits where under TorchServe: names, cores or shares, turns, and the part of the requests."""

from dataclasses import replace

import pytest

from experiments.base.errors import UsageError
from experiments.placement.deployment import seats
from experiments.placement.latencies import LatencyTable, Measured
from experiments.placement.placed import Part, Placement, Resident
from tests.experiments.placement.profiles import problem

ASKED = problem(("a", 400, 40), ("b", 100, 80))
A8 = Part(50, 18.0, (Resident(0, 8),))
BOTH = Part(50, 36.0, (Resident(0, 8), Resident(1, 4)))


def test_on_a_gpu_they_have_shares() -> None:
    first, second, third = seats(Placement(((A8, BOTH),)), ASKED)
    assert [seat.name for seat in (first, second, third)] == ["a", "a-2", "b"]
    assert first.handler_settings("/turns") == {"thread_percentage": 50}
    assert second.handler_settings("/turns") == {"thread_percentage": 50, "turns": "/turns/gpu0-part1"}
    assert (first.weight, second.weight, third.weight) == (pytest.approx(2 / 3), pytest.approx(1 / 3), 1)


def test_on_a_cpu_they_have_cores_of_their_own() -> None:
    found = seats(Placement(((A8, BOTH),)), ASKED, cores=(0, 1, 2, 3))
    assert [seat.cores for seat in found] == [(0, 1), (2, 3), (2, 3)]
    assert found[0].handler_settings("/turns") == {"cores": [0, 1]}


def test_they_are_served_as_they_were_profiled() -> None:
    served = {"a": {"engine": "onnxruntime", "precision": "int8"}}
    table = LatencyTable([Measured(name, 50, 8, 10.0) for name in ("a", "b")], served)
    first, _, third = seats(Placement(((A8, BOTH),)), replace(ASKED, table=table))
    assert first.handler_settings("/turns") == {"thread_percentage": 50, **served["a"]}
    assert not {"engine", "precision"} & set(third.handler_settings("/turns"))


@pytest.mark.parametrize(
    ("placement", "cores", "told"),
    [
        (Placement(((A8,),)), (0, 1, 2), "50 % of 3 cores is 1.5: use shares of whole cores"),
        (Placement(((A8,),)), (0,), "is 0.5"),
        (Placement(((A8,), (A8,))), (0, 1), "is for 2 GPUs, and the CPU here stands for one"),
        (Placement(((Part(1, 9, (Resident(0, 1),), processes=2),),)), None, "can't be deployed from here"),
    ],
)
def test_what_can_not_be_served(placement: Placement, cores: tuple[int, ...] | None, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        seats(placement, ASKED, cores)


def test_names_that_torchserve_does_not_take() -> None:
    odd = problem(("my model", 10, 40), **{"my model": 1.0})
    with pytest.raises(UsageError, match="can't be a model's name under TorchServe"):
        seats(Placement(((A8,),)), odd)
