"""A prediction beside a recorded sweep, its files, and how it is told."""

import json
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from benchmarks.prediction import errors_of, judged
from experiments.base.errors import UsageError
from experiments.plan import Cell, Plan, goal_from
from experiments.predict import Predicted, predictor
from experiments.predict.beside import beside, spread
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
    assert all(value != value for value in spread([]))


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
