"""Traces of rates: what is read, and the line that says why something isn't."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.base.errors import UsageError
from experiments.placement.periods.trace import Period, asked_in, peak, read_trace
from experiments.placement.placed import Part, Placement, Resident
from tests.experiments.placement.profiles import problem

DEMAND = problem(("a", 10, 100), ("b", 10, 200))
TRACE = """
# requests/s
start_s, b, a
0,     5, 20

60,    0, 30
90.5,  7, 0
"""


def read(folder: Path, text: str) -> tuple[Period, ...]:
    (folder / "rates.csv").write_text(text, "utf-8")
    return read_trace(folder / "rates.csv", DEMAND.workloads)


def test_rates_are_in_the_order_of_the_demand_and_the_last_period_is_as_long_as_the_one_before(
    tmp_path: Path,
) -> None:
    periods = read(tmp_path, TRACE)
    assert periods == (Period(0, 60, (20, 5)), Period(60, 90.5, (30, 0)), Period(90.5, 121, (0, 7)))
    assert periods[1].lasts_s == 30.5
    assert peak(periods) == (30, 7)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no column start_s: it needs that and one for each of a, b"),
        ("start_s,a,b\n", "0 periods don't say how long they last: give two lines or more"),
        ("start_s,a,b\n0,1,1\n", "1 periods don't say how long they last"),
        ("start_s,a,b,c\n0,1,1,1\n", "the demand has no workload 'c', only a, b"),
        ("start_s,a\n0,1\n", "the rates of b are missing: add a column of that name"),
        ("start_s,a,b,b\n0,1,1,1\n", "there are two columns b"),
        ("start_s,a,b\n0,1,-1\n9,1,1\n", "period 1: b is 0 or more, not -1"),
        ("start_s,a,b\n0,1,nan\n9,1,1\n", "period 1: b is 0 or more, not nan"),
        ("start_s,a,b\n0,1,\n9,1,1\n", "period 1: b is a number, not '': 0 where nothing is asked"),
        ("start_s,a,b\n0,1\n9,1,1\n", "period 1: 2 values, 3 columns"),
        ("start_s,a,b\n0,1,1\n9,1,1\n9,1,1\n", "period 3: 9 s isn't after 9 s: let times rise"),
        ("start_s,a,b\n5,1,1\n-3,1,1\n", "period 2: start_s is 0 or more, not -3"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UsageError) as raised:
        read(tmp_path, text)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"can't be read .*: give a CSV of rates"):
        read_trace(tmp_path / "none.csv", DEMAND.workloads)


@given(st.text(st.characters(codec="utf-8")), st.booleans())
def test_whatever_is_read_it_is_periods_or_a_line(
    tmp_path_factory: pytest.TempPathFactory, text: str, headed: bool
) -> None:
    try:
        periods = read(tmp_path_factory.getbasetemp(), f"start_s,a,b\n{text}" if headed else text)
    except UsageError as error:
        told = str(error)
    else:
        told = ""
        assert all(period.lasts_s > 0 for period in periods)
    assert "\n" not in told


def test_a_period_is_a_problem_of_what_it_asks_for() -> None:
    asked = asked_in(DEMAND, (0, 30))
    assert asked.problem is not None
    assert [(w.name, w.rate_rps, w.slo_ms) for w in asked.problem.workloads] == [("b", 30, 200)]
    of_a, of_b = Part(50, 20, (Resident(0, 4),)), Part(50, 20, (Resident(1, 2),))
    both = Part(40, 50, (Resident(0, 4), Resident(1, 2)))
    asked_of = asked.of_demand(Placement(((of_a, of_b), (of_a,), (both,))))
    b = (Resident(0, 2),)
    assert asked_of == Placement(((Part(50, 20, b),), (), (Part(40, 50, b),)))
    assert asked.to_demand(asked_of).gpus[0] == (of_b,)


def test_nothing_is_no_problem() -> None:
    assert asked_in(DEMAND, (0, 0)).problem is None
