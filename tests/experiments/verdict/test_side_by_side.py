"""Servers and engines next to each other; what is about as good as TorchServe with torch stays that."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.plan import Goal, Plan
from experiments.results import Results
from experiments.results.trial_result import TrialResult
from experiments.verdict import Verdict, judge
from experiments.verdict.advice import advise
from experiments.verdict.deploy import START, files_of, write_files
from experiments.verdict.sentence import advice_sentence
from experiments.verdict.side_by_side import at_the_same, at_their_best, compares, what_it_is_worth
from experiments.verdict.ties import Stack
from tests.support.builders import a_gpu_telemetry, a_result

STEADY = (0.99, 1.0, 1.01, 0.995, 1.005)
TWO = ("torchserve", "triton")
PLAN = Plan(workers=(1,), batch_size=(1, 8), server=TWO, engine=("torch", "onnxruntime"), runs=5, noise_floor=False)  # fmt: skip # noqa: E501


def results_of(speeds_rps: Mapping[tuple[str, str, int], float], plan: Plan = PLAN) -> list[TrialResult]:
    """By (server, engine, batch size), five steady runs of each; 10 requests/s where nothing is said."""
    return [
        a_result(trial, speeds_rps.get((cell.server, cell.engine or "", cell.batch_size), 10.0)
                 * STEADY[trial.run - 1])
        for trial in plan.trials()
        for cell in [trial.cell]
    ]  # fmt: skip


def verdict_on(speeds_rps: Mapping[tuple[str, str, int], float], plan: Plan = PLAN) -> Verdict:
    parity = [{"engine": "onnxruntime", "precision": "fp32", "differs": 3e-7}]
    told = {"archive": {"parity": parity}}
    return judge(Results(Path("nowhere"), plan, tuple(results_of(speeds_rps, plan)), told))


def test_the_faster_server_is_advised_where_that_shows() -> None:
    advice = advise(results_of({("triton", "torch", 8): 20.0}), Goal())
    assert advice.best.cell.server == "triton"
    assert advice.passed_over is None


def test_a_tie_goes_to_torchserve_with_torch_and_says_what_the_change_is_worth() -> None:
    advice = advise(results_of({("triton", "torch", 8): 20.1, ("torchserve", "torch", 8): 20.0}), Goal())
    assert (advice.best.cell.server, advice.best.cell.engine) == ("torchserve", "torch")
    assert advice.passed_over is not None
    assert advice.passed_over in advice.rivals
    assert advice.notes[0] == "torch under Triton reaches 0.5 % more, within noise: stay with TorchServe"
    assert advice_sentence(advice) == (
        "Use batch size 8 on 1 worker (torch): 20.0 requests/s, which batch size 8 on 1 worker (triton; "
        "torch) is not shown to surpass (0.98 to 1.01 times it with 96.8\u00a0% confidence)."
    )


@pytest.mark.parametrize(
    ("server", "engine", "stays"),
    [
        ("torchserve", "onnxruntime", "torch under TorchServe"),
        ("triton", "onnxruntime", "torch under TorchServe"),
    ],
)
def test_of_engines_too(server: str, engine: str, stays: str) -> None:
    speeds = {(server, engine, 8): 20.1, ("torchserve", "torch", 8): 20.0}
    advice = advise(results_of(speeds), Goal())
    assert (advice.best.cell.server, advice.best.cell.engine) == ("torchserve", "torch")
    assert advice.notes[0].endswith(f"stay with {stays}")


def test_two_runs_that_are_far_apart_are_no_tie() -> None:
    plan = replace(PLAN, runs=2)
    advice = advise(results_of({("triton", "torch", 8): 20.0}, plan), Goal())
    assert advice.best.cell.server == "triton"


def test_a_plan_of_torchserve_alone_is_advised_as_ever() -> None:
    plan = Plan(workers=(1, 2), batch_size=(8,), runs=5, noise_floor=False)
    advice = advise([a_result(trial, 10.0 * trial.cell.workers) for trial in plan.trials()], Goal())
    assert advice.best.cell.workers == 2
    assert not compares(judge(Results(Path("nowhere"), plan, tuple(results_of({}, plan)), {})))


def test_each_stands_at_its_best_and_all_at_the_settings_of_the_best() -> None:
    verdict = verdict_on({("triton", "torch", 8): 30.0, ("torchserve", "onnxruntime", 1): 25.0})
    assert compares(verdict)
    rows = at_their_best(verdict)
    assert [(row.stack, row.measured.cell.batch_size) for row in rows[:2]] == [
        (Stack("triton", "torch", None), 8),
        (Stack("torchserve", "onnxruntime", None), 1),
    ]
    assert rows[0].against_best is None
    assert rows[1].against_best is not None
    assert rows[1].against_best.verdict == "better"
    assert rows[1].differs == 3e-7
    assert {row.measured.cell.batch_size for row in at_the_same(verdict)} == {8}
    assert what_it_is_worth(rows, 1.0) == (
        "torch under Triton is at +20\u00a0% over the next, onnxruntime under TorchServe (1.18 to 1.22 "
        "times it with 96.8\u00a0% confidence)."
    )


def test_what_a_bound_excludes_is_nobodys_best() -> None:
    plan = replace(PLAN, goal="throughput with p99<50ms")
    fast = [
        a_result(trial, 30.0 if trial.cell.batch_size == 8 else 10.0, p50_ms=2.0 * trial.cell.batch_size)
        for trial in plan.trials()
    ]
    quick = judge(Results(Path("nowhere"), plan, tuple(fast), {}))
    assert {row.measured.cell.batch_size for row in at_their_best(quick)} == {8}
    slow = [replace(result, latency_ms={**result.latency_ms, "p99": 60.0}) if
            result.trial.cell.batch_size == 8 else result for result in fast]  # fmt: skip
    bounded = judge(Results(Path("nowhere"), plan, tuple(slow), {}))
    assert {row.measured.cell.batch_size for row in at_their_best(bounded)} == {1}


def test_the_cpu_and_memory_of_a_server_are_those_of_all_its_processes() -> None:
    plan = replace(PLAN, engine=("torch",), batch_size=(8,))
    told = a_gpu_telemetry(memory_bytes=1, energy_j=1.0)  # 0.5 and 1.5 cores, 400 answers in 4 s
    results = [
        replace(a_result(trial, telemetry=told), alone_latency_ms=7.0, idle_cpu_cores=0.03)
        for trial in plan.trials()
    ]
    (row, _) = judge(Results(Path("nowhere"), plan, tuple(results), {})).cells
    assert row.known("server_cpu_ms_per_request") == pytest.approx(20.0)
    assert row.known("server_rss_bytes") == 2**31 + 2**29
    assert (row.known("alone_latency_ms"), row.known("idle_cpu_cores")) == (7.0, 0.03)


def test_another_server_is_deployed_by_one_line_and_no_file_of_torchserves(tmp_path: Path) -> None:
    ours = advise(results_of({("torchserve", "torch", 8): 20.0}), Goal())
    assert len(write_files(ours, tmp_path)) == 3
    theirs = advise(results_of({("triton", "onnxruntime", 8): 20.0}), Goal())
    assert [path.name for path in write_files(theirs, tmp_path)] == [START]
    assert [path.name for path in tmp_path.iterdir()] == [START]
    script = files_of(theirs)[START].splitlines()
    assert "export HANDLER_ENGINE=onnxruntime" in script
    assert script[-1] == (
        "exec python -m mps.servers start triton model_store/bert.mar --workers 1 --batch-size 8 "
        "--batch-delay 10 --threads 1"
    )
