"""The gpu-let prototype's files: what they say, what a plan of it is worth, and what is refused in a line."""

import json
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.parts import sharing
from experiments.base.errors import ExperimentError, UsageError
from experiments.placement.checker import violations
from experiments.placement.demand import Workload
from experiments.placement.interference import NOT_FELT
from experiments.placement.problem import Problem
from experiments.placement.prototype import (
    Settings,
    latencies_and_rules,
    read_device,
    read_plan,
    read_settings,
    write_plan,
)
from experiments.placement.strategies.search import fewest
from tests.experiments.placement.prototype.resource import SCHED_CONFIG, resource


def traffic(rate_rps: int = 300) -> Problem:
    rates = dict.fromkeys(sharing.TRAFFIC, rate_rps)
    return sharing.prototype_problem(sharing.TRAFFIC, rates, interference=True)


def test_a_device_is_what_the_benchmark_has_of_it(tmp_path: Path) -> None:
    device = read_device(resource(tmp_path), "2080ti")
    for model in sharing.rtx2080ti().models():
        assert device.interference.felt(model, 60, 9) == sharing.linear().felt(model, 60, 9)
        assert device.interference.caused(model, 40, 3) == sharing.linear().caused(model, 40, 3)
    assert device.interference.uses["lenet6"] == device.interference.uses["lenet1"]
    assert device.memory == sharing.prototype_rules(True).memory
    assert list(device.table.curve("vgg16", 50)) == list(sharing.rtx2080ti().curve("vgg16", 50))


def test_settings(tmp_path: Path) -> None:
    resource(tmp_path)
    sizes = (20, 40, 50, 60, 80, 100)
    assert read_settings(tmp_path / "sched-config.json") == Settings("2080ti", 4, 3, sizes, 1.1, True, False)


def test_settings_decide_over_the_rules(tmp_path: Path) -> None:
    profile = resource(tmp_path)
    whole = tmp_path / "whole.json"
    whole.write_text(json.dumps({**SCHED_CONFIG, "Part": 0, "Self Tuning": 1, "Max Model": 1}), "utf-8")
    settings = read_settings(whole)
    table, rules = latencies_and_rules(profile, settings)
    assert settings.greedy
    assert table.sizes("vgg16") == [100]
    assert (rules.models_per_part, rules.latency_ratio, rules.interference) == (1, 1.1, NOT_FELT)


@pytest.mark.thorough
def test_a_plan_that_is_written_is_read_again(tmp_path: Path) -> None:
    problem = traffic()
    placement = fewest(problem).placement
    again = read_plan(write_plan(tmp_path / "ModelList.txt", problem, placement), problem)
    assert violations(again, problem, len(placement.gpus)) == []
    assert [[part.residents for part in gpu] for gpu in again.gpus] == [
        [part.residents for part in gpu] for gpu in placement.gpus
    ]


def test_halves_are_told_apart_and_reserved_ones_are_nobodys(tmp_path: Path) -> None:
    path = tmp_path / "ModelList.txt"
    path.write_text("0,50,0,vgg16,6,70.0\n0,50,1,googlenet,9,50\n1,40,0,vgg16,1,80\n1,60,0,reserved,32,0.0\n")
    placement = read_plan(path, traffic(20))
    assert [[part.size for part in gpu] for gpu in placement.gpus] == [[50, 50], [40]]
    assert any(line.startswith("ssd-mobilenetv1: 0 of") for line in violations(placement, traffic(20)))


@pytest.mark.thorough
def test_a_model_asked_twice_has_no_name_in_a_plan(tmp_path: Path) -> None:
    once = traffic()
    twice = (*once.workloads, Workload("another", "vgg16", 10, 200))
    problem = Problem(twice, once.table, once.rules)
    with pytest.raises(ExperimentError, match="one is asked twice"):
        write_plan(tmp_path / "ModelList.txt", problem, fewest(problem, prove=False).placement)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("device-config.json", "[]", "needs an object, not list"),
        ("device-config.json", "{", "is no JSON"),
        ("device-config.json", '{"device_specs": []}', "`device_specs` needs a list of objects"),
        ("device-config.json", '{"device_specs": [{"type": "3080"}]}', "has no device 2080ti, only 3080"),
        ("2080ti/UTIL.CSV", "bench\nvgg16,1,0.1\n", "line 1: needs 6 values, has 1"),
        ("2080ti/UTIL.CSV", "a,b,c,d,e,f\nvgg16,1,0.1,5,x,5\n", "line 2: needs a number, not 'x'"),
        ("2080ti/UTIL.CSV", "a,b,c,d,e,f\nvgg16,1,0.1,5,150,5\n", "0 to 100 %, unlike 150"),
        ("2080ti/INT_MODEL_CONSTANT.CSV", "a,b,c,d,e\n", "one line of five numbers, has 1 lines"),
        ("2080ti/INT_MODEL_CONSTANT.CSV", "a,b,c,d,e\n1,2,3,4,nan\n", "needs a number, not 'nan'"),
        ("2080ti/latency.csv", "vgg16,1\n", "is no profile"),
        ("mem-config.json", '{"models": [{"name": "vgg16"}]}', "`mem` needs a number from 0 on, not None"),
    ],
)
def test_a_bad_device_is_told_in_a_line(tmp_path: Path, name: str, text: str, told: str) -> None:
    profile = resource(tmp_path)
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(UsageError, match=told.replace("[", r"\[")) as raised:
        read_device(profile, "2080ti")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"GPUs": []}, "`GPUs` needs a list of objects"),
        ({"GPUs": [{"Type": "a", "Num": 1}, {"Type": "b", "Num": 1}]}, "several types, a and b"),
        ({"GPUs": [{"Type": "a", "Num": 1.5}]}, "`Num` needs a whole number, not 1.5"),
        ({"Part": 2}, "`Part` is 0 or 1, not 2"),
        ({"Avail_Parts": [20, 400]}, "`Avail_Parts` lists shares of 1 to 100"),
        ({"Latency Ratio": "1.1"}, "`Latency Ratio` needs a number from 0 on, not '1.1'"),
    ],
)
def test_bad_settings_are_told_in_a_line(tmp_path: Path, changes: dict[str, object], told: str) -> None:
    path = tmp_path / "sched-config.json"
    path.write_text(json.dumps({**SCHED_CONFIG, **changes}), "utf-8")
    with pytest.raises(UsageError, match=told):
        read_settings(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("EMPTY\n", "there is no plan to check"),
        ("0,40,0,vgg16\n", "line 1: needs gpu,percent,dedup,model,batch,duty_ms, has 4 values"),
        ("0,40,0,gpt,1,50\n", "line 1: gpt is not asked for"),
        ("0,-40,0,vgg16,1,50\n", "line 1: needs a whole number, not '-40'"),
    ],
)
def test_a_bad_plan_is_told_in_a_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "ModelList.txt"
    path.write_text(text, "utf-8")
    with pytest.raises(UsageError, match=told):
        read_plan(path, traffic())


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["type", "mem_mb", "latency_prof_file", "Type", "Num", "name", "mem"]
    ), inner, max_size=4),
    max_leaves=6,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from([*SCHED_CONFIG, "Self Tuning", "device_specs"]), values, max_size=4))
def test_no_object_is_too_odd_to_be_refused_in_a_line(changes: dict[str, object]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_text(json.dumps({**SCHED_CONFIG, **changes}), "utf-8")
        for read in (read_settings, read_device):
            with suppress(UsageError):
                read(path)


lines = st.lists(
    st.lists(
        st.text(max_size=4) | st.sampled_from(["vgg16", "0", "40", "1", "-1", "1e400", "²", '"']), max_size=8
    ),
    max_size=5,
).map(lambda rows: "\n".join(",".join(row) for row in rows))


@given(
    lines, st.sampled_from(["2080ti/UTIL.CSV", "2080ti/INT_MODEL_CONSTANT.CSV", "2080ti/latency.csv", "plan"])
)
def test_no_text_is_too_odd_either(text: str, name: str) -> None:
    with TemporaryDirectory() as folder:
        profile = resource(Path(folder) / "resource")
        path = profile.parent / name
        path.write_text(text, "utf-8", errors="replace")
        with suppress(UsageError):
            read_plan(path, traffic()) if name == "plan" else read_device(profile)
