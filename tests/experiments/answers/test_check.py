"""All answers of a trial at once: how many are wrong, the first of them, and the reference's file."""

import json
from pathlib import Path
from typing import Any

import pytest

from experiments.answers import AnswerCheck, Reference, read_reference, write_reference
from experiments.answers.check import agrees_with_itself, most_frequent
from experiments.answers.reference import FILE, reference_from
from experiments.base.errors import ExperimentError
from experiments.load import Answers, Body
from experiments.plan import Plan

POOL = [
    Body(b"rain again", "text/plain"),
    Body(b"x" * 99, "image/jpeg", "cat.jpg"),
    Body(b"more", "text/plain"),
]


def answer(good: float) -> Any:
    told = [{"label": "good", "probability": good}, {"label": "bad", "probability": 1 - good}]
    return sorted(told, key=lambda one: -one["probability"])


def in_json(good: float) -> bytes:
    return json.dumps(answer(good)).encode()


RIGHT = Reference({1: {0: answer(0.9), 1: answer(0.2)}})


def test_all_right() -> None:
    answers = Answers({0: {in_json(0.9): 40, in_json(0.90001): 2}, 1: {in_json(0.2): 8}, 2: {b"?": 5}})
    found = AnswerCheck(RIGHT).check(answers, POOL, inputs=1, precision="fp32")
    assert (found.answers, found.wrong, found.top1_agreement, found.problem) == (50, 0, 1.0, None)
    assert found.worst_difference == pytest.approx(1e-5)


def test_one_wrong_answer_in_a_hundred_is_found_and_told() -> None:
    answers = Answers({0: {in_json(0.9): 99, in_json(0.1): 1}})
    found = AnswerCheck(RIGHT).check(answers, POOL, inputs=1, precision="fp16")
    assert (found.answers, found.wrong, found.top1_agreement) == (100, 1, 0.99)
    assert found.problem == (
        "1 of 100 answers that were checked are wrong; the first: 'rain again': good 0.1, where 0.9 is right"
    )


def test_a_precision_has_its_tolerance() -> None:
    answers = Answers({1: {in_json(0.21): 1}})
    wrong = {p: AnswerCheck(RIGHT).check(answers, POOL, 1, p).wrong for p in ("fp32", "tf32", "fp16", "bf16")}
    assert wrong == {"fp32": 1, "tf32": 1, "fp16": 0, "bf16": 0}


def test_a_model_that_rounding_alone_changes_more_may_differ_by_twice_as_much() -> None:
    """Random weights do that; those of a trained model stay within the tolerance."""
    sensitive = Reference({1: {0: answer(0.9)}}, rounding={"bf16": 0.04})
    answers = [Answers({0: {in_json(good): 1}}) for good in (0.83, 0.81)]
    assert [AnswerCheck(sensitive).check(one, POOL, 1, "bf16").wrong for one in answers] == [0, 1]
    assert [AnswerCheck(sensitive).check(one, POOL, 1, "fp32").wrong for one in answers] == [1, 1]
    lost = Reference({1: {0: answer(0.9)}}, rounding={"bf16": 0.9})
    found = AnswerCheck(lost).check(Answers({0: {in_json(0.6): 1}}), POOL, 1, "bf16")
    assert (lost.lost(), found.answers, found.wrong) == (["bf16"], 0, 0)


def test_a_number_that_is_none_is_told_as_a_number() -> None:
    told = b'[{"label": "good", "probability": NaN}, {"label": "bad", "probability": 0.8}]'
    found = AnswerCheck(RIGHT).check(Answers({1: {told: 1}}), POOL, 1, "fp16")
    assert found.worst_difference == 1e9
    assert found.problem is not None
    assert "cat.jpg: good nan" in found.problem


def test_a_foreign_model_is_its_own_reference_where_it_agrees_with_itself() -> None:
    steady = Answers({0: {b'{"x": 1.0}': 5, b'{"x": 1.001}': 2}})
    assert agrees_with_itself(steady)
    assert not agrees_with_itself(Answers({0: {b"heads": 5, b"tails": 5}}))
    cell, twin = Plan(model="own.mar", workers=(1,), batch_size=(1,)).cells()
    reference = reference_from(cell, most_frequent(steady))
    assert reference.is_from(twin)
    assert AnswerCheck(reference).check(Answers({0: {b'{"x": 2.0}': 1}}), POOL, 1, "fp32").wrong == 1


def test_the_reference_is_kept_with_the_results(tmp_path: Path) -> None:
    assert read_reference(tmp_path) is None
    write_reference(tmp_path, RIGHT)
    assert read_reference(tmp_path) == RIGHT
    rounded = Reference({1: {0: answer(0.9)}}, rounding={"bf16": 0.04})
    write_reference(tmp_path, rounded)
    assert read_reference(tmp_path) == rounded
    before = {k: v for k, v in json.loads((tmp_path / FILE).read_text("utf-8")).items() if k != "rounding"}
    (tmp_path / FILE).write_text(json.dumps(before), "utf-8")  # as folders of older versions have it
    assert read_reference(tmp_path) == Reference({1: {0: answer(0.9)}})
    (tmp_path / "reference_answers.json").write_text('{"schema_version": 1}', "utf-8")
    with pytest.raises(ExperimentError, match=r"reference_answers\.json can't be read .*: remove it"):
        read_reference(tmp_path)
