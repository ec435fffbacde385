"""From what is asked to the ordered list of trials."""

from collections import Counter
from itertools import groupby, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.base.errors import UsageError
from experiments.base.paths import ROOT
from experiments.plan import Plan, estimated_s, plan_from, settings_in

plans = st.builds(
    Plan,
    workers=st.lists(st.integers(1, 8), min_size=1, max_size=4).map(tuple),
    batch_size=st.lists(st.integers(1, 64), min_size=1, max_size=4).map(tuple),
    runs=st.integers(1, 5),
    seed=st.integers(0, 2**31),
    interleave=st.booleans(),
    noise_floor=st.booleans(),
    with_mps=st.booleans(),
)


@given(plans)
def test_every_cell_is_measured_as_often_as_asked(plan: Plan) -> None:
    counted = Counter(trial.cell for trial in plan.trials())
    assert counted == dict.fromkeys(plan.cells(), plan.runs)
    assert len({(trial.cell, trial.run) for trial in plan.trials()}) == len(plan.trials())


@given(plans)
def test_the_order_depends_on_the_plan_alone(plan: Plan) -> None:
    assert plan.trials() == plan.trials()
    assert [trial.position for trial in plan.trials()] == list(range(len(plan.trials())))


@given(plans)
def test_without_interleaving_a_cell_is_loaded_twice_and_a_worker_count_served_twice(plan: Plan) -> None:
    plan = plan_from({"workers": list(plan.workers), "batch_size": list(plan.batch_size), "seed": plan.seed})
    order = [trial.cell for trial in plan.trials()]
    for runs in ((1, 2, 3), (4, 5)):
        one_pass = [trial.cell for trial in plan.trials() if trial.run in runs]
        assert order[: len(one_pass)] == one_pass
        assert _changes(one_pass) == len(plan.cells()) - 1
        assert _changes([cell.workers for cell in one_pass]) == len(set(plan.workers)) - 1
        order = order[len(one_pass) :]


def test_the_first_cell_has_a_twin_that_tells_the_noise() -> None:
    plan = Plan(workers=(1, 2), batch_size=(4, 8))
    *cells, twin = plan.cells()
    assert [cell.twin for cell in cells] == [False] * 4
    assert (twin.workers, twin.batch_size, twin.twin) == (1, 4, True)
    assert str(twin).endswith("once more")
    assert plan.load_of(twin) == plan.load_of(cells[0])


@given(plans)
def test_interleaved_each_round_holds_every_cell(plan: Plan) -> None:
    plan = Plan(workers=plan.workers, interleave=True, runs=plan.runs)
    size = len(plan.cells())
    for run in range(plan.runs):
        round_ = plan.trials()[run * size : (run + 1) * size]
        assert {trial.cell for trial in round_} == set(plan.cells())
        assert {trial.run for trial in round_} == {run + 1}


def test_with_mps_every_cell_is_measured_without_and_with_it_and_drift_falls_on_both() -> None:
    plan = Plan(workers=(2,), batch_size=(1, 8), with_mps=True, noise_floor=False, runs=5)
    assert [(cell.batch_size, cell.mps) for cell in plan.cells()] == [
        (1, False),
        (1, True),
        (8, False),
        (8, True),
    ]
    blocks = [
        (mps, len(list(trials))) for mps, trials in groupby(plan.trials(), lambda trial: trial.cell.mps)
    ]
    assert blocks == [(False, 6), (True, 10), (False, 4)]  # runs 1-3, 1-5, 4-5 of two cells


def test_interleaved_with_mps_the_arms_alternate_off_on_on_off() -> None:
    plan = Plan(workers=(2,), batch_size=(8,), with_mps=True, interleave=True, noise_floor=False, runs=4)
    assert [trial.cell.mps for trial in plan.trials()] == [False, True, True, False] * 2


def test_thread_percentages_are_measured_with_mps_only() -> None:
    plan = Plan(workers=(2,), batch_size=(8,), with_mps=True, thread_percentage=(50, 100), noise_floor=False)
    assert [(cell.mps, cell.thread_percentage) for cell in plan.cells()] == [
        (False, None),
        (True, 50),
        (True, 100),
    ]


def test_partitions_stand_beside_percentages_and_both_have_each_memory_limit() -> None:
    plan = plan_from(
        {
            "workers": 2,
            "batch_size": 8,
            "with_mps": True,
            "thread_percentage": 50,
            "sm_chunks": [1, 4],
            "memory_limit_mib": [2048, 4096],
            "noise_floor": False,
        }
    )
    cells = plan.cells()
    assert [cell.limits for cell in cells] == [
        [],
        ["50 %", "2048 MiB"],
        ["50 %", "4096 MiB"],
        ["1 chunk", "2048 MiB"],
        ["1 chunk", "4096 MiB"],
        ["4 chunks", "2048 MiB"],
        ["4 chunks", "4096 MiB"],
    ]
    assert len({cell.started_with for cell in cells}) == 7
    assert {cell.without_mps for cell in cells} == {cells[0]}
    assert str(cells[-1]) == "bert, 2 workers, batch size 8, MPS at 4 chunks and 4096 MiB"


def test_another_seed_gives_another_order() -> None:
    grid = {"workers": [1, 2, 4], "batch_size": [1, 2, 4, 8]}
    orders = [[trial.cell for trial in plan_from(grid | {"seed": seed}).trials()] for seed in (1, 2)]
    assert orders[0] != orders[1]
    assert set(orders[0]) == set(orders[1])


def test_by_default_two_batches_are_in_flight_for_every_worker() -> None:
    plan = Plan(workers=(4,), batch_size=(8,))
    assert plan.trials()[0].load.connections == 64
    assert Plan(workers=(4,), concurrency=(600,)).trials()[0].load.connections == 600


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"batch_size": [0]}, "--batch-size must be 1 or more, not 0"),
        ({"workers": []}, "workers"),
        ({"workers": [1.5]}, "whole numbers"),
        ({"workers": "many"}, "whole numbers"),
        ({"runs": True}, "a whole number"),
        ({"batch_delay_ms": 0}, "--batch-delay must be 1 or more"),
        ({"duration_s": -1}, "--duration must be above 0"),
        ({"duration_s": "long"}, "number of seconds"),
        ({"requests": 10, "duration_s": 5}, "either --requests or --duration"),
        ({"batchsize": 4}, "unknown plan key 'batchsize'"),
        ({"interleave": "yes"}, "true or false"),
        ({"model": 5}, "must be text"),
        ({"with_mps": 1}, "true or false"),
        ({"thread_percentage": [50]}, "give --with-mps too"),
        ({"memory_limit_mib": 2048}, "--memory-limit is a setting of MPS: give --with-mps too"),
        ({"sm_chunks": 4}, "--sm-chunks is a setting of MPS: give --with-mps too"),
        ({"with_mps": True, "memory_limit_mib": [0]}, "--memory-limit must be 1 or more, not 0"),
        ({"with_mps": True, "sm_chunks": [4, -1]}, "--sm-chunks must be 1 or more, not -1"),
        ({"rate_rps": [50, 0]}, "--rate must be above 0"),
        ({"rate_rps": "fast"}, "numbers of requests/s"),
        ({"rate_rps": 50, "requests": 100}, "give --duration"),
        ({"arrivals": "bursts"}, "poisson or constant"),
        ({"slo": "p99"}, "no latency bound"),
        ({"slo": "p99=1s", "rate_rps": 50}, "drop --rate"),
        ({"slo": "p99=1s", "until_sure": True}, "drop --until-sure"),
        ({"slo": "p99=1s", "search": True}, "drop --search"),
        ({"search": True, "until_sure": True}, "drop --until-sure"),
        ({"client_batch": 0}, "--client-batch must be 1 or more"),
        ({"client_batch": 5, "input": "texts/"}, "give one of them"),
        ({"precision": ["fp32", "fp8"]}, "--precision must be one of"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_with_the_reason(values: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        plan_from(values)


def test_a_number_stands_for_a_list_of_one_and_requests_replace_the_duration() -> None:
    plan = plan_from({"workers": 2, "requests": 10_000})
    assert plan.workers == (2,)
    assert plan.duration_s is None


def _changes(items: list[object]) -> int:
    return sum(a != b for a, b in pairwise(items))


def test_the_gpu_campaign_fits_into_25_minutes_in_pieces_of_less_than_9() -> None:
    files = sorted((ROOT / "plans" / "gpu").glob("*.yaml"))
    pieces_s = [estimated_s(plan_from(settings_in(file)).trials()) for file in files]
    assert max(pieces_s) < 9 * 60
    assert sum(pieces_s) < 25 * 60


@pytest.mark.parametrize("file", sorted((ROOT / "plans").glob("*.yaml")), ids=lambda file: file.stem)
def test_the_plans_that_come_along_are_plans(file: Path) -> None:
    assert plan_from(settings_in(file)).cells()


def test_loads_precisions_and_delays_are_axes_like_workers_and_batch_sizes() -> None:
    plan = plan_from(
        {
            "workers": 2,
            "batch_size": 8,
            "rate_rps": [50, 100.5],
            "client_batch": [1, 5],
            "precision": ["fp32", "bf16"],
            "batch_delay_ms": [10, 50],
            "noise_floor": False,
        }
    )
    told = {str(cell) for cell in plan.cells()}
    assert len(told) == len(plan.cells()) == 16
    assert "bert, 2 workers, batch size 8, fp32, sent 50 requests/s" in told
    assert (
        "bert, 2 workers, batch size 8, bf16, batch delay 50 ms, 5 inputs a request, sent 100.5 requests/s"
        in told
    )


def test_loads_of_one_configuration_follow_each_other_so_that_the_model_is_loaded_once_for_all() -> None:
    plan = Plan(workers=(1, 2), batch_size=(1, 8), concurrency=(1, 8, 64), precision=("fp32", "bf16"))
    for half in (range(1, 4), range(4, 6)):
        order = [trial.cell for trial in plan.trials() if trial.run in half]
        assert _changes([(cell.started_with, cell.registration) for cell in order]) == 8 - 1
        assert _changes([cell.started_with for cell in order]) == 4 - 1


def test_an_open_loop_has_as_many_requests_in_flight_as_it_takes() -> None:
    (cell,) = Plan(workers=(1,), batch_size=(1,), rate_rps=(50.0,), noise_floor=False).cells()
    assert Plan(rate_rps=(50.0,), processes=2).load_of(cell).connections == 512
    assert Plan(rate_rps=(50.0,), concurrency=(64,)).cells()[0].special()[-1] == "64 in flight at most"


def test_a_search_for_a_rate_is_sure_by_itself_so_one_is_enough() -> None:
    plan = plan_from({"slo": "p99=100ms"})
    assert (plan.runs, plan.duration_s) == (1, 30.0)
    assert plan_from({"slo": "p99=100ms", "runs": 3, "duration_s": 10}).runs == 3
    assert plan.trials()[0].load.slo == "p99=100ms"


def test_plans_of_earlier_versions_with_single_values_are_read() -> None:
    plan = plan_from({"concurrency": None, "precision": None, "batch_delay_ms": 10})
    assert plan == Plan()
    assert plan_from({"concurrency": 64, "precision": "fp16"}) == Plan(concurrency=(64,), precision=("fp16",))


PLANS = [file for file in sorted((ROOT / "plans").rglob("*.yaml")) if file.parent.name != "together"]


@pytest.mark.parametrize("file", PLANS, ids=lambda file: file.stem)
def test_every_plan_that_comes_with_the_project_makes_sense(file: Path) -> None:
    assert plan_from(settings_in(file)).trials()
