"""Throughput by the number of cards or cores, from results folders."""

from pathlib import Path

import pytest

from experiments.base.errors import ExperimentError, UsageError
from experiments.fleet.speedup import read_scaling
from experiments.plan import Plan
from tests.support.report_folders import ENVIRONMENT, WITHOUT_GPU, a_folder

PLAN = Plan(workers=(1,), batch_size=(1, 8), runs=3)


def on_cores(folder: Path, cores: int, scale: float) -> str:
    cpu = {"model": "Abacus 9000", "cores": cores}
    return str(a_folder(folder / str(cores), PLAN, environment={**WITHOUT_GPU, "cpu": cpu}, scale=scale))


def test_cores_are_in_the_folder_and_the_efficiency_is_against_one(tmp_path: Path) -> None:
    found = read_scaling(
        [on_cores(tmp_path, cores, scale) for cores, scale in ((4, 3.0), (1, 1.0), (2, 1.8))]
    )
    assert (found.unit, found.hardware, found.model) == ("cores", "Abacus 9000", "bert")
    assert [each.units for each in found.reached] == [1, 2, 4]
    assert [each.efficiency.likely for each in found.reached] == [1, pytest.approx(0.9), pytest.approx(0.75)]
    for each in found.reached[1:]:
        assert each.efficiency.low < each.efficiency.likely < each.efficiency.high


def test_cards_are_said(tmp_path: Path) -> None:
    folders = [a_folder(tmp_path / str(cards), PLAN, scale=cards**0.9) for cards in (2, 8)]
    found = read_scaling([f"{folder.name}={folder}" for folder in folders])
    assert (found.unit, found.hardware) == ("cards", "NVIDIA Abacus")
    assert found.reached[1].efficiency.likely == pytest.approx(4**0.9 / 4)


@pytest.mark.thorough
def test_what_does_not_belong_together(tmp_path: Path) -> None:
    one, two = on_cores(tmp_path, 1, 1.0), on_cores(tmp_path, 2, 2.0)
    card = a_folder(tmp_path / "card", PLAN, environment=ENVIRONMENT)
    more = a_folder(tmp_path / "tokens", Plan(workers=(1,), batch_size=(1, 8), runs=3, tokens=9))
    for given, line in [
        ([one], "two or more different numbers"),
        ([one, one], "two or more different numbers"),
        (
            [one, f"2={card}"],
            "one model on one kind of hardware, not of bert on Abacus 9000 and bert on NVIDIA",
        ),
        ([f"1={card}", f"2={more}"], "one input, engine and precision"),
        ([one, str(card)], "doesn't tell how many cards it was measured on: write 2="),
        ([one, f"many={two}"], "'many' is no number of cards"),
        ([one, f"-2={two}"], "'-2' is no number of cards"),
        ([one, str(tmp_path)], "is not a results folder"),
    ]:
        with pytest.raises(UsageError) as raised:
            read_scaling(given)
        assert line in str(raised.value)


def test_a_folder_without_a_valid_run(tmp_path: Path) -> None:
    failed = a_folder(tmp_path / "failed", PLAN, problems=lambda trial: ["it broke"])
    with pytest.raises(ExperimentError, match="has no valid run: measure it again"):
        read_scaling([f"1={failed}", f"2={a_folder(tmp_path / 'good', PLAN)}"])
