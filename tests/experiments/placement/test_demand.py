"""What is asked for, from YAML or from the gpu-let prototype's task files, and what is refused in a line."""

from pathlib import Path

import pytest

from experiments.base.errors import UsageError
from experiments.placement.demand import Workload, read_demand

YAML = """
models:
  - {model: bert, rate_rps: 50, slo_ms: 100}
  - {model: bert, name: bert-fast, rate_rps: 5.5, slo_ms: 30}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "demand.yaml"
    path.write_text(text, "utf-8")
    return path


def test_yaml(tmp_path: Path) -> None:
    assert read_demand(written(tmp_path, YAML)) == (
        Workload("bert", "bert", 50, 100, "bert"),
        Workload("bert-fast", "bert", 5.5, 30, "bert"),
    )


def test_a_model_may_be_the_path_of_its_archive(tmp_path: Path) -> None:
    yaml = "models: [{model: /models/mine.mar, rate_rps: 5, slo_ms: 9}]"
    assert read_demand(written(tmp_path, yaml)) == (Workload("mine", "mine", 5, 9, "/models/mine.mar"),)


def test_a_task_file_of_the_prototype(tmp_path: Path) -> None:
    assert read_demand(written(tmp_path, "2\n6,100,66,\n13,40,22,\n")) == (
        Workload("googlenet", "googlenet", 100, 66),
        Workload("bert", "bert", 40, 22),
    )


def test_the_prototype_counts_from_0_and_any_rate_and_bound_above_0_can_be_asked(tmp_path: Path) -> None:
    assert read_demand(written(tmp_path, "1\n0,1,1,\n")) == (Workload("lenet1", "lenet1", 1, 1),)
    yaml = "models: [{model: bert, rate_rps: 0.5, slo_ms: 0.5}]"
    assert read_demand(written(tmp_path, yaml)) == (Workload("bert", "bert", 0.5, 0.5, "bert"),)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "names no models"),
        ("models: []", "names no models"),
        ("models: [bert]", "model 1: needs model, rate_rps and slo_ms, not 'bert'"),
        ("models: [{model: bert, rate_rps: 5}]", "`slo_ms` is missing"),
        ("models: [{model: bert, rate_rps: 5, slo: 9, slo_ms: 9}]", "`slo` is not known: use model, name"),
        ("models: [{model: bert, rate_rps: fast, slo_ms: 9}]", "`rate_rps` is a number, not 'fast'"),
        ("models: [{model: bert, rate_rps: 0, slo_ms: 9}]", "a rate is above 0 requests/s, not 0"),
        ("models: [{model: bert, rate_rps: 5, slo_ms: -9}]", "a bound is above 0 ms, not -9"),
        (
            "models: [{model: a, rate_rps: 1, slo_ms: 1}, {model: a, rate_rps: 1, slo_ms: 1}]",
            "asked for twice",
        ),
        ("models: [{model: bert, rate_rps: .inf, slo_ms: 9}]", "a rate is above 0 requests/s, not inf"),
        ("models: [{model: bert, rate_rps: 5, slo_ms: .inf}]", "a bound is above 0 ms, not inf"),
        ("models: [{model: bert, rate_rps: 5, slo_ms: 0}]", "a bound is above 0 ms, not 0"),
        ("models: [{model: bert, rate_rps: true, slo_ms: 9}]", "`rate_rps` is a number, not True"),
        ("models: [{model: bert, b: 1, a: 1, rate_rps: 5, slo_ms: 9}]", "`a` is not known"),
        ("models: [{rate_rps: 5}]", "`model` is missing"),
        ("4\n6,1,1,\n6,1,1,\n13,1,1,\n13,1,1,\n", "bert is asked for twice"),
        ("models: bert", "names no models"),
        ("- bert", "names no models"),
        ("models: {", "is no YAML"),
        ("2\n6,100,66,\n", "counts 2 models, 1 follow"),
        ("1\n99,100,66,\n", "line 2: needs `id,rate,slo_ms,`, not '99,100,66,'"),
        ("1\n-1,100,66,\n", "line 2: there is no model -1"),
        ("1\n6;100\n", "line 2: needs `id,rate,slo_ms,`"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_demand(written(tmp_path, text))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be read"):
        read_demand(tmp_path / "nowhere.yaml")
