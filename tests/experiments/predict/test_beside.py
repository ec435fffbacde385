"""A prediction beside a recorded sweep, its files, and how it is told."""

import json
from dataclasses import replace
from pathlib import Path
from statistics import median

import pandas as pd
import pytest
from rich.console import Console

from benchmarks.prediction import errors_of, judged
from experiments.base.errors import UsageError
from experiments.plan import Cell, Plan, goal_from
from experiments.predict import Predicted, predictor
from experiments.predict.beside import Beside, beside, spread
from experiments.predict.best import best
from experiments.predict.files import write_prediction
from experiments.predict.shown import best_told, grid_table
from experiments.results import read
from tests.experiments.predict.builders import some_costs
from tests.support.report_folders import WITHOUT_GPU, a_folder, rps

PLAN = Plan(workers=(1, 2), batch_size=(1, 8), runs=3)


def a_grid(plan: Plan = PLAN) -> dict[Cell, Predicted]:
    predict = predictor(some_costs(), plan)
    return {cell: predict(cell) for cell in plan.cells()}


def printed(plan: Plan) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(grid_table(plan, a_grid(plan)))
    return capture.get()


def test_each_cell_with_runs_beside_what_its_ceilings_predict(tmp_path: Path) -> None:
    found = beside(read(a_folder(tmp_path / "run", PLAN, environment=WITHOUT_GPU, ceilings=True)))
    assert [each.cell for each in found] == PLAN.cells()
    measured = sorted(rps(trial) for trial in PLAN.trials() if trial.cell == found[0].cell)
    assert found[0].throughput_rps == pytest.approx(measured[1])
    assert all(each.throughput_ratio == each.throughput_rps / each.predicted.throughput_rps for each in found)
    assert all(each.far_off for each in found)  # that bare model reaches twice as much


def test_without_ceilings_there_is_nothing_beside(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "run", PLAN, environment=WITHOUT_GPU)
    assert beside(read(folder)) == []
    with pytest.raises(UsageError, match="holds no ceilings"):
        judged(folder, None)


def test_the_ceilings_of_another_folder_predict_too(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "run", PLAN, environment=WITHOUT_GPU)
    other = a_folder(tmp_path / "other", PLAN, environment=WITHOUT_GPU, ceilings=True)
    told = errors_of(judged(folder, other)).told()
    assert told["cells"] == len(PLAN.cells())


def test_errors_have_their_median_their_ninth_tenth_and_their_worst() -> None:
    assert spread([0.1, 0.2, 0.3]) == pytest.approx((0.2, 0.28, 0.3))
    assert [value != value for value in spread([])] == [True] * 3


@pytest.mark.thorough
def test_the_table_has_a_line_a_cell_and_columns_for_what_varies() -> None:
    assert len([line for line in printed(PLAN).splitlines() if line.strip()[:1].isdigit()]) == 4
    assert "delay" not in printed(PLAN)
    assert "delay ms" in printed(Plan(batch_delay_ms=(1, 50)))
    assert "in flight" in printed(Plan(concurrency=(1, 64)))


def test_the_best_is_told_with_what_may_be_as_good() -> None:
    told = list(best_told(best(a_grid(), goal_from("throughput")), "throughput"))
    assert told[0].startswith("Predicted best for 'throughput': bert, 2 workers, batch size 8")
    assert "can't tell it from" not in told[0]


def test_the_files_hold_every_cell_but_the_twin(tmp_path: Path) -> None:
    write_prediction(tmp_path, a_grid(), goal="throughput", source="a test")
    table = pd.read_csv(tmp_path / "prediction.csv")
    content = json.loads((tmp_path / "prediction.json").read_text())
    assert len(table) == len(content["cells"]) == 4
    assert content["from"] == "a test"
    assert (table["throughput_rps_low"] < table["throughput_rps"]).all()
    assert {"workers", "batch_size", "p99_ms", "filled_batch", "log_sd"} <= set(table.columns)


def a_cell_beside(measured_rps: float, p99_ms: float, log_sd: float = 0.1) -> Beside:
    predicted = Predicted(100.0, 10.0, 15.0, 20.0, 1.0, log_sd)
    return Beside(PLAN.cells()[0], predicted, measured_rps, p99_ms)


def test_ratios_are_of_what_was_measured_and_errors_shares_of_it() -> None:
    found = a_cell_beside(80.0, 25.0)
    assert (found.throughput_ratio, found.p99_ratio) == (0.8, 1.25)
    assert (found.throughput_error, found.p99_error) == pytest.approx((0.25, 0.2))


@pytest.mark.parametrize(("measured_rps", "far_off"), [(121, False), (123, True), (83, False), (81, True)])
def test_two_of_its_own_standard_deviations_are_far_off(measured_rps: float, far_off: bool) -> None:
    assert a_cell_beside(measured_rps, 20.0).far_off == far_off


def test_just_as_far_as_two_standard_deviations_is_not_far_off() -> None:
    assert not a_cell_beside(100.0, 20.0, log_sd=0.0).far_off


def test_medians_of_the_runs_beside_a_prediction_that_is_given(tmp_path: Path) -> None:
    results = read(a_folder(tmp_path / "run", PLAN, environment=WITHOUT_GPU))
    given = a_grid()
    found = beside(results, given.__getitem__)
    assert [each.predicted for each in found] == list(given.values())
    runs = [run for run in results.trials if run.trial.cell == found[1].cell]
    assert found[1].p99_ms == median(run.latency_ms["p99"] for run in runs)
    few = replace(results, trials=tuple(runs))
    assert [each.cell for each in beside(few, given.__getitem__)] == [found[1].cell]
