"""From results and a goal to the configuration to use, and the files that say so to TorchServe."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from experiments.base.errors import ExperimentError, UsageError
from experiments.plan import Bound, Cell, Goal, Plan, goal_from
from experiments.plan.goal import BOUNDABLE, UNITS
from experiments.results.trial_result import TrialResult
from experiments.verdict.advice import NoAdviceError, advise
from experiments.verdict.deploy import files_of, write_files
from experiments.verdict.sentence import advice_sentence
from experiments.verdict.words import number
from tests.support.builders import a_gpu_telemetry, a_result

THROUGHPUT = Goal()
GIB = 2**30
STEADY = (0.99, 1.0, 1.01, 0.995, 1.005)  # of five runs


def a_sweep(
    speeds_rps: Mapping[tuple[int, int], float],
    p50_ms: float = 10.0,
    noise: Sequence[float] = STEADY,
    plan: Plan | None = None,
) -> list[TrialResult]:
    """Results by (workers, batch size), a run for each element of `noise`; p50 grows with the batch."""
    plan = plan or Plan(workers=(1, 2, 4), batch_size=(1, 2, 4, 8), runs=len(noise), noise_floor=False)
    return [
        a_result(trial, speeds_rps[key] * noise[trial.run - 1], p50_ms=p50_ms * key[1])
        for trial in sorted(plan.trials(), key=lambda trial: (str(trial.cell), trial.run))
        if (key := (trial.cell.workers, trial.cell.batch_size)) in speeds_rps
    ]


def key_of(cell: Cell) -> tuple[int, int]:
    return cell.workers, cell.batch_size


CPU = {(1, 1): 13.1, (1, 4): 12.7, (1, 8): 12.5, (2, 1): 18.2, (2, 4): 15.1, (2, 8): 13.6}


def test_the_twin_of_a_cell_is_no_rival_of_it() -> None:
    plan = Plan(workers=(1, 2), batch_size=(1,), runs=5)
    advice = advise(a_sweep({(1, 1): 20.0, (2, 1): 10.0}, plan=plan), Goal())
    assert key_of(advice.best.cell) == (1, 1)
    assert not advice.best.cell.twin
    assert advice.rivals == ()


# Goals


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("throughput", Goal()),
        ("throughput with p99<100ms", Goal("throughput", (Bound("p99", 100),))),
        ("requests per joule", Goal("requests per joule")),
        ("memory<8GiB", Goal("throughput", (Bound("memory", 8 * GIB),))),
        ("p99 <= 0.1 s, rss<500MB", Goal("throughput", (Bound("p99", 100), Bound("rss", 5e8)))),
        (
            "  Requests  per Joule with P50<5ms and memory<512MiB ",
            Goal("requests per joule", (Bound("p50", 5), Bound("memory", 2**29))),
        ),
    ],
)
def test_a_goal_is_read_as_it_is_said(text: str, goal: Goal) -> None:
    assert goal_from(text) == goal


bounds = st.builds(
    Bound,
    st.sampled_from(sorted(BOUNDABLE)),
    st.floats(1e-6, 1e15),
)
goals = st.builds(
    Goal,
    st.sampled_from(sorted(UNITS)),
    st.lists(bounds, max_size=4, unique_by=lambda bound: bound.name).map(tuple),
)


@given(goals)
def test_a_goal_that_is_written_is_read_back(goal: Goal) -> None:
    assert goal_from(str(goal)) == goal


@given(st.one_of(st.text(), st.text("p9<=5msgibthroughput with,and ", max_size=30)))
def test_any_text_is_a_goal_or_refused(text: str) -> None:
    goal = None
    with suppress(UsageError):
        goal = goal_from(text)
    assert goal is None or goal_from(str(goal)) == goal


@given(st.text())
def test_a_refusal_fits_one_line(text: str) -> None:
    with pytest.raises(UsageError) as refusal:
        goal_from("fast " + text)
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "can't read ''"),
        ("speed", "can't read 'speed'"),
        ("latency with p99<5ms", "'latency' is no figure to make large, they are throughput or requests per"),
        ("p99<100", "p99 needs a unit: write ms or s"),
        ("p99<100GiB", "'gib' is no unit of p99: write ms or s"),
        ("p90<100ms", "'p90' can't be bounded, only p50, p95, p99, memory or rss"),
        ("memory>8GiB", "can't read 'memory>8gib'"),
        ("memory<0GiB", "must be above 0"),
        ("p99<1ms and p99<2ms", "bounds one thing twice"),
        ("throughput with p99<1ms and", "can't read 'p99<1ms and'"),
        ("throughput with", "can't read 'throughput with'"),
    ],
)
def test_a_goal_that_cannot_be_read_is_refused_with_the_reason_and_examples(text: str, said: str) -> None:
    with pytest.raises(UsageError) as refusal:
        goal_from(text)
    assert said in str(refusal.value)
    assert "goals are like 'throughput'" in str(refusal.value)


# The best


def test_the_best_comes_with_its_runner_up_the_margin_and_its_interval() -> None:
    advice = advise(a_sweep(CPU), THROUGHPUT)
    assert key_of(advice.best.cell) == (2, 1)
    assert advice.runner_up is not None
    assert key_of(advice.runner_up.cell) == (2, 4)
    assert advice.margin is not None
    assert advice.margin.low < 18.2 / 15.1 < advice.margin.high
    assert advice.rivals == ()
    assert advice.notes == ()


def test_the_advice_is_one_sentence() -> None:
    said = advice_sentence(advise(a_sweep(CPU), THROUGHPUT))
    assert said.replace("\u00a0", " ") == (
        "Use batch size 1 on 2 workers: 18.2 requests/s, +21 % over the runner-up, "
        "batch size 4 on 2 workers (1.19 to 1.22 times it with 96.8 % confidence)."
    )


def test_what_the_noise_hides_stays_a_rival() -> None:
    advice = advise(a_sweep(CPU | {(2, 4): 18.15}), THROUGHPUT)
    assert [key_of(rival.cell) for rival in advice.rivals] == [(2, 4)]
    assert "not shown to be more than the runner-up, batch size 4 on 2 workers" in advice_sentence(advice)


def test_rivals_are_told_the_fastest_first() -> None:
    speeds = {(1, 1): 100.0, (1, 2): 98.0, (1, 4): 99.0, (1, 8): 97.0}
    advice = advise(a_sweep(speeds, noise=STEADY[:2]), THROUGHPUT)
    assert [key_of(rival.cell) for rival in advice.rivals] == [(1, 4), (1, 2), (1, 8)]
    assert advice.runner_up is not None
    assert key_of(advice.runner_up.cell) == (1, 4)


def test_a_margin_below_the_noise_floor_leaves_a_rival() -> None:
    advice = advise(a_sweep(CPU), THROUGHPUT, noise_floor=1.25)
    assert [key_of(rival.cell) for rival in advice.rivals] == [(2, 4)]


def test_too_few_runs_leave_rivals_and_say_how_many_it_takes() -> None:
    advice = advise(a_sweep(CPU, noise=STEADY[:2]), THROUGHPUT)
    assert len(advice.rivals) == 5
    assert advice.notes == ("to tell the best of 6 configurations takes 5 runs of each, or more",)


def test_what_a_campaign_could_not_rule_out_are_the_rivals_and_no_other() -> None:
    sweep = a_sweep(CPU | {(2, 4): 18.15}, noise=STEADY[:2])
    contenders = {result.trial.cell for result in sweep if key_of(result.trial.cell) in {(2, 1), (2, 4)}}
    advice = advise(sweep, THROUGHPUT, contenders=contenders)
    assert [key_of(rival.cell) for rival in advice.rivals] == [(2, 4)]
    assert advice.notes == ()


def test_a_single_configuration_is_its_own_best() -> None:
    advice = advise(a_sweep({(1, 1): 10.0}), THROUGHPUT)
    assert (advice.runner_up, advice.margin, advice.rivals) == (None, None, ())
    assert advice_sentence(advice) == "Use batch size 1 on 1 worker: 10.0 requests/s."


def test_the_knee_is_the_smallest_batch_within_5_percent_of_the_best() -> None:
    advice = advise(a_sweep({(1, 1): 50, (1, 2): 94, (1, 4): 96, (2, 4): 97, (1, 8): 100}), THROUGHPUT)
    assert key_of(advice.best.cell) == (1, 8)
    assert key_of(advice.knee.cell) == (1, 4)


def test_the_knee_may_be_just_5_percent_slower_and_is_the_faster_of_two_alike() -> None:
    advice = advise(a_sweep({(1, 1): 95, (1, 8): 100}, noise=(1.0,) * 5), THROUGHPUT)
    assert key_of(advice.knee.cell) == (1, 1)
    plan = Plan(workers=(1,), batch_size=(1,), batch_delay_ms=(5, 10), noise_floor=False)
    runs = [a_result(trial, 100.0 if trial.cell.batch_delay_ms == 10 else 99.0) for trial in plan.trials()]
    assert advise(runs, THROUGHPUT).knee.cell.batch_delay_ms == 10


def test_the_threads_of_torch_are_those_of_the_last_run() -> None:
    sweep = a_sweep({(1, 1): 10.0})
    assert advise([*sweep[:-1], replace(sweep[-1], torch_threads=4)], THROUGHPUT).best.torch_threads == 4


# Bounds


def test_a_bound_excludes_what_breaks_it_and_says_by_how_much() -> None:
    advice = advise(a_sweep({(1, 1): 50, (1, 4): 90, (1, 8): 100}), goal_from("throughput with p99<150ms"))
    assert key_of(advice.best.cell) == (1, 4)
    ((cell, why),) = advice.excluded.items()
    assert key_of(cell) == (1, 8)
    assert why == "p99 is 240ms, not below 150ms"
    assert advice.notes == ()


def test_a_bound_that_holds_in_some_runs_only_is_said() -> None:
    sweep = a_sweep({(1, 1): 50.0})
    sweep[0] = a_result(sweep[0].trial, 50, p50_ms=100)
    advice = advise(sweep, goal_from("p99<100ms"))
    assert advice.notes == ("p99<100ms holds in 4 of the 5 runs of the best configuration only",)


def test_at_the_bound_is_not_below_it() -> None:
    with pytest.raises(NoAdviceError, match=r"the least p99 is 30ms \(bert, 1 worker, batch size 1\)"):
        advise(a_sweep({(1, 1): 50}), goal_from("p99<30ms"))
    advice = advise(a_sweep({(1, 1): 50, (1, 2): 90}), goal_from("p99<60ms"))
    assert list(advice.excluded.values()) == ["p99 is 60ms, not below 60ms"]
    sweep = a_sweep({(1, 1): 50})
    sweep[0] = a_result(sweep[0].trial, 50, p50_ms=20)
    assert advise(sweep, goal_from("p99<60ms")).notes == (
        "p99<60ms holds in 4 of the 5 runs of the best configuration only",
    )


def test_a_goal_that_nothing_meets_says_how_near_one_came() -> None:
    with pytest.raises(NoAdviceError, match=r"the least p99 is 30ms \(bert, 1 worker, batch size 1\)"):
        advise(a_sweep({(1, 1): 50, (1, 4): 90}), goal_from("p99<5ms"))
    sweep = a_sweep({(1, 1): 50, (1, 4): 90})
    slim_but_slow = [
        a_result(r.trial, 50, p50_ms=40 / r.trial.cell.batch_size, telemetry=a_gpu_telemetry(size, 40))
        for r in sweep
        if (size := 2 * GIB * r.trial.cell.batch_size)
    ]
    with pytest.raises(NoAdviceError, match="not all by one configuration"):
        advise(slim_but_slow, goal_from("p99<100ms and memory<4GiB"))


def test_invalid_runs_count_for_nothing() -> None:
    sweep = a_sweep({(1, 1): 50.0, (1, 4): 90.0})
    broken = [a_result(r.trial, 9000, problems=["a worker died"]) for r in sweep[5:]]
    advice = advise([*sweep[:5], *broken], THROUGHPUT)
    assert key_of(advice.best.cell) == (1, 1)
    assert list(advice.excluded.values()) == ["no valid run"]
    with pytest.raises(NoAdviceError, match="no configuration has a valid run"):
        advise(broken, THROUGHPUT)


# Energy and memory


def on_a_gpu(sweep: Sequence[TrialResult]) -> list[TrialResult]:
    """The same, with 1 GiB a worker and 10 J a worker for 400 answers."""
    return [
        a_result(
            r.trial,
            r.throughput_rps,
            telemetry=a_gpu_telemetry(r.trial.cell.workers * GIB, r.trial.cell.workers * 10),
        )
        for r in sweep
    ]


def test_requests_per_joule_can_be_the_goal() -> None:
    advice = advise(on_a_gpu(a_sweep(CPU)), goal_from("requests per joule"))
    assert advice.best.cell.workers == 1
    assert advice.best.median.median == pytest.approx(40)
    assert "40.0 requests/J" in advice_sentence(advice)


def test_gpu_memory_can_be_bounded() -> None:
    advice = advise(on_a_gpu(a_sweep(CPU)), goal_from("memory<1.5GiB"))
    assert key_of(advice.best.cell) == (1, 1)
    assert set(advice.excluded.values()) == {"memory is 2GiB, not below 1.5GiB"}


def test_what_runs_on_a_gpu_is_known_of_the_best() -> None:
    assert advise(on_a_gpu(a_sweep(CPU)), THROUGHPUT).best.on_gpu
    assert not advise(a_sweep(CPU), THROUGHPUT).best.on_gpu


def test_a_configuration_whose_memory_is_unknown_keeps_no_bound_of_it() -> None:
    sweep = a_sweep({(1, 1): 10.0, (1, 2): 20.0})
    advice = advise([*on_a_gpu(sweep[:5]), *sweep[5:]], goal_from("memory<8GiB"))
    assert list(advice.excluded.values()) == ["GPU memory was not measured"]


def test_what_was_not_measured_can_be_no_goal() -> None:
    with pytest.raises(UsageError, match="no energy was measured"):
        advise(a_sweep(CPU), goal_from("requests per joule"))
    with pytest.raises(UsageError, match=r"GPU memory was not measured.*rss"):
        advise(a_sweep(CPU), goal_from("memory<8GiB"))
    with pytest.raises(UsageError, match="resident memory was not measured"):
        advise(a_sweep(CPU), goal_from("rss<8GiB"))


def test_a_configuration_whose_energy_is_unknown_is_excluded_for_that() -> None:
    sweep = a_sweep(CPU)
    advice = advise([*on_a_gpu(sweep[:5]), *sweep[5:]], goal_from("requests per joule"))
    assert set(advice.excluded.values()) == {"no energy was measured"}
    assert advice.rivals == ()


# The files


def settings_in(properties: str) -> dict[str, str]:
    lines = [line for line in properties.splitlines() if line and not line.startswith("#")]
    assert len({line.partition("=")[0] for line in lines}) == len(lines), "a key stands there twice"
    return dict(line.split("=", 1) for line in lines)


def test_the_files_say_what_was_advised() -> None:
    advice = advise(a_sweep({(1, 1): 50, (4, 8): 100}), THROUGHPUT)
    files = files_of(advice)
    assert yaml.safe_load(files["model-config.yaml"]) == {"batchSize": 8, "maxBatchDelay": 10}
    settings = settings_in(files["config.properties"])
    assert settings["default_workers_per_model"] == "4"
    assert settings["load_models"] == "bert.mar"
    assert settings["disable_token_authorization"] == "false"  # the rest is this project's config.properties
    assert "number_of_gpu" not in settings
    assert "export OMP_NUM_THREADS=1" in files["start.sh"]
    assert "mps" not in files["start.sh"]


def test_with_mps_the_start_script_brings_the_daemon_and_the_share() -> None:
    plan = Plan(
        workers=(2,),
        batch_size=(8,),
        with_mps=True,
        thread_percentage=(50,),
        precision=("fp16",),
        noise_floor=False,
    )
    sweep = [
        a_result(trial, 200 if trial.cell.mps else 100, telemetry=a_gpu_telemetry(GIB, 40))
        for trial in plan.trials()
    ]
    files = files_of(advise(sweep, THROUGHPUT))
    assert "exec torchserve --start --mps --thread-percentage 50 --ncs --ts-config " in files["start.sh"]
    assert "CUDA_MPS" not in files["start.sh"]
    assert settings_in(files["config.properties"])["number_of_gpu"] == "1"
    assert yaml.safe_load(files["model-config.yaml"])["handler"] == {"precision": "fp16"}


def test_the_start_script_makes_the_static_partition_and_limits_the_memory() -> None:
    plan = Plan(
        workers=(2,),
        batch_size=(8,),
        with_mps=True,
        sm_chunks=(4,),
        memory_limit_mib=(2048,),
        noise_floor=False,
    )
    sweep = [
        a_result(trial, 200 if trial.cell.mps else 100, telemetry=a_gpu_telemetry(GIB, 40))
        for trial in plan.trials()
    ]
    script = files_of(advise(sweep, THROUGHPUT))["start.sh"]
    assert "|| nvidia-cuda-mps-control -d -S  # the daemon" in script
    assert '"sm_partition add $uuid 4"' in script
    before, memory, _ = script.partition("export CUDA_MPS_PINNED_DEVICE_MEM_LIMIT=0=2048M\n")
    assert memory
    assert "nvidia-cuda-mps-control -d" in before  # else the limit would be every client's of that daemon


def test_the_start_script_sets_what_the_handlers_were_measured_with() -> None:
    files = files_of(
        advise(a_sweep({(1, 1): 50}), THROUGHPUT),
        {"HANDLER_COMPILE": "cuda_graphs", "CUDA_HOME": "/usr/local"},
    )
    assert "export HANDLER_COMPILE=cuda_graphs\n" in files["start.sh"]
    assert "CUDA_HOME" not in files["start.sh"]


def test_the_start_script_starts_torchserve_with_the_advised_settings(tmp_path: Path) -> None:
    """Run with a `torchserve` that tells how it was called."""
    write_files(advise(a_sweep({(1, 1): 50}), THROUGHPUT), tmp_path / "advice")
    called = tmp_path / "torchserve"
    called.write_text('#!/bin/sh\necho "$OMP_NUM_THREADS" "$@"\n')
    called.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    script = tmp_path / "advice" / "start.sh"
    done = subprocess.run([script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"1 --start --ncs --ts-config {tmp_path}/advice/config.properties\n"


def test_files_that_cannot_be_written_are_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExperimentError, match="can't write the advice"):
        write_files(advise(a_sweep({(1, 1): 50}), THROUGHPUT), tmp_path / "file" / "advice")


@pytest.mark.parametrize(
    ("figure", "said"),
    [(0.0523, "0.0523"), (18.21, "18.2"), (18.0, "18.0"), (99.96, "100"), (1234.4, "1,234")],
)
def test_figures_are_said_with_three_digits_or_all(figure: float, said: str) -> None:
    assert number(figure) == said
