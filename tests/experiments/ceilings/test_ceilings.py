"""Ceilings beside served figures: their ratios, their file, their table."""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from experiments.base.errors import ExperimentError
from experiments.ceilings import bare_loop
from experiments.plan import Cell, Plan
from experiments.report.terminal import ceilings_table as table
from experiments.results.ceilings import Ceiling, Ceilings, read_ceilings, write_ceilings
from experiments.results.roofline import Peaks, Work
from experiments.verdict.summary import summarise
from tests.support.builders import results_of

WORK = Work(flop=1e9, activation_bytes=1e3, weight_bytes=10**6, precision="fp32")


def a_ceiling(workers: int = 1, batch_size: int = 8, **differently: Any) -> Ceiling:
    """Half of what two peaks of 200 requests/s and more would allow."""
    figures: dict[str, Any] = {
        "mps": False,
        "precision": None,
        "thread_percentage": None,
        "threads": 2 // workers,
        "bare_rps": 100.0,
        "bare_batch_ms": 80.0,
        "empty_rps": 4000.0,
        "flops": 200e9,
        "bytes_per_s": 1e12,
    }
    return Ceiling(workers=workers, batch_size=batch_size, **(figures | differently))


def some_ceilings(*rows: Ceiling, **differently: Any) -> Ceilings:
    figures: dict[str, Any] = {"work": WORK, "datasheet": None, "rows": rows or (a_ceiling(),)}
    return Ceilings(**(figures | differently))


def printed(ceilings: Ceilings) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(table(ceilings))
    return capture.get()


def test_a_cell_finds_its_ceiling() -> None:
    ceilings = some_ceilings(a_ceiling(workers=1), a_ceiling(workers=2, bare_rps=180.0))
    cell = Plan(model="bert", workers=(2,), batch_size=(8,)).cells()[0]
    found = ceilings.of(cell)
    assert found is not None
    assert found.bare_rps == 180.0
    assert ceilings.of(Cell("bert", True, None, None, 2, 8, 10)) is None


def test_rooflines_by_measurement_and_by_datasheet() -> None:
    ceilings = some_ceilings(datasheet=Peaks(400e9, 1e12, "https://example.org"))
    (row,) = ceilings.rows
    assert ceilings.roofline_rps(row) == pytest.approx(200)
    assert ceilings.datasheet_rps(row) == pytest.approx(400)
    assert ceilings.bare_over_roofline(row) == pytest.approx(0.5)


def test_what_was_not_measured_limits_nothing() -> None:
    row = a_ceiling(bare_rps=None, flops=None)
    for ceilings in (some_ceilings(row), some_ceilings(a_ceiling(), work=None)):
        assert ceilings.roofline_rps(ceilings.rows[0]) is None
        assert ceilings.datasheet_rps(ceilings.rows[0]) is None
        assert ceilings.bare_over_roofline(ceilings.rows[0]) is None
    assert some_ceilings(row).best_bare() is None


def test_the_best_of_the_bare_model_is_over_all_batch_sizes() -> None:
    best = a_ceiling(batch_size=64, bare_rps=130.0)
    assert some_ceilings(a_ceiling(), best, a_ceiling(batch_size=128, bare_rps=None)).best_bare() == best


def test_a_summary_gets_ceilings_and_ratios_beside_its_figures() -> None:
    plan = Plan(model="bert", workers=(1, 2), batch_size=(8,), runs=3, noise_floor=False)
    summary = summarise(plan, results_of(plan))  # 102 requests/s
    found = summarise(plan, results_of(plan), some_ceilings(a_ceiling(workers=1, bare_rps=120.0)))
    assert found["bare_rps"].to_list()[0] == 120
    assert found["served_over_bare"].to_list() == [
        pytest.approx(102 / 120),
        pytest.approx(np.nan, nan_ok=True),
    ]
    assert found["bare_over_roofline"].to_list()[0] == pytest.approx(120 / 200)
    assert found["empty_rps"].to_list()[0] == 4000
    assert [name for name in found.columns if name in summary.columns] == list(summary.columns)
    assert "bare_rps" not in summary.columns


def test_both_arms_find_their_ceilings_though_pandas_turns_none_into_nan() -> None:
    plan = Plan(
        model="bert",
        workers=(2,),
        batch_size=(8,),
        with_mps=True,
        thread_percentage=(50, 100),
        noise_floor=False,
        runs=1,
    )
    rows = [
        a_ceiling(2, mps=cell.mps, thread_percentage=cell.thread_percentage, bare_rps=float(index))
        for index, cell in enumerate(plan.cells(), start=1)
    ]
    found = summarise(plan, results_of(plan), some_ceilings(*rows))
    assert found["bare_rps"].to_list() == [1, 2, 3]


optional = st.none() | st.floats(1e-3, 1e15)
rows = st.builds(
    Ceiling,
    mps=st.booleans(),
    precision=st.sampled_from([None, "fp32", "bf16"]),
    thread_percentage=st.none() | st.integers(1, 100),
    workers=st.integers(1, 64),
    batch_size=st.integers(1, 1024),
    threads=st.integers(1, 64),
    bare_rps=optional,
    bare_batch_ms=optional,
    empty_rps=optional,
    handled_batch_ms=optional,
    empty_in_flight=st.none() | st.integers(1, 1024),
    flops=optional,
    bytes_per_s=optional,
)
any_ceilings = st.builds(
    Ceilings,
    work=st.none() | st.just(WORK),
    datasheet=st.none() | st.just(Peaks(1e12, 1e12, "https://example.org")),
    rows=st.lists(rows, max_size=4).map(tuple),
    problems=st.lists(st.text(max_size=20), max_size=2).map(tuple),
)


@given(any_ceilings)
def test_any_ceilings_survive_their_file_and_can_be_printed(ceilings: Ceilings) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        write_ceilings(folder, ceilings)
        assert read_ceilings(folder) == ceilings
    finally:
        shutil.rmtree(folder)
    assert printed(ceilings).count("\n") >= len(ceilings.rows)


def test_the_file_holds_the_rooflines_too_for_readers_without_this_program(tmp_path: Path) -> None:
    write_ceilings(tmp_path, some_ceilings())
    (row,) = json.loads((tmp_path / "ceilings.json").read_text())["rows"]
    assert row["roofline_rps"] == pytest.approx(200)
    assert row["datasheet_rps"] is None


def test_a_folder_without_ceilings_and_one_with_a_damaged_file(tmp_path: Path) -> None:
    assert read_ceilings(tmp_path) is None
    for content in ("{", "[]", '{"schema_version": 1}', '{"schema_version": 99}'):
        (tmp_path / "ceilings.json").write_text(content)
        with pytest.raises(ExperimentError, match="--ceilings again"):
            read_ceilings(tmp_path)


def test_the_table_names_every_configuration() -> None:
    told = printed(some_ceilings(a_ceiling(1), a_ceiling(2, 16, empty_rps=None)))
    assert [line.split() for line in told.splitlines() if line.strip()[:1].isdigit()] == [
        ["1", "2", "8", "100", "50%", "200", "4,000"],
        ["2", "1", "16", "100", "50%", "200", "-"],
    ]


def test_the_table_tells_arms_and_datasheets_where_there_are_any() -> None:
    rows = (a_ceiling(2), a_ceiling(2, mps=True, thread_percentage=50))
    told = printed(some_ceilings(*rows, datasheet=Peaks(400e9, 1e12, "https://example.org")))
    assert [line.split()[3:5] for line in told.splitlines() if line.strip()[:1].isdigit()] == [
        ["off", "100"],
        ["on", "50"],
    ]
    assert told.count("400") == 2


def test_a_window_ends_with_the_standard_input_and_not_first_when_it_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process that goes on would be killed with work on the GPU, a client of MPS too."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        steps: list[int] = []

        def step(number: int) -> None:
            steps.append(number)
            if number == 2:
                os.close(writing)

        measured = bare_loop._measure(bare_loop.Task(step, amount=1.0), duration_s=60.0)
    assert measured["steps"] == 3
    assert steps == [0, 1, 2]
