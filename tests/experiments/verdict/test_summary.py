"""A cell's row: figures, ceilings, and what binds it."""

from dataclasses import replace

from experiments.plan import Plan
from experiments.results.ceilings import Ceiling, Ceilings
from experiments.results.counted import Counted
from experiments.results.load_from import LoadFrom
from experiments.results.trial_result import TrialResult
from experiments.verdict.summary import summarise
from tests.support.builders import results_of

PLAN = Plan(workers=(1,), batch_size=(8,), runs=3, noise_floor=False)


def counted(rows: float, handling: float, forward: float) -> Counted:
    """Batches of so many rows; `handling` of the time handled, `forward` of that in the model."""
    return Counted(400, 10.0, 5.0, rows, 1.0, 50 * forward, 50.0, handling)


def measured(tally: Counted | None) -> list[TrialResult]:
    return [
        replace(result, counted=tally, latency_ms={**result.latency_ms, "mean": 10.0})
        for result in results_of(PLAN)
    ]


def binds(tally: Counted | None) -> str:
    return str(summarise(PLAN, measured(tally), None, cores=2)["binds"][0])


def test_the_largest_share_binds() -> None:
    assert binds(counted(rows=8, handling=0.95, forward=0.95)) == "model, compute"
    assert binds(counted(rows=8, handling=0.95, forward=0.3)) == "preprocessing"
    assert binds(counted(rows=8, handling=0.3, forward=0.95)) == "frontend"
    assert binds(counted(rows=3, handling=0.95, forward=0.95)) == "batch not filled"


def test_the_network_to_another_node_is_told_and_no_part_of_the_server() -> None:
    slow = [
        replace(each, latency_ms={**each.latency_ms, "mean": 30.0})
        for each in measured(counted(rows=3, handling=0.95, forward=0.95))
    ]
    afar = [replace(each, load_from=LoadFrom("b", "10.0.0.1", 20.0, 1.0, 0.25, 0.0)) for each in slow]
    assert summarise(PLAN, slow, cores=2)["binds"][0] == "frontend"
    row = summarise(PLAN, afar, cores=2)
    assert (row["binds"][0], row.network_ms[0], row.load_generator_cpu_cores[0]) == (
        "batch not filled",
        20.0,
        0.25,
    )
    assert "network_ms" not in summarise(PLAN, slow, cores=2)


def test_without_a_tally_nothing_is_said() -> None:
    assert binds(None) == ""
    assert summarise(PLAN, [], None, cores=2)["binds_because"][0] == ""


def test_ceilings_stand_beside_the_figures_and_in_the_reasons() -> None:
    tally = counted(rows=8, handling=0.95, forward=0.95)
    row = Ceiling(False, None, None, 1, 8, 2, bare_rps=200.0, bare_batch_ms=40.0, empty_rps=5000.0)
    summary = summarise(PLAN, measured(tally), Ceilings(None, None, (row,)), cores=2)
    assert summary.served_over_bare[0] == 102 / 200  # runs of 101, 102 and 103 requests/s
    assert "a batch takes 1.19 x the bare model's time" in summary.binds_because[0]


def test_more_than_a_ceiling_allows_is_no_finding_but_unknown() -> None:
    row = Ceiling(False, None, None, 1, 8, 2, bare_rps=46.0, bare_batch_ms=40.0, empty_rps=5000.0)
    summary = summarise(PLAN, measured(None), Ceilings(None, None, (row,)), cores=2)
    assert summary.bare_rps[0] == 46.0
    assert summary.served_over_bare.isna()[0]  # 102 requests/s were served


def test_the_multiprocessors_of_a_cell_are_the_fewest_that_a_worker_sees() -> None:
    told = [replace(result, multiprocessors=[132, 66]) for result in results_of(PLAN)]
    assert summarise(PLAN, told).multiprocessors.tolist() == [66]
    assert summarise(PLAN, results_of(PLAN)).multiprocessors.isna().all()
