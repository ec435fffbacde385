"""`python -m mps.place`: from a demand and a profile to a placement, or to a line that says why not."""

import json
from itertools import product
from pathlib import Path

import pytest
from typer.testing import CliRunner

from experiments.base.paths import ROOT
from experiments.profile import Batch, Beside, Pair, write_beside
from experiments.report.placement import compared
from mps.place import app
from tests.experiments.placement.prototype.resource import resource

PROFILE = ROOT / "benchmarks" / "data" / "gpulet" / "rtx2080ti_latency_fig3.csv"
DEMAND = """
models:
  - {model: googlenet, rate_rps: 300, slo_ms: 112}
  - {model: vgg16, rate_rps: 200, slo_ms: 112}
"""


@pytest.fixture(autouse=True)
def _quick_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page compares has tests of its own."""
    monkeypatch.setattr(compared, "SECONDS_EACH", 0.05)
    monkeypatch.setattr(compared, "SECONDS_SEARCH", 0.05)


def place(folder: Path, *options: str, demand: str = DEMAND) -> tuple[int, str]:
    (folder / "demand.yaml").write_text(demand, "utf-8")
    arguments = [str(folder / "demand.yaml"), "--profile", str(PROFILE), "--out", str(folder / "out")]
    done = CliRunner().invoke(app, [*arguments, *options])
    return done.exit_code, done.output


@pytest.mark.thorough
@pytest.mark.parametrize("strategy", ["search", "gpulet", "greedy", "time-sharing", "equal-shares"])
def test_models_for_cards_that_nobody_here_has_are_placed(tmp_path: Path, strategy: str) -> None:
    code, output = place(tmp_path, "--gpus", "3", "--strategy", strategy)
    assert code == 0, output
    assert "of 3 GPUs; no placement has fewer than 1" in output
    assert "within the bound" in output
    placement = json.loads((tmp_path / "out" / "placement.json").read_text("utf-8"))
    assert {workload["name"] for workload in placement["demand"]} == {"googlenet", "vgg16"}
    assert (tmp_path / "out" / "placement.html").is_file()
    assert "nothing to" in output  # there is no archive of them to serve


@pytest.mark.thorough
def test_the_same_again_is_the_same(tmp_path: Path) -> None:
    assert place(tmp_path, "--gpus", "3") == place(tmp_path, "--gpus", "3")


@pytest.mark.wide
@pytest.mark.thorough
def test_neighbours_that_were_measured_cost_what_they_cost(tmp_path: Path) -> None:
    pairs = [
        Beside("a card", Pair(Batch(own, 40, 8), (Batch(other, 60, 8),), 1.2), 10)
        for own, other in product(("googlenet", "vgg16"), repeat=2)
    ]
    write_beside(tmp_path / "pairs.csv", pairs)
    calm = place(tmp_path, "--gpus", "3")[1]
    options = ["--gpus", "3", "--interference", str(tmp_path / "pairs.csv")]
    code, output = place(tmp_path, *options)
    assert code == 0, output
    assert output.startswith("interference: fitted to pairs, off by 0.")
    assert output.split("\n", 1)[1] != calm
    assert place(tmp_path, *options, "--strategy", "gpulet")[0] == 0


@pytest.mark.parametrize(
    ("demand", "options", "code", "told"),
    [
        (DEMAND, ["--gpus", "0"], 2, "0 GPUs serve nothing"),
        (DEMAND, ["--gpus", "3", "--strategy", "best"], 2, "there is no strategy 'best': use time-sharing"),
        (DEMAND.replace("300", "9000"), ["--gpus", "2"], 1, "add GPUs, or ask for less"),
        (DEMAND.replace("vgg16", "gpt"), [], 2, "gpt: the profile has no gpt, only googlenet"),
        (DEMAND.replace("200,", "0,"), [], 2, "vgg16: a rate is above 0 requests/s, not 0"),
        (DEMAND.replace("slo_ms: 112", "slo_ms: 3"), [], 1, "bound of 3 ms can't be kept"),
        (DEMAND, ["--run"], 2, "unknown model 'googlenet'"),
        (DEMAND, ["--interference", "no.csv"], 2, "no.csv can't be read"),
        (DEMAND, ["--percentile", "p42"], 2, "a profile has p50, p95, p99, mean, no 'p42'"),
    ],
)
def test_what_can_not_be_is_told_in_a_line(
    tmp_path: Path, demand: str, options: list[str], code: int, told: str
) -> None:
    done, output = place(tmp_path, *options, demand=demand)
    assert done == code, output
    last = output.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert told in last


RATES = "start_s,googlenet,vgg16\n0,300,200\n60,500,0\n120,900,300\n"


def place_periods(folder: Path, *options: str, rates: str = RATES) -> tuple[int, str]:
    (folder / "rates.csv").write_text(rates, "utf-8")
    return place(folder, "--gpus", "3", "--periods", str(folder / "rates.csv"), *options)


@pytest.mark.thorough
def test_rates_that_change_are_placed_period_by_period(tmp_path: Path) -> None:
    code, output = place_periods(tmp_path, "--ahead")
    assert code == 0, output
    for told in ("followed", "anew", "held", "120 s", "parts made", "GPU-hours", "within the bound"):
        assert told in output
    lines = (tmp_path / "out" / "periods.csv").read_text("utf-8").splitlines()
    assert len(lines) == 1 + 3 * 3
    content = json.loads((tmp_path / "out" / "periods.json").read_text("utf-8"))
    assert (content["make_part_s"], content["ahead"]) == (12, True)
    assert set(content["placements"]) == {"followed", "anew", "held"}
    assert (tmp_path / "out" / "placement.json").exists()


@pytest.mark.parametrize(
    ("rates", "options", "code", "told"),
    [
        (RATES, ["--run"], 2, "--periods is searched for and simulated: leave --run and --strategy out"),
        (RATES, ["--strategy", "greedy"], 2, "leave --run and --strategy out"),
        (RATES.replace("vgg16", "gpt"), [], 2, "the demand has no workload 'gpt', only googlenet, vgg16"),
        (RATES, ["--make-part-s", "60"], 2, "the period from 0 s on lasts 60 s"),
        (RATES.replace("900", "9000"), [], 1, "from 120 s on: "),
    ],
)
def test_periods_that_can_not_be_are_told_in_a_line(
    tmp_path: Path, rates: str, options: list[str], code: int, told: str
) -> None:
    done, output = place_periods(tmp_path, *options, rates=rates)
    assert done == code, output
    last = output.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert told in last


@pytest.mark.thorough
def test_the_prototypes_files_are_enough_and_its_plan_can_be_checked(tmp_path: Path) -> None:
    profile = resource(tmp_path / "resource")
    tasks = tmp_path / "tasks.csv"
    tasks.write_text("2\n6,300,112,\n9,200,112,\n", "utf-8")
    asked = [
        str(tasks),
        "--profile",
        str(profile),
        "--sched-config",
        str(profile.parent / "sched-config.json"),
    ]
    placed = CliRunner().invoke(app, [*asked, "--out", str(tmp_path / "out")])
    assert placed.exit_code == 0, placed.output
    assert "of 4 GPUs" in placed.output
    plan = tmp_path / "out" / "ModelList.txt"
    checked = CliRunner().invoke(app, [*asked, "--check", str(plan)])
    assert checked.exit_code == 0, checked.output
    assert "the plan keeps every rule" in checked.output
    plan.write_text(plan.read_text("utf-8").replace("vgg16", "reserved"), "utf-8")
    broken = CliRunner().invoke(app, [*asked, "--check", str(plan)])
    assert broken.exit_code == 1
    assert "vgg16: 0 of 200 requests/s are served" in broken.output
