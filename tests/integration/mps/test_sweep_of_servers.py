"""Sweeps of servers end to end, where they were added: the same small classifier behind each of them."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from experiments.base.paths import ROOT
from experiments.results import read
from experiments.servers.known import OTHERS
from experiments.serving.instances import PREFIX, processes_of
from experiments.verdict import judge
from handlers.archive.archives import build
from tests.integration.mps.test_sweep import DOOR, first_attempts, started, trials
from tests.support.checkpoints import tiny_bert, tiny_encoder
from tests.support.other_servers import server_that_was_added, small_classifier

pytestmark = [pytest.mark.integration, pytest.mark.wide]

QUICK = ("--warm-up", "0.1", "--workers", "1", "--no-ceilings", "--no-noise-floor")
FIGURES = ("alone_latency_ms", "idle_cpu_cores", "server_cpu_ms_per_request", "server_rss_bytes")


def sweep(folder: Path, *options: str) -> list[str]:
    """The command that sweeps a small classifier into `<folder>/out`."""
    model = small_classifier(folder)
    return [*DOOR, "--model", str(model), "--out", str(folder / "out"), *QUICK, *options]


def finished(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=250)


def test_torchserve_and_triton_in_one_sweep(tmp_path: Path, own_tmp: Path) -> None:
    server_that_was_added("triton")
    out = tmp_path / "out"
    run = finished(
        sweep(
            tmp_path,
            "--server",
            "torchserve,triton",
            "--batch-size",
            "4",
            "--runs",
            "1",
            "--requests",
            "1000",
        )
    )
    assert run.returncode == 0, run.stderr
    ours, theirs = sorted(first_attempts(out), key=lambda trial: str(trial["server"]))
    assert (ours["server"], theirs["server"]) == ("torchserve", "triton")
    for trial in (ours, theirs):
        assert trial["valid"]
        assert trial["answers_checked"]
        assert trial["answers_wrong"] == 0
    assert ours["counted"]
    assert theirs["counted"] is None

    summary = pd.read_csv(out / "summary.csv")
    assert summary.server.tolist() == ["torchserve", "triton"]
    for column in FIGURES:
        assert summary[column].notna().all(), column
    assert (summary.alone_latency_ms > 0).all()
    assert "server" in run.stdout
    assert "Servers and engines side by side" in (out / "report.html").read_text()
    assert list(json.loads((out / "environment.json").read_text())["servers"]) == ["triton"]
    assert not list(own_tmp.glob(f"{PREFIX}*"))

    environment = json.loads((out / "environment.json").read_text())
    environment["servers"]["triton"]["pins_sha256"] = "of other pins"
    (out / "environment.json").write_text(json.dumps(environment))
    refused = finished([*DOOR, "--resume", str(out)])
    assert refused.returncode == 2
    assert "was measured with another triton" in refused.stderr


@pytest.mark.parametrize("other", OTHERS)
def test_embeddings_and_several_texts_in_a_request(tmp_path: Path, other: str) -> None:
    server_that_was_added(other)
    model = build("embedding", tiny_encoder(tmp_path / "encoder"), tmp_path, name="encoder", trial=False)
    out = tmp_path / "out"
    asked = ("--server", f"torchserve,{other}", "--batch-size", "2", "--client-batch", "1,3", "--runs", "1")
    run = finished([*DOOR, "--model", str(model), "--out", str(out), *QUICK, *asked, "--requests", "48"])
    assert run.returncode == 0, run.stderr
    measured = first_attempts(out)
    assert {(trial["server"], trial["client_batch"]) for trial in measured} == {
        (server, inputs) for server in ("torchserve", other) for inputs in (1, 3)
    }
    for trial in measured:
        assert trial["valid"]
        assert trial["answers_checked"]
        assert trial["answers_wrong"] == 0


def test_a_server_that_is_killed_is_started_anew_and_the_sweep_goes_on(tmp_path: Path, own_tmp: Path) -> None:
    server_that_was_added("litserve")
    out = tmp_path / "out"
    command = sweep(tmp_path, "--server", "litserve", "--batch-size", "2", "--runs", "4", "--duration", "1.5")
    run = started(command, out, until_trials=1)
    time.sleep(0.5)
    (folder,) = own_tmp.glob(f"{PREFIX}*")
    os.killpg(os.getpgid(processes_of(folder)[0].pid), signal.SIGKILL)
    _, stderr = run.communicate(timeout=120)
    assert run.returncode == 0, stderr
    invalid = [trial for trial in trials(out) if not trial["valid"]]
    assert len(invalid) == 1
    assert invalid[0]["may_have_passed"]
    (cell,) = judge(read(out)).cells
    assert len(cell.rps) == 4
    assert not list(own_tmp.glob(f"{PREFIX}*"))


def test_a_server_that_can_not_serve_it_is_given_up_and_the_others_go_on(
    tmp_path: Path, own_tmp: Path
) -> None:
    server_that_was_added("litserve")
    regression = tiny_bert(tmp_path / "regression", labels=("score",), spread=0.2)
    model = build("text", regression, tmp_path, name="regression", trial=False)
    out = tmp_path / "out"
    asked = ("--server", "torchserve,litserve", "--batch-size", "2,4", "--runs", "1", "--requests", "32")
    run = finished([*DOOR, "--model", str(model), "--out", str(out), *QUICK, *asked])
    assert run.returncode == 1
    assert "no more is measured of litserve" in run.stdout
    assert {(trial["server"], trial["valid"]) for trial in first_attempts(out)} == {
        ("torchserve", True),
        ("litserve", False),
    }
