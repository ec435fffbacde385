"""Cards that differ are refused with the first thing that they differ in."""

from typing import Any

import pytest

from benchmarks.parts.fake_cards import ENVIRONMENT
from experiments.base.errors import ExperimentError
from experiments.cluster.alike import refuse_unlike
from experiments.cluster.messages import Hello


def hello(cores: int = 2, **environment: Any) -> Hello:
    cpu = {"model": "EPYC", "cores": cores, "logical_cores": cores}
    return Hello({**ENVIRONMENT, "cpu": cpu, "versions": {"torch": "2.13.0"}, **environment}, None)


def test_the_kind_of_cards_that_are_alike() -> None:
    assert refuse_unlike({"a": hello(), "b": hello()}) == "2 cores of EPYC"


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (hello(cores=1), "the cards differ, kind: 2 cores of EPYC on a, 1 core of EPYC on b"),
        (hello(versions={"torch": "2.12.0"}), "the cards differ, torch: 2.13.0 on a, 2.12.0 on b"),
        (hello(git_commit="abc"), "the cards differ, git_commit: None on a, abc on b"),
    ],
)
def test_the_first_difference_is_named(other: Hello, said: str) -> None:
    with pytest.raises(ExperimentError, match=said):
        refuse_unlike({"a": hello(), "b": other})
