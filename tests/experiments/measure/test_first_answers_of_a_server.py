"""The first answers of a server are held against the right ones before any figure is taken."""

import json
from pathlib import Path

import pytest

from experiments.answers import Reference, write_reference
from experiments.bench import Bench
from experiments.load import Answers, Body
from experiments.measure.checked_answers import CheckedAnswers, WrongAnswersError
from experiments.measure.progress import Progress
from experiments.plan import Plan
from handlers.archive.archives import Provenance

PLAN = Plan(workers=(1,), batch_size=(2,), server=("triton",), engine=("torch",), precision=("fp32",))
RIGHT = [{"label": "good", "probability": 0.75}, {"label": "bad", "probability": 0.25}]
OTHER = [{"label": "good", "probability": 0.7}, {"label": "bad", "probability": 0.3}]


@pytest.fixture
def answers(tmp_path: Path) -> CheckedAnswers:
    write_reference(tmp_path, Reference({1: {0: RIGHT}}))
    pool = [Body(b"a text", "text/plain")]
    bench = Bench(Path("small.mar"), pool, provenance=Provenance(kind="text"))
    return CheckedAnswers(PLAN, bench, tmp_path, Progress())


@pytest.fixture(autouse=True)
def nothing_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no archive to be asked what was accepted when it was built."""
    monkeypatch.setattr(Bench, "accepted_of", lambda bench, cell: 0.0)


def test_the_right_ones_are_passed_over(answers: CheckedAnswers) -> None:
    answers.refuse_wrong(PLAN.cells()[0], Answers({0: {json.dumps(RIGHT).encode(): 3}}))
    answers.refuse_wrong(PLAN.cells()[0], None)


@pytest.mark.parametrize("answer", [json.dumps(OTHER).encode(), b"sorry"])
def test_a_wrong_one_ends_it_and_is_told(answers: CheckedAnswers, answer: bytes) -> None:
    with pytest.raises(WrongAnswersError) as caught:
        answers.refuse_wrong(PLAN.cells()[0], Answers({0: {answer: 3}}))
    assert caught.value.found.wrong == 3
    assert str(caught.value.found.problem).startswith(
        "3 of 3 answers that were checked are wrong; the first: 'a text'"
    )
