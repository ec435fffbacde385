"""Rates, client batches and bounds as a user asks for them: a real TorchServe under open loops."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from handlers.archive.archives import build
from tests.integration.mps.test_sweep import in_process, sweep, trials
from tests.support import small_archives
from tests.support.checkpoints import tiny_bert

pytestmark = pytest.mark.integration

ONE = ("--workers", "1", "--batch-size", "4", "--no-noise-floor", "--no-ceilings")


def test_rates_are_sent_on_schedule_and_latency_counts_from_it(tmp_path: Path, own_tmp: Path) -> None:
    options = (
        *ONE,
        "--rate",
        "20,40",
        "--duration",
        "1",
        "--warm-up",
        "0.2",
        "--runs",
        "2",
        "--arrivals",
        "constant",
    )
    run = in_process(sweep(tmp_path, small_archives.NOOP, *options))
    out = tmp_path / "out"
    # On a machine that is busy with other tests, the generator may rightly find itself late.
    problems = [problem for trial in trials(out) for problem in trial["problems"]]
    assert all("generator could not keep up" in problem for problem in problems), run.stderr
    assert run.returncode == 0 or problems, run.stderr
    assert sorted((trial["rate_rps"], trial["run"]) for trial in trials(out)) == [
        (20, 1),
        (20, 2),
        (40, 1),
        (40, 2),
    ]
    for trial in trials(out):
        assert trial["open_loop"]["scheduled"] == trial["rate_rps"]
        requests = np.load(out / "requests" / f"{trial['position']:04}.npz")
        assert len(requests["scheduled_s"]) == len(requests["end_s"]) == trial["rate_rps"]
        latency_ms = np.median(requests["end_s"] - requests["scheduled_s"]) * 1e3
        assert trial["latency_ms"]["p50"] == pytest.approx(latency_ms)
    summary = pd.read_csv(out / "summary.csv")
    assert summary.rate_rps.tolist() == [20, 40]
    assert "open loop at 20, 40 requests/s, constant arrivals" in (out / "report.md").read_text()
    assert "sent/s" in run.stdout


def test_the_highest_rate_that_keeps_a_bound_is_found_and_advised(tmp_path: Path, own_tmp: Path) -> None:
    handler = small_archives.SLEEPS  # 20 ms a batch of up to 4: 200 requests/s at most
    run = in_process(sweep(tmp_path, handler, *ONE, "--slo", "p90=300ms", "--duration", "2"))
    out = tmp_path / "out"
    assert run.returncode == 0, run.stderr
    (trial,) = trials(out)
    assert trial["goodput"]["slo"] == "p90=300ms"
    assert 50 < trial["throughput_rps"] == trial["goodput"]["goodput_rps"] <= 210
    assert len(trial["goodput"]["probes"]) >= 3
    assert "requests/s" in run.stdout
    assert "the highest rate that keeps p90=300ms" in (out / "report.md").read_text()


@pytest.mark.wide
def test_a_bound_that_nothing_keeps_is_said_and_the_run_fails(tmp_path: Path, own_tmp: Path) -> None:
    run = in_process(sweep(tmp_path, small_archives.SLEEPS, *ONE, "--slo", "p90=5ms", "--duration", "1"))
    assert run.returncode == 1
    assert "p90=5ms is not kept at any rate" in run.stderr


@pytest.mark.wide
def test_several_texts_of_a_request_count_each(tmp_path: Path, own_tmp: Path) -> None:
    mar = build("text", tiny_bert(tmp_path / "bert"), tmp_path, name="tiny", trial=False)
    command = sweep(
        tmp_path, small_archives.NOOP, *ONE, "--client-batch", "1,5", "--duration", "1.5", "--runs", "1"
    )
    command[command.index("--model") + 1] = str(mar)
    at = command.index("--input")
    del command[at : at + 2]
    run = in_process(command)
    assert run.returncode == 0, run.stderr
    by_batch = {trial["client_batch"]: trial for trial in trials(tmp_path / "out")}
    assert set(by_batch) == {1, 5}
    assert "inputs/s" in run.stdout  # what the advice compares
