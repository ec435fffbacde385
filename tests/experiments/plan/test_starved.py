"""Plans in which batches are so large that workers have nothing to do."""

import pytest

from experiments.plan import Plan
from experiments.plan.starved import starved


def test_a_batch_that_takes_all_that_is_in_flight_is_told_with_the_remedy() -> None:
    """As measured: ResNet50, 2 cores, 8 requests in flight: 23.6/s, where one worker alone has 22.8."""
    told = starved(Plan(model="resnet50", workers=(1, 2), batch_size=(1, 64), concurrency=(8,)))
    assert told == (
        "1 of 4 cells leave workers idle, as one batch takes what is in flight: in resnet50, 2 workers, "
        "batch size 64, 8 in flight, 1 of 2 works at a time; "
        "batch sizes up to 4, or more --concurrency, use more"
    )


@pytest.mark.parametrize(
    "plan",
    [
        Plan(workers=(1, 2, 4), batch_size=(1, 8)),  # a full queue has enough for all
        Plan(workers=(2,), batch_size=(4,), concurrency=(8,)),
        Plan(workers=(4,), batch_size=(8,), concurrency=(1,)),  # no batch size has two workers at work
        Plan(workers=(2,), batch_size=(64,), rate_rps=(10.0,)),  # requests come one by one
        Plan(workers=(2,), batch_size=(64,), slo="p99=100ms", concurrency=(8,)),
        Plan(workers=(2,), batch_size=(64,), concurrency=(8,), server=("litserve",)),
    ],
)
def test_others_are_not_told(plan: Plan) -> None:
    assert starved(plan) is None
