"""The files of a plan carried out, and the tables that are made of them."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments.base.errors import UsageError
from experiments.plan import Slo
from experiments.together import Folder, Served, Together, campaign
from experiments.together.campaign import searches_of
from experiments.together.folder import LOOKS
from experiments.together.look import Look, Seen
from experiments.together.shown import goodput, problems, summary, warnings

BUSY = "other programs used 1.00 of 2 cores"
PLAN = Together(
    servers=("torchserve", "litserve"),
    models=(
        Served("small", "bert", 10.0, Slo(99, 500)),
        Served("large", "resnet50", 2.0, Slo(90, 1000)),
    ),
)


def seen(rate_rps: float, within: float = 1.0, failures: int = 0, problem: str | None = None) -> Seen:
    return Seen(rate_rps, rate_rps, 10.0, 20.0, 20.0, within, 1000, failures, problem, 1000, 1.0)


def a_look(number: int, purpose: str = "run", factor: float = 1.0, **small: float) -> Look:
    models = {"small": seen(10.0 + number, **small), "large": seen(2.0)}  # type: ignore[arg-type]
    return Look("torchserve", purpose, number, factor, models, 0.5, 4.0)


def test_looks_are_read_as_they_were_written(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out")
    assert folder.begin(PLAN) == []
    looks = [a_look(0), a_look(1, within=0.5)]
    for each in looks:
        folder.add(each)
    assert folder.begin(PLAN) == looks
    assert folder.begin(replace(PLAN, runs=9)) == looks  # more runs go on with it


def test_a_line_that_a_kill_has_torn_is_cut_off(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.begin(PLAN)
    folder.add(a_look(0))
    with (tmp_path / LOOKS).open("a") as file:
        file.write('{"server": "torch')
    assert folder.looks() == [a_look(0)]
    folder.add(a_look(1))
    assert folder.looks() == [a_look(0), a_look(1)]


def test_a_folder_of_another_plan_or_of_something_else_is_left_alone(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "plan")
    folder.begin(PLAN)
    assert folder.begin(replace(PLAN, seed=1)) == []  # nothing was measured yet
    folder.add(a_look(0))
    with pytest.raises(UsageError, match="of another plan"):
        Folder(tmp_path / "plan").begin(replace(PLAN, duration_s=1.0))
    with pytest.raises(UsageError, match="holds something else"):
        Folder(tmp_path).begin(PLAN)


def test_a_line_that_is_no_look_is_told(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.begin(PLAN)
    (tmp_path / LOOKS).write_text('{"server": "torchserve"}\n')
    with pytest.raises(UsageError, match="a line that is no look"):
        folder.looks()


def test_a_summary_has_medians_of_each_model_under_each_server() -> None:
    frame = summary(PLAN, [a_look(0), a_look(1), a_look(2, within=0.98), a_look(9, "search")])
    assert list(frame["server"]) == ["torchserve", "torchserve"]  # the other was not measured yet
    small = frame.iloc[0]
    assert (small["model"], small["runs"], small["throughput_rps"]) == ("small", 3, 11.0)
    assert (small["within"], small["within_least"], small["slo"]) == (1.0, 0.98, "p99=500ms")


def test_failures_make_a_run_no_result_but_not_a_look_of_a_search() -> None:
    assert problems([a_look(0), a_look(1, "search", failures=3)]) == []
    assert problems([a_look(0, failures=3)]) == ["torchserve, run 1, small: 3 requests failed"]


def test_other_programs_that_were_busy_make_a_run_no_result_and_a_limit_doubtful() -> None:
    run, of_search = (replace(a_look(0, purpose), disturbed=BUSY) for purpose in ("run", "search"))
    assert problems([run, of_search]) == [f"torchserve, run 1: {BUSY}"]
    assert warnings([run, of_search]) == [
        "torchserve: other programs were busy in 1 looks of the search: the limit may be theirs"
    ]


@pytest.mark.parametrize(("busy", "takes"), [(0, 1), (1, 2), (5, 3)])
def test_a_look_that_was_disturbed_is_taken_again(
    monkeypatch: pytest.MonkeyPatch, busy: int, takes: int
) -> None:
    taken: list[Look] = []

    def look(*asked: object, number: int) -> Look:
        taken.append(replace(a_look(number), disturbed=BUSY if len(taken) < busy else None))
        return taken[-1]

    monkeypatch.setattr(campaign, "look", look)
    told: list[str] = []
    server = SimpleNamespace(server="torchserve")
    found = campaign._undisturbed(server, PLAN, [], told.append, number=0)  # type: ignore[arg-type]
    assert (len(taken), found) == (takes, taken[-1])
    assert len(told) == min(busy, takes)


@pytest.mark.parametrize(
    ("small", "holds"),
    [
        (seen(1.0, within=0.99), True),
        (seen(1.0, within=0.989), False),
        (seen(1.0, failures=1), False),
        (seen(1.0, problem="the generator was late"), False),
    ],
)
def test_a_bound_is_kept_by_so_many_requests_none_of_which_failed(small: Seen, holds: bool) -> None:
    assert small.keeps(Slo(99, 500)) == holds


def test_a_search_goes_on_where_its_looks_ended_and_ends_in_a_row() -> None:
    taken: list[Look] = []
    while (factor := searches_of(PLAN, taken)["torchserve"].next_factor) is not None:
        taken.append(a_look(0, "search", factor, within=1.0 if factor <= 3 else 0.5))
    frame = goodput(PLAN, searches_of(PLAN, taken))
    (row,) = frame.to_dict("records")
    assert row["server"] == "torchserve"
    assert row["factor"] == pytest.approx(3, rel=0.15)
    assert row["small_rps"] == pytest.approx(10 * row["factor"])
    assert row["least_factor"] <= row["factor"] <= row["most_factor"]
    assert row["looks"] == len(taken)


def test_looks_of_a_search_by_bisection_are_understood(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.begin(PLAN)
    line = a_look(0, "search", 1.07).told() | {"step": 1}
    for seen_then in line["models"].values():
        del seen_then["due"], seen_then["inflation"]
    (tmp_path / LOOKS).write_text(json.dumps(line) + "\n")
    assert folder.looks() == [a_look(0, "search", 1.07)]
