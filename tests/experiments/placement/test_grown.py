"""Room that is left on a GPU goes to the parts on it."""

from dataclasses import replace

from experiments.placement.checker import violations
from experiments.placement.demand import Workload
from experiments.placement.grown import grown
from experiments.placement.interference import Linear, Use
from experiments.placement.latencies import LatencyTable, Measured
from experiments.placement.placed import Part, Placement, Resident
from experiments.placement.problem import Problem, Rules

TABLE = LatencyTable(
    Measured("net", size, batch, batch * 200 / size) for size in (20, 40, 50, 60, 80, 100) for batch in (1, 8)
)
PROBLEM = Problem((Workload("a", "net", 30.0, 400.0), Workload("b", "net", 30.0, 400.0)), TABLE)


def part(size: int, workload: int, batch: int = 4, reserve: float = 1.0) -> Part:
    return Part(size, reserve * batch * 200 / size, (Resident(workload, batch),))


def test_two_small_parts_share_the_whole_gpu() -> None:
    after = grown(PROBLEM, Placement(((part(20, 0), part(40, 1)),)))
    assert after == Placement(((part(40, 0), part(60, 1)),))
    assert not violations(after, PROBLEM)


def test_one_alone_has_all_of_it_and_keeps_its_reserve() -> None:
    after = grown(PROBLEM, Placement(((part(50, 0, reserve=2.0),), (part(50, 1), part(50, 0)))))
    assert after.gpus[0] == (part(100, 0, reserve=2.0),)
    assert after.gpus[1] == (part(50, 1), part(50, 0))


def test_a_full_gpu_stays_as_it_is() -> None:
    full = Placement(((part(40, 0), part(60, 1)),))
    assert grown(PROBLEM, full) is full


def test_what_does_not_fit_on_a_gpu_is_left_as_it_is_to_the_checker() -> None:
    over = Placement(((part(50, 0), part(60, 1)),))
    assert grown(PROBLEM, over) is over


def test_one_may_stay_as_it_is_while_another_grows() -> None:
    after = grown(PROBLEM, Placement(((part(60, 0), part(20, 1)),)))
    assert after == Placement(((part(60, 0), part(40, 1)),))
    both = grown(PROBLEM, Placement(((part(20, 0), part(20, 1)),)))
    assert both == Placement(((part(50, 0), part(50, 1)),))


def test_where_larger_neighbours_would_press_too_hard_nothing_grows() -> None:
    uses = {"net": Use((1, 8), (1.0, 1.0), (0.0, 0.0))}
    asked = (replace(PROBLEM.workloads[0], rate_rps=10.0), PROBLEM.workloads[1])
    pressing = Problem(asked, TABLE, Rules(interference=Linear(0, 10.0, 0, 0, 1.0, uses)))
    # On 40 % beside 20 % a batch takes 20 x (1 + 2) ms, on 60 % beside 40 % it would take 13.3 x (1 + 4).
    tight = Placement(((part(20, 0, reserve=5.0), part(40, 1, reserve=3.0)),))
    assert not violations(tight, pressing)
    assert grown(pressing, tight) is tight
