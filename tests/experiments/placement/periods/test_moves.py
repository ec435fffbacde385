"""What has to be made from one placement to the next, and who serves meanwhile."""

from dataclasses import replace

from benchmarks.parts import sharing
from experiments.placement.periods.moves import Step, matched, meanwhile, step, used
from experiments.placement.placed import Part, Placement, Resident
from experiments.placement.problem import Memory
from tests.experiments.placement.profiles import problem

DEMAND = problem(("a", 10, 100), ("b", 10, 200))


def part(size: int, **batches: int) -> Part:
    """A part of a, b, or both, on a cycle of 20 ms."""
    return Part(size, 20.0, tuple(Resident("ab".index(name), batch) for name, batch in batches.items()))


def placement(*gpus: tuple[Part, ...]) -> Placement:
    return Placement(gpus)


def test_a_part_of_another_size_gpu_or_more_models_is_a_move() -> None:
    old = placement((part(50, a=4), part(50, b=2)))
    assert step(old, old) == Step(0, 0)
    assert step(old, placement((part(50, b=2), part(50, a=4)))) == Step(0, 0)
    assert step(old, placement((part(40, a=4), part(50, b=2)))) == Step(1, 0)
    assert step(old, placement((part(50, a=4),), (part(50, b=2),))) == Step(1, 0)
    assert step(old, placement((part(50, a=4, b=2),))) == Step(1, 0)
    assert step(placement(), old) == Step(2, 0)


def test_other_batches_or_a_model_less_are_no_move() -> None:
    old = placement((part(50, a=4, b=2), part(50, a=4)))
    assert step(old, placement((part(50, a=4, b=3), part(50, a=4)))) == Step(0, 1)
    assert step(old, placement((part(50, b=2), part(50, a=4)))) == Step(0, 0)
    assert step(old, placement((part(50, a=4), part(50, b=2)))) == Step(0, 0)
    assert step(old, placement()) == Step(0, 0)


def test_gpus_are_put_where_they_were() -> None:
    old = placement((part(100, a=8),), (), (part(60, b=2), part(40, a=1)))
    new = placement((part(40, a=2), part(60, b=2)), (part(100, b=8),), (part(100, a=8),))
    there = matched(old, new, 4)
    assert there == placement((part(100, a=8),), (part(100, b=8),), (part(40, a=2), part(60, b=2)))
    assert step(old, there) == Step(1, 1)
    assert used(there) == 3


class TestMeanwhile:
    old = placement((part(50, a=4), part(50, b=2)))
    new = placement((part(50, a=8), part(40, b=2)), (part(100, b=8),))

    def test_under_mps_the_old_serve_on_as_they_were(self) -> None:
        assert meanwhile(DEMAND, self.old, self.new) == self.old

    def test_where_memory_does_not_hold_both_what_leaves_ends(self) -> None:
        memory = Memory(gpu_bytes=2, process_bytes=1)
        tight = replace(DEMAND, rules=replace(DEMAND.rules, memory=memory))
        assert meanwhile(tight, self.old, self.new) == placement((part(50, a=4),))

    def test_a_mig_instance_has_to_go_first(self) -> None:
        demand = sharing.parvagpu_problem("S1")
        old, new = placement((part(3, a=4), part(2, b=2))), placement((part(3, a=4), part(4, b=2)))
        assert meanwhile(demand, old, new) == placement((part(3, a=4),))
        assert meanwhile(demand, old, placement((part(3, a=4), part(1, b=1)))) == old
