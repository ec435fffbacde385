"""Room that is left on a GPU goes to the parts on it."""

from experiments.placement.checker import violations
from experiments.placement.demand import Workload
from experiments.placement.grown import grown
from experiments.placement.latencies import LatencyTable, Measured
from experiments.placement.placed import Part, Placement, Resident
from experiments.placement.problem import Problem

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
