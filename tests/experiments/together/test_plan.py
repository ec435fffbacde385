"""Plans of several models at once: what their YAML says, and what makes no sense."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.base.errors import UsageError
from experiments.base.paths import ROOT
from experiments.plan import Slo
from experiments.together import Served, Together, read
from experiments.together.reading import as_settings, replaced, understood

TEXTS = {"name": "texts", "archive": "bert", "rate_rps": 10, "slo": "p99=500ms", "tokens": 30}
IMAGES = {"name": "images", "archive": "resnet50", "rate_rps": 2.5, "slo": "p95=1s"}

names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
numbers = st.integers(1, 1000)
slos = st.builds(Slo, st.sampled_from([50.0, 99.0, 99.9]), st.sampled_from([20.0, 500.0, 1500.0]))
models = st.builds(
    Served,
    name=names,
    archive=st.sampled_from(["bert", "resnet50", "a/b.mar"]),
    rate_rps=st.floats(0.01, 1e4),
    slo=slos,
    workers=numbers,
    batch_size=numbers,
    batch_delay_ms=numbers,
    tokens=st.none() | numbers,
)
plans = st.builds(
    Together,
    servers=st.lists(st.sampled_from(["torchserve", "triton", "litserve"]), min_size=1, unique=True).map(
        tuple
    ),
    models=st.lists(models, min_size=2, max_size=3, unique_by=lambda model: model.name).map(tuple),
    runs=st.integers(0, 10),
    duration_s=st.floats(0.5, 100),
    threads=numbers,
)


@given(plans)
def test_what_is_written_down_is_read_as_the_same_plan(plan: Together) -> None:
    assert understood(as_settings(plan), "here") == plan


def test_a_plan_names_models_and_what_is_left_out_has_a_value() -> None:
    plan = understood({"models": [TEXTS, IMAGES]}, "here")
    texts, images = plan.models
    assert plan.servers == ("torchserve",)
    assert texts.slo == Slo(99, 500)
    assert images == Served("images", "resnet50", 2.5, Slo(95, 1000), workers=1, batch_size=8)


def test_shares_are_of_the_rate_of_all() -> None:
    listed = [{**TEXTS, "share": 5}, {**IMAGES, "share": 1}]
    for each in listed:
        del each["rate_rps"]
    plan = understood({"rate_rps": 12, "models": listed}, "here")
    assert [model.rate_rps for model in plan.models] == [10.0, 2.0]


def test_the_plan_of_the_documents_is_one() -> None:
    plan = read(ROOT / "plans" / "together" / "two_models.yaml")
    assert [model.name for model in plan.models] == ["texts", "photographs"]


def test_options_take_the_place_of_what_a_plan_says() -> None:
    plan = understood({"models": [TEXTS, IMAGES]}, "here")
    other = replaced(plan, ["triton"], 2, None)
    assert (other.servers, other.runs, other.duration_s) == (("triton",), 2, plan.duration_s)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ([], "a plan has `servers:` and `models:`"),
        ({"models": "bert"}, "`models:` is a list"),
        ({"models": [TEXTS]}, "one is named: use mps.run"),
        ({"models": [TEXTS, TEXTS]}, "the model texts is there twice"),
        ({"models": [TEXTS, IMAGES], "servers": ["triton", "triton"]}, "the server triton is there twice"),
        ({"models": [TEXTS, IMAGES], "servers": "triton"}, "`servers:` is a list of names"),
        ({"models": [TEXTS, IMAGES], "rate_rps": 3}, "every model has a `share`"),
        ({"models": [TEXTS, {**IMAGES, "share": 2}]}, "its `rate_rps`, or its `share`"),
        ({"models": [TEXTS, {**IMAGES, "rate_rps": True}]}, "`rate_rps` is a number, not True"),
        ({"models": [TEXTS, {**IMAGES, "rate_rps": 0}]}, "a rate is above 0"),
        ({"models": [TEXTS, {**IMAGES, "worker": 2}]}, "`worker` is not known"),
        ({"models": [TEXTS, {**IMAGES, "workers": 1.5}]}, "`workers` is a whole number"),
        ({"models": [TEXTS, {**IMAGES, "slo": "fast"}]}, "is no latency bound"),
        ({"models": [TEXTS, {**IMAGES, "name": "a/b"}]}, "can't be called 'a/b'"),
        ({"models": [TEXTS, {**TEXTS, "name": "b", "input": "x"}]}, "`tokens` or `input`, not both"),
        ({"models": [TEXTS, IMAGES], "duration": 3}, "`duration` is not known"),
        ({"models": [TEXTS, IMAGES], "duration_s": 0}, "`duration_s` above 0"),
    ],
)
def test_what_makes_no_sense_is_told_in_one_line(content: Any, why: str) -> None:
    with pytest.raises(UsageError, match=f"^here.*{why}") as told:
        understood(content, "here")
    assert "\n" not in str(told.value)


keys = st.sampled_from([*TEXTS, "share", "workers", "input", "x"])
values = st.none() | st.booleans() | st.integers(-2, 9) | st.floats(allow_nan=True) | st.text(max_size=5)
anything = st.dictionaries(keys, values | st.lists(values, max_size=2), max_size=6)


@given(
    st.lists(anything, max_size=3), st.dictionaries(st.sampled_from(["runs", "rate_rps", "servers"]), values)
)
def test_whatever_stands_in_a_file_is_a_plan_or_a_usage_error(
    listed: list[dict[str, Any]], others: dict[str, Any]
) -> None:
    with suppress(UsageError):
        assert len(understood({"models": listed, **others}, "here").models) == len(listed)


def test_a_file_that_is_not_there_or_no_yaml_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be read"):
        read(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(UsageError, match="is no YAML"):
        read(tmp_path / "bad.yaml")
