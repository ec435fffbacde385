"""Engines and precisions of a plan: which go together, and what is said of those that don't."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.base.errors import UsageError
from experiments.plan import Plan, plan_from
from experiments.plan.engines import ENGINES, OF_TORCH, PRECISIONS, pairs
from handlers.engine import names
from handlers.model import settings


def test_the_names_are_those_of_the_handlers() -> None:
    assert tuple(ENGINES) == names.ENGINES
    assert PRECISIONS == settings.PRECISIONS
    assert OF_TORCH == names.OF_TORCH
    for engine, precisions in names.PRECISIONS.items():
        assert ENGINES[engine] == precisions


def test_each_engine_is_measured_in_the_precisions_that_it_has() -> None:
    plan = Plan(
        workers=(1,), batch_size=(8,), noise_floor=False, engine=("torch", "onnxruntime", "openvino"),
        precision=("fp32", "bf16", "int8"),
    )  # fmt: skip
    assert [(cell.engine, cell.precision) for cell in plan.cells()] == [
        ("torch", "fp32"),
        ("torch", "bf16"),
        ("onnxruntime", "fp32"),
        ("onnxruntime", "int8"),
        ("openvino", "fp32"),
        ("openvino", "bf16"),
    ]
    assert len({cell.started_with for cell in plan.cells()}) == 6
    assert "onnxruntime, int8" in str(plan.cells()[3])


def test_without_engines_cells_are_as_they_were() -> None:
    (cell, _) = Plan(workers=(1,), batch_size=(8,)).cells()
    assert cell.engine is None
    assert str(cell) == "bert, 1 worker, batch size 8"


@given(
    st.lists(st.sampled_from([None, *ENGINES]), min_size=1),
    st.lists(st.sampled_from([None, *PRECISIONS]), min_size=1),
)
def test_no_pair_comes_twice_or_can_not_be_had(
    engines: list[str | None], precisions: list[str | None]
) -> None:
    found = pairs(engines, precisions)
    assert len(found) == len(set(found))
    for engine, precision in found:
        assert engine is None or precision is None or precision in ENGINES[engine]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"engine": "onnx"}, "--engine must be one of torch, torch-compile, onnxruntime, openvino, tensorrt"),
        ({"engine": []}, "--engine needs at least one value"),
        ({"precision": "fp8"}, "--precision must be one of fp32, tf32, fp16, bf16, int8, not 'fp8'"),
        ({"engine": "openvino", "precision": "fp16"}, "openvino has none of these precisions"),
        ({"engine": "torch", "precision": ["fp32", "int8"]}, "has int8: --engine onnxruntime"),
        ({"engine": 7}, "plan key 'engine' must be text"),
    ],
)  # fmt: skip
def test_what_can_not_be_had_is_one_line(settings: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        plan_from(settings)
