"""A results folder whose files came to harm: a line that names the file, or a report; never a stumble."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from experiments.base.errors import ExperimentError
from experiments.base.paths import ROOT
from experiments.plan import Plan
from experiments.report.page import markdown, of_run
from experiments.results import read
from experiments.results.typed import strictly_parsed
from experiments.verdict import judge
from mps.report import app
from tests.support.damage import damage, fresh_copy
from tests.support.report_folders import a_folder

PUBLISHED = ROOT / "results" / "published" / "cpu-epyc-2-cores"


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged") / "run"


def refusal(folder: Path) -> str:
    """What a reader of the report is told instead of it; empty where there is one."""
    try:
        markdown(of_run(judge(read(folder)))).encode()
    except ExperimentError as error:
        return str(error)
    return ""


@pytest.mark.thorough
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_whatever_happened_to_a_file_there_is_a_report_or_one_line_with_its_name(
    scratch: Path, seed: int
) -> None:
    folder = fresh_copy(PUBLISHED, scratch)
    harmed = damage(folder, seed)
    said = refusal(folder)
    assert harmed.partition(":")[0] in said or not said, harmed
    assert "\n" not in said, harmed


def changed(**values: Any) -> Callable[[list[dict[str, Any]]], None]:
    return lambda lines: lines[1].update(values)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (changed(workers=99), "99 workers, batch size 4 is not in plan.json"),
        (changed(run=77), "run 77 is none of the 5 in plan.json"),
        (changed(throughput_rps="many"), 'throughput_rps must be a number, not "many"'),
        (changed(throughput_rps=True), "throughput_rps must be a number, not true"),
        (changed(throughput_rps=10**400), "throughput_rps must be a number, not 1000"),
        (changed(throughput_rps=float("nan")), "NaN is no number of JSON"),
        (changed(throughput_rps=-1), "below 0"),
        (changed(mps=0), "mps must be true or false, not 0"),
        (changed(latency_ms=[1]), "latency_ms must be an object"),
        (changed(latency_ms={"p99": None}), "latency_ms.p99 must be a number, not null"),
        (changed(problems="late"), 'problems must be a list, not "late"'),
        (changed(counted={"requests": 1}), "latency_ms is missing"),
        (lambda lines: lines[1]["counted"].update(handle_ms=None), "lacks what goes with them"),
        (changed(latency_ms={"p50": 1}), "latency_ms lacks a percentile"),
        (changed(model="a\nb"), "a b, 2 workers"),
        (changed(telemetry={"rss_bytes": {"workers": "2 GiB"}}), "rss_bytes.workers must be a whole number"),
        (lambda lines: lines[1].pop("statuses"), "statuses is missing"),
        (lambda lines: lines.__setitem__(1, lines[0]), "is there already"),
    ],
)  # fmt: skip
def test_a_line_that_can_not_be_right_is_named(
    tmp_path: Path, harm: Callable[[list[dict[str, Any]]], None], said: str
) -> None:
    folder = fresh_copy(PUBLISHED, tmp_path / "run")
    lines = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
    harm(lines)
    (folder / "trials.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = CliRunner().invoke(app, [str(folder)])
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert f"{folder}/trials.jsonl, line 2 is damaged" in done.output
    assert said in done.output


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "can't be read: Expecting value"),
        (b"[1]", "it holds no object"),
        (b'{"model": "\xff"}', "can't be read: 'utf-8' codec"),
        (b'{"workers": ["two"]}', "'workers' must be whole numbers"),
        (b'{"warm_up_s": null}', "'warm_up_s' must be a number of seconds"),
        (b'{"precision": []}', "--precision needs at least one value"),
        (b'{"runs": 100000000}', "trials, more than 100,000"),
        (b'{"model": "\\ud800"}', "surrogates not allowed"),
        (None, "Is a directory"),
    ],
)
def test_a_damaged_plan_is_a_failure_in_a_line(tmp_path: Path, content: bytes | None, said: str) -> None:
    folder = fresh_copy(PUBLISHED, tmp_path / "run")
    (folder / "plan.json").unlink()
    if content is None:
        (folder / "plan.json").mkdir()
    else:
        (folder / "plan.json").write_bytes(content)
    done = CliRunner().invoke(app, [str(folder)])
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert f"{folder}/plan.json" in done.output
    assert said in done.output


def test_a_folder_in_the_place_of_the_trials_is_said(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "run")
    (folder / "trials.jsonl").unlink()
    (folder / "trials.jsonl").mkdir()
    with pytest.raises(ExperimentError, match=r"trials.jsonl can't be read: Is a directory"):
        read(folder)


@pytest.mark.parametrize(
    "text", [b"NaN", b"[Infinity]", b'{"a": 1, "a": 2}', b"\xff", b"[" * 10**6, b"9" * 5000, b'"\\udfff"']
)
def test_what_json_does_not_know_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        strictly_parsed(text)


def test_a_plan_of_too_many_trials_is_refused_before_they_are_listed() -> None:
    with pytest.raises(ExperimentError, match=r"1,400,000 trials, more than 100,000"):
        Plan(runs=200_000)
