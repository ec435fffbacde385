"""The checker finds each way in which a placement can be wrong."""

from dataclasses import replace

import pytest

from experiments.placement.checker import violations
from experiments.placement.interference import Linear, Use
from experiments.placement.placed import Part, Placement, Resident
from experiments.placement.problem import Memory, Rules
from tests.experiments.placement.profiles import problem

# On half a GPU a batch of 8 of a takes 18 ms, one of 4 of b as well.
A8 = Part(50, 18.0, (Resident(0, 8),))
B4 = Part(50, 18.0, (Resident(1, 4),))
ASKED = problem(("a", 400, 40), ("b", 200, 40))


def test_a_good_one_breaks_nothing() -> None:
    assert violations(Placement(((A8, B4),)), ASKED, gpus=1) == []


@pytest.mark.parametrize(
    ("placement", "told"),
    [
        (Placement(((A8,), (B4,))), "2 GPUs are in use, 1 are there"),
        (Placement(((A8, B4, A8),)), "GPU 0: parts of 50, 50, 50 don't fit on it"),
        (Placement(((A8, replace(B4, duty_ms=17)),)), "its batches take 18 ms, its cycle 17 ms"),
        (Placement(((A8, replace(B4, duty_ms=23)),)), "b may wait 41 ms, its bound is 40 ms"),
        (Placement(((A8, A8),)), "b: 0 of 200 requests/s are served"),
        (Placement(((A8, replace(B4, residents=())),)), "part 1 of 50: nobody is on it"),
        (Placement(((A8, replace(B4, residents=(Resident(1, 4),) * 2)),)), "one workload is on it twice"),
        (Placement(((A8, replace(B4, processes=2)),)), "2 processes of 1 models can't share it"),
        (Placement(((A8, replace(B4, residents=(Resident(1, 33),))),)), "its batches take inf ms"),
        (Placement(((A8, replace(B4, size=45)),)), "its batches take inf ms"),
    ],
)
def test_what_is_wrong_is_found(placement: Placement, told: str) -> None:
    assert any(told in wrong for wrong in violations(placement, ASKED, gpus=1))


def test_in_turns_a_cycle_and_all_batches_fit_or_only_the_own() -> None:
    together = Placement(((Part(100, 12.0, (Resident(0, 5), Resident(1, 2))),),))  # 6 and 5 ms
    asked = problem(("a", 400, 22), ("b", 160, 22))
    assert violations(together, asked) == [
        "GPU 0, part 0 of 100: a may wait 23 ms, its bound is 22 ms",
        "GPU 0, part 0 of 100: b may wait 23 ms, its bound is 22 ms",
    ]
    assert violations(together, replace(asked, rules=Rules(late_binding=True))) == []


def test_neighbours_are_felt() -> None:
    use = Use((1, 32), (1.0, 1.0), (0.0, 0.0))
    felt = Linear(0, 0.2, 0, 0, 1.0, {"b": use})  # half of b's tenth falls on a
    told = violations(Placement(((A8, B4),)), replace(ASKED, rules=Rules(interference=felt)))
    assert told == ["GPU 0, part 0 of 50: its batches take 19.8 ms, its cycle 18 ms"]


def test_memory_is_counted_by_process() -> None:
    memory = Memory(10_000, process_bytes=2_000, model_bytes={"a": 3_000, "b": 3_001})
    told = violations(Placement(((A8, B4),)), replace(ASKED, rules=Rules(memory=memory)))
    assert told == ["GPU 0: its models take 1e-05 GB of memory, it has 1e-05"]
