"""`python -m mps.fleet`: from a demand, prices and results to a fleet, or to a line that says why not."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from experiments.base.paths import ROOT
from mps.fleet import app
from tests.support.report_folders import WITHOUT_GPU, a_folder

DEMAND = ROOT / "examples" / "fleet-demand.yaml"
PRICES = ROOT / "examples" / "fleet-prices.yaml"
RESULTS = ROOT / "results" / "published" / "cpu-epyc-2-cores"


def fleet(*options: str | Path, demand: Path = DEMAND, prices: Path = PRICES) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(demand), "--prices", str(prices), *map(str, options)])
    return done.exit_code, done.output


def test_the_example_of_a_day_on_cpus(tmp_path: Path) -> None:
    code, output = fleet("--results", RESULTS, "--json", tmp_path / "fleet.json")
    assert code == 0, output
    assert "search: up to 200 requests/s, 105 on average, p99=1000ms; USD" in output
    assert (
        "search: use 9 instances, CPU, 2 workers, batch size 4: they serve the peak with 1 of them" in output
    )
    assert "search: following the curve takes" in output
    assert "made-up round prices" in output
    found = json.loads((tmp_path / "fleet.json").read_text("utf-8"))
    (way,) = found["demands"][0]["ways"]
    assert way["chosen"]
    assert way["units"]["likely"] == found["services"][0]["instances"] == 9
    assert found["per_month"] == pytest.approx(730 * found["per_hour"])
    assert found["per_hour"] == pytest.approx(0.9)  # nine of two vCPUs at 0.05 each


@pytest.mark.thorough
def test_the_example_of_cards_beside_a_service_of_cpus(tmp_path: Path) -> None:
    published = ROOT / "results" / "published"
    served, profile = published / "h200-bert-shares", published / "h200-profile-bert-fp16.csv"
    demand = ROOT / "examples" / "fleet-cards.yaml"
    code, output = fleet(
        "--results", served, "--profile", profile, "--json", tmp_path / "fleet.json", demand=demand
    )
    assert code == 0, output
    assert "search: 2 cards NVIDIA H200, shares, would do by the model's latencies alone" in output
    # 16 vCPUs of the node // (8 of an instance / 4 workers), by the card's memory it would be many more.
    assert "search: 4 workers are on a node, its cards' memory and its vCPUs have room for 8" in output
    assert "than the 12.50 USD an hour of keeping them apart" in output
    found = json.loads((tmp_path / "fleet.json").read_text("utf-8"))
    ways = {
        (way["way"], way["predicted"]): (way["units"]["likely"], way["per_hour"]["likely"])
        for way in found["demands"][0]["ways"]
        if "units" in way
    }
    assert ways == {  # as in docs/fleets.md
        ("whole", True): (3, 12),
        ("time-slicing", False): (4, 16),
        ("shares", True): (2, 8),
        ("shares", False): (3, 12),
    }
    assert found["per_hour"] == 12


@pytest.mark.thorough
def test_every_way_of_a_card_that_was_measured(tmp_path: Path) -> None:
    demand = tmp_path / "demand.yaml"
    demand.write_text(
        "demands: [{model: bert, slo: p99=50ms, rate_rps: 9000, vcpus: 4, memory_gib: 8}]", "utf-8"
    )
    published = ROOT / "results" / "published"
    code, output = fleet(
        "--results", published / "h200-bert-shares", "--profile", published / "h200-profile-bert-fp16.csv",
        demand=demand,
    )  # fmt: skip
    assert code == 0, output
    for words in ("whole", "time-slicing", "MPS", "shares", "MIG", "not measured", "the card's"):
        assert words in output


def test_how_often_a_placement_is_needed(tmp_path: Path) -> None:
    demand = tmp_path / "demand.yaml"
    demand.write_text("demands: [{model: bert, slo: p99=600ms, rate_rps: 20}]", "utf-8")
    placement = ROOT / "results" / "published" / "cpu-epyc-2-cores-two-models"
    code, output = fleet("--results", RESULTS, "--placement", placement, demand=demand)
    assert code == 0, output
    assert "5 times its 1 GPU, spare ones included (measured on the CPU, 2 cores of AMD EPYC)" in output


@pytest.mark.thorough
def test_throughput_by_cores_as_a_table_and_a_picture(tmp_path: Path) -> None:
    folders = [
        a_folder(
            tmp_path / str(cores), environment={**WITHOUT_GPU, "cpu": {"cores": cores}}, scale=cores**0.9
        )
        for cores in (1, 2, 4)
    ]
    scaling = [word for folder in folders for word in ("--scaling", folder)]
    files = tmp_path / "scaling.png", tmp_path / "fleet.json"
    code, output = fleet("--results", RESULTS, *scaling, "--figure", files[0], "--json", files[1])
    assert code == 0, output
    reached = json.loads(files[1].read_text("utf-8"))["scaling"]["reached"]
    assert [each["units"] for each in reached] == [1, 2, 4]
    assert "93 %" in output  # 2^0.9 / 2
    assert "87 %" in output  # 4^0.9 / 4
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("demand", "options", "code", "line"),
    [
        ("{model: bert, rate_rps: 1}", [], 2, "bert has no bound"),
        ("{model: bert, rate_rps: 0, slo: p99=1s}", [], 2, "is above 0, not 0"),
        ("{model: bert, curve_rps: [1], slo: p99=1s}", [], 2, "has 24 or 96 points, not 1"),
        ("{model: bert, rate_rps: 1, slo: p99=1s}", [], 2, "nothing is known of bert"),
        (
            "{model: resnet50, rate_rps: 1, slo: p99=1s}",
            ["--results", str(RESULTS)],
            2,
            "is of another model",
        ),
        ("{model: bert, rate_rps: 1, slo: p99=1s}", ["--results", "/nowhere"], 2, "is not a results folder"),
        ("{model: bert, rate_rps: 1, slo: p99=9ms}", ["--results", str(RESULTS)], 1, "bound not kept"),
        ("{model: bert, rate_rps: 1, slo: p99=1s}", ["--figure", "a.png"], 2, "--figure shows --scaling"),
        (
            "{model: bert, rate_rps: 1, slo: p99=1s, "
            "stated: [{capacity_rps: 1, card: T4, vcpus: 1, memory_gib: 1}]}",
            [],
            2,
            "there is no price for a card 'T4', only for NVIDIA H200: add one",
        ),
    ],
)
def test_one_line_says_why_not(tmp_path: Path, demand: str, options: list[str], code: int, line: str) -> None:
    path = tmp_path / "demand.yaml"
    path.write_text(f"demands: [{demand}]", "utf-8")
    given, output = fleet(*options, demand=path)
    assert given == code
    assert output.startswith("error: ")
    assert line in output
    assert output.count("\n") == 1


def test_a_file_that_can_not_be_written(tmp_path: Path) -> None:
    code, output = fleet("--results", RESULTS, "--json", tmp_path / "none" / "fleet.json")
    assert code == 1
    assert "give another --json" in output
