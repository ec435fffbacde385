"""What about equal figures are settled for: TorchServe with torch, unless another is worth the change."""

from experiments.plan import Cell, Plan
from experiments.verdict.advice import Rated
from experiments.verdict.stats import compare, median_of
from experiments.verdict.ties import Stack, is_tie, settled, stack_of, worth

AROUND = (0.98, 0.99, 1.0, 1.01, 1.02)
CONFIDENCE, NO_FLOOR = 0.95, 1.0


def rated(
    rps: float, server: str = "torchserve", engine: str | None = None, runs: int = 5, workers: int = 1
) -> Rated:
    """A configuration whose runs differ by 2 % to either side."""
    plan = Plan(workers=(workers,), batch_size=(1,), server=(server,), engine=(engine,), noise_floor=False)
    figures = tuple(rps * factor for factor in AROUND[:runs])
    (cell,) = plan.cells()
    return Rated(cell, figures, median_of(figures), torch_threads=1, on_gpu=False)


def settled_for(best: Rated, *rivals: Rated) -> Cell:
    return settled(best, rivals, CONFIDENCE, NO_FLOOR).cell


def test_a_stack_is_told_as_one_says_it() -> None:
    assert str(Stack("triton", "onnxruntime", "int8")) == "onnxruntime in int8 under Triton"
    assert str(Stack("torchserve", None, None)) == "the model under TorchServe"
    assert stack_of(rated(1.0, "triton", "openvino").cell) == Stack("triton", "openvino", None)


def test_torchserve_with_torch_is_nearest_then_torchserve_then_torch() -> None:
    stacks = [
        Stack("torchserve", None, None),
        Stack("torchserve", "torch", None),
        Stack("torchserve", "openvino", None),
        Stack("triton", "torch", None),
        Stack("triton", "openvino", None),
    ]
    assert stacks[0].rank == stacks[1].rank
    assert [stack.rank for stack in stacks] == sorted(stack.rank for stack in stacks)
    assert len({stack.rank for stack in stacks}) == 4


def test_of_those_that_tie_the_nearest_is_taken_and_of_these_the_fastest() -> None:
    triton, openvino = rated(101, "triton"), rated(100.5, engine="openvino")
    slow, fast = rated(100, workers=1), rated(100.2, workers=2)
    assert settled_for(triton, openvino, slow, fast) == fast.cell
    assert settled_for(triton, openvino) == openvino.cell
    assert settled_for(fast, triton, openvino) == fast.cell
    assert settled_for(fast, slow) == fast.cell
    assert settled_for(triton) == triton.cell


def test_what_is_shown_to_be_slower_does_not_tie() -> None:
    triton = rated(120, "triton")
    assert settled_for(triton, rated(100)) == triton.cell


def test_where_runs_are_too_few_less_than_5_percent_is_a_tie() -> None:
    def pair(percent_more: float, noise_floor: float = 1.0) -> bool:
        few = rated(100 + percent_more, runs=2).figures, rated(100, runs=2).figures
        return is_tie(compare(*few, noise_floor=noise_floor), noise_floor)

    assert pair(4.9)
    assert not pair(5.1)


def test_a_difference_within_the_noise_floor_is_a_tie() -> None:
    faster, slower = rated(120).figures, rated(100).figures
    assert not is_tie(compare(faster, slower), 1.0)
    assert is_tie(compare(faster, slower, noise_floor=1.25), 1.25)


def test_runs_that_are_all_the_same_tie() -> None:
    assert is_tie(compare([100.0] * 5, [100.0] * 5), 1.0)


def test_what_is_not_shown_is_no_tie_while_its_whole_interval_is_above_the_noise() -> None:
    """Three runs against three never show a difference, but they don't overlap."""
    faster, slower = rated(120, runs=3).figures, rated(100, runs=3).figures
    assert not is_tie(compare(faster, slower), 1.0)


def test_what_the_change_would_be_worth_is_said() -> None:
    triton, openvino = rated(102, "triton"), rated(99, engine="openvino")
    assert (
        worth(triton, rated(100), CONFIDENCE)
        == "the model under Triton reaches 2 % more, within noise: stay with TorchServe"
    )
    assert worth(openvino, rated(100), CONFIDENCE) == (
        "openvino under TorchServe reaches no more, within noise: stay with the model under TorchServe"
    )
    few = worth(rated(104.54, "litserve", runs=2), rated(100, runs=2), CONFIDENCE)
    assert (
        few == "the model under LitServe reaches 4.5 % more, not shown by so few runs: stay with TorchServe"
    )
    both = worth(rated(102, "triton", "openvino"), rated(100), CONFIDENCE)
    assert both.endswith("stay with the model under TorchServe")
    assert worth(rated(100, "triton"), rated(100), CONFIDENCE).startswith(
        "the model under Triton reaches no more"
    )
