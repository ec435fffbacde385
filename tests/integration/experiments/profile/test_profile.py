"""A profile on this machine's cores: each share once, in turns, with what it took."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.base.errors import UsageError
from experiments.base.paths import ROOT
from experiments.profile import Asked, profile, read_points
from experiments.profile.measure import core_seats
from experiments.serving.arms import MpsOptions
from handlers.archive.archives import build
from handlers.archive.engines.asked import Engines
from tests.integration.conftest import programs_in
from tests.support.checkpoints import tiny_bert
from tests.support.engines import needs_engines
from tests.support.own_time import ends_in_s

SOON_S = 2.0


@pytest.mark.wide
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core has no shares")
def test_every_share_and_batch_size_is_measured(tmp_path: Path) -> None:
    archive = build("text", tiny_bert(tmp_path / "tiny"), tmp_path, name="tiny", trial=False)
    asked = Asked([100 // len(os.sched_getaffinity(0)), 100], [1, 4], rounds=2, look_s=0.01, fewest=3)
    told: list[str] = []
    points = profile(archive, asked, None, MpsOptions(), told.append, told.append)
    assert [(point.share_percent, point.batch_size) for point in points] == [
        (share, size) for share in asked.shares for size in asked.batch_sizes
    ]
    for point in points:
        assert (point.model, point.multiprocessors) == ("tiny", None)
        assert point.cores == (1 if point.share_percent < 100 else len(os.sched_getaffinity(0)))
        assert point.executions >= 6
        assert 0 < point.latency_ms_p50_least <= point.latency_ms_p50 <= point.latency_ms_p50_most
        assert point.latency_ms_p50 <= point.latency_ms_p95 <= point.latency_ms_p99
        assert point.memory_bytes > 10**7
    assert told[-1] == "tiny: round 2 of 2"


@pytest.fixture(scope="module")
def for_engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archives")
    tiny, engines = tiny_bert(folder / "tiny", spread=0.2), Engines(("onnxruntime",))
    return build("text", tiny, folder, name="tiny", trial=False, engines=engines)


@pytest.mark.wide
@needs_engines
def test_engines_are_profiled_side_by_side(for_engines: Path) -> None:
    asked = Asked([100], [1, 4], rounds=1, look_s=0.01, fewest=3, engines=("torch", "onnxruntime"))
    points = profile(for_engines, asked, None, MpsOptions(), print, print)
    assert [(point.engine, point.batch_size) for point in points] == [
        ("torch", 1),
        ("torch", 4),
        ("onnxruntime", 1),
        ("onnxruntime", 4),
    ]


@pytest.mark.wide
@needs_engines
@pytest.mark.parametrize(
    ("at", "kept"), [("tiny: loading it", []), ("tiny: warming up", []), ("more: loading it", ["tiny"])]
)
def test_ctrl_c_of_the_command_leaves_the_models_that_were_measured(
    for_engines: Path, tmp_path: Path, own_tmp: Path, at: str, kept: list[str]
) -> None:
    more, out = tmp_path / "more.mar", tmp_path / "profile.csv"
    shutil.copy(for_engines, more)
    options = ["--model", f"{for_engines},{more}", "--engine", "onnxruntime", "--share", "100"]
    brief = ["--batch-size", "1", "--rounds", "1", "--seconds", "1", "--out", f"{out}"]
    command = [sys.executable, "-m", "mps.profile", *options, *brief]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as program:
        assert program.stdout is not None
        while at not in program.stdout.readline():
            assert program.poll() is None
        time.sleep(0.3)
        took_s = ends_in_s(program, signal.SIGINT)
        last = program.stdout.read().splitlines()[-1]
    told = f"{out} holds the models that were measured" if kept else "nothing is kept"
    assert (program.returncode, last) == (130, f"interrupted: {told}")
    assert took_s < SOON_S
    assert [each.model for each in (read_points(out) if out.exists() else [])] == kept
    assert (programs_in(own_tmp), list(own_tmp.iterdir())) == ([], [])


def test_an_engine_that_an_archive_was_not_built_for_is_left_out(tmp_path: Path) -> None:
    archive = build("text", tiny_bert(tmp_path / "tiny"), tmp_path, name="tiny", trial=False)
    told: list[str] = []
    asked = Asked([100], [1], engines=("torch", "onnxruntime"))
    assert asked.engines_for(archive, None, told.append) == ["torch"]
    assert told[0].startswith("tiny without onnxruntime: ")
    with pytest.raises(UsageError, match="onnxruntime"):
        Asked([100], [1], engines=("onnxruntime",)).engines_for(archive, None, told.append)


def test_shares_that_come_to_the_same_cores_are_refused() -> None:
    cores = len(os.sched_getaffinity(0))
    with pytest.raises(UsageError, match=f"shares of 99 and 100 % come to the same {cores} of {cores} cores"):
        core_seats([99, 100])


@pytest.mark.parametrize(
    ("shares", "sizes", "rounds", "told"),
    [
        ([0], [1], 1, "a share of 0 %"),
        ([101], [1], 1, "101"),
        ([50], [0], 1, "batch"),
        ([50], [1], 0, "rounds"),
    ],
)
def test_what_cant_be_measured_is_refused(
    shares: list[int], sizes: list[int], rounds: int, told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        Asked(shares, sizes, rounds=rounds)
