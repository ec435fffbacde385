"""The checker finds each way in which a placement can be wrong."""

from dataclasses import replace

import pytest

from experiments.placement.card import Shares
from experiments.placement.checker import violations
from experiments.placement.demand import Workload
from experiments.placement.interference import Linear, Use
from experiments.placement.latencies import LatencyTable, Measured
from experiments.placement.placed import Part, Placement, Resident
from experiments.placement.problem import Memory, Problem, Rules
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


# To the last request, byte and millisecond


def alone(*residents: Resident, size: int = 100, duty_ms: float = 40.0, processes: int = 1) -> Placement:
    return Placement(((Part(size, duty_ms, residents, processes),),))


def test_what_just_fits_breaks_nothing() -> None:
    rate_rps = 1000 * 8 / 18
    asked = problem(("a", rate_rps, 36), ("b", rate_rps / 2, 36))
    memory = Memory(10_000, process_bytes=2_000, model_bytes={"a": 3_000, "b": 3_000})
    full = replace(asked, rules=Rules(memory=memory, models_per_part=1))
    assert violations(Placement(((A8, B4),)), full, gpus=1) == []
    more = problem(("a", rate_rps * 1.001, 36), ("b", rate_rps / 2, 36))
    assert violations(Placement(((A8, B4),)), more) == ["a: 444.444 of 444.889 requests/s are served"]
    shorter = problem(("a", rate_rps, 35.9), ("b", rate_rps / 2, 36))
    assert violations(Placement(((A8, B4),)), shorter) == [
        "GPU 0, part 0 of 50: a may wait 36 ms, its bound is 35.9 ms"
    ]


@pytest.mark.parametrize(("batch", "told"), [(0, 1), (1, 0), (32, 0), (33, 1)])
def test_a_batch_has_at_least_one_request_and_at_most_as_many_as_were_measured(batch: int, told: int) -> None:
    asked = problem(("a", 1, 1000))
    found = violations(alone(Resident(0, batch)), asked)
    assert sum("its batches take inf ms" in wrong for wrong in found) == told


def test_as_many_models_share_a_part_as_the_rules_allow() -> None:
    asked = problem(("a", 10, 500), ("b", 10, 500))
    both = alone(Resident(0, 1), Resident(1, 1))
    assert violations(both, replace(asked, rules=Rules(models_per_part=2))) == []
    told = violations(both, replace(asked, rules=Rules(models_per_part=1)))
    assert told == ["GPU 0, part 0 of 100: 2 models share it, 1 may"]


def test_processes_that_share_a_part_are_of_one_model_and_each_has_its_memory() -> None:
    points = [Measured(model, 100, 1, 10.0, processes) for model in "ab" for processes in (1, 2)]
    workloads = tuple(Workload(model, model, 10, 500) for model in "ab")
    memory = Memory(10_000, process_bytes=2_000, model_bytes={"a": 3_000})  # of b nothing is known
    rules = Rules(card=Shares((100,), processes=(1, 2)), memory=memory)
    asked = Problem(workloads[:1], LatencyTable(points), rules)
    assert violations(alone(Resident(0, 1), processes=2), asked) == []
    smaller = replace(asked, rules=replace(rules, memory=replace(memory, gpu_bytes=9_999)))
    assert violations(alone(Resident(0, 1), processes=2), smaller) == [
        "GPU 0: its models take 1e-05 GB of memory, it has 1e-05"
    ]
    two = Problem(workloads, LatencyTable(points), replace(rules, memory=replace(memory, gpu_bytes=14_000)))
    assert violations(alone(Resident(0, 1), Resident(1, 1), processes=2), two)[0].endswith(
        "2 processes of 2 models can't share it"
    )
    exactly = replace(two, rules=replace(two.rules, memory=replace(memory, gpu_bytes=5_000)))
    assert violations(alone(Resident(0, 1), Resident(1, 1)), exactly) == []
    less = replace(two, rules=replace(two.rules, memory=replace(memory, gpu_bytes=4_999)))
    assert len(violations(alone(Resident(0, 1), Resident(1, 1)), less)) == 1


def test_memory_is_told_in_gb() -> None:
    memory = Memory(4 * 10**9, model_bytes={"a": 6 * 10**9})
    asked = replace(problem(("a", 10, 500)), rules=Rules(memory=memory))
    assert violations(alone(Resident(0, 1)), asked) == ["GPU 0: its models take 6 GB of memory, it has 4"]


def test_alone_on_a_gpu_nobody_is_felt() -> None:
    """The model's constant is for pairs: it may be above 1 even beside a neighbour that does nothing."""
    felt = Linear(0, 0, 0, 0, 1.5)
    asked = replace(problem(("a", 1, 1000)), rules=Rules(interference=felt))
    assert violations(alone(Resident(0, 8), duty_ms=9.0), asked) == []
    beside = Placement(((Part(50, 18.0, (Resident(0, 8),)), Part(50, 18.0, ())),))
    assert "GPU 0, part 0 of 50: its batches take 27 ms, its cycle 18 ms" in violations(beside, asked)


def test_of_neighbours_that_take_turns_the_one_that_presses_most_is_felt() -> None:
    uses = {"a": Use((1, 32), (0.5, 0.5), (0.0, 0.0)), "b": Use((1, 32), (1.0, 1.0), (0.0, 0.0))}
    rules = Rules(interference=Linear(0, 0.4, 0, 0, 1.0, uses))
    asked = replace(problem(("a", 1, 1000), ("b", 1, 1000)), rules=rules)
    turns = Part(50, 100.0, (Resident(0, 1), Resident(1, 1)))
    felt = violations(Placement(((Part(50, 18.0, (Resident(0, 8),)), turns),)), asked)
    assert felt == ["GPU 0, part 0 of 50: its batches take 21.6 ms, its cycle 18 ms"]  # 0.4 x half of b's 1.0


def test_capacities_of_all_parts_and_processes_add_up() -> None:
    placement = Placement(
        ((Part(50, 20.0, (Resident(0, 4), Resident(1, 2))),), (Part(100, 10.0, (Resident(0, 3),), 2),))
    )
    assert placement.capacity_rps(0) == 1000 * 4 / 20 + 1000 * 3 * 2 / 10
    assert placement.capacity_rps(1) == 1000 * 2 / 20
    assert [number for number, _ in placement.parts()] == [0, 1]
