"""Two small models at once, under a real TorchServe and under the servers that were added."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml

from benchmarks.parts.leftovers import is_free, left_in
from experiments.base.paths import ROOT
from experiments.servers.known import OTHERS, SERVERS
from experiments.together import Folder
from tests.support.other_servers import server_that_was_added, small_classifier
from tests.support.own_time import ends_in_s

pytestmark = pytest.mark.integration

NONE = "an-instance-of-nobody"  # TorchServe leaves no shared memory
SOON_S = 2.0


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archives")
    small_classifier(folder, "one")
    small_classifier(folder, "two", seed=1)
    return folder


def a_plan(archives: Path, folder: Path, servers: list[str], runs: int = 2) -> Path:
    models = [
        {"name": name, "archive": str(archives / f"{name}.mar"), "share": share, "slo": "p90=2s"}
        for name, share in (("one", 2), ("two", 1))
    ]
    settings = {"runs": runs, "duration_s": 1.5, "warm_up_s": 0.3, "settling_s": 0.5, "rate_rps": 30}
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump({"servers": servers, **settings, "models": models}))
    return path


def command(plan: Path, out: Path, *options: str) -> list[str]:
    door = "tests.support.undisturbed", "mps.together"
    return [sys.executable, "-m", *door, str(plan), "--out", str(out), *options]


@pytest.mark.wide
def test_each_server_has_a_row_for_each_model(archives: Path, tmp_path: Path) -> None:
    plan = a_plan(archives, tmp_path, ["torchserve"])
    done = subprocess.run(
        command(plan, tmp_path / "out"), cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "torchserve answers as the models do" in done.stdout
    frame = pd.read_csv(tmp_path / "out" / "summary.csv")
    assert list(zip(frame["server"], frame["model"], strict=True)) == [
        ("torchserve", "one"),
        ("torchserve", "two"),
    ]
    assert list(frame["runs"]) == [2, 2]
    assert (frame["failures"] == 0).all()
    assert (frame["p50_ms"] <= frame["p99_ms"]).all()

    again = subprocess.run(
        command(plan, tmp_path / "out"), cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "everything is measured already" in again.stdout


@pytest.mark.wide
@pytest.mark.parametrize("other", OTHERS)
def test_another_server_is_measured_in_turns(archives: Path, tmp_path: Path, other: str) -> None:
    server_that_was_added(other)
    plan = a_plan(archives, tmp_path, ["torchserve", other])
    subprocess.run(command(plan, tmp_path / "out"), cwd=ROOT, capture_output=True, check=True)
    looks = Folder(tmp_path / "out").looks()
    assert [each.server for each in looks] == ["torchserve", other, other, "torchserve"]


@pytest.mark.wide
def test_a_search_ends_with_a_factor_and_its_interval(archives: Path, tmp_path: Path) -> None:
    plan = a_plan(archives, tmp_path, ["torchserve"], runs=0)
    options = ("--goodput", "--looks", "4", "--seconds", "0.6")
    subprocess.run(command(plan, tmp_path / "out", *options), cwd=ROOT, capture_output=True, check=True)
    (row,) = pd.read_csv(tmp_path / "out" / "goodput.csv").to_dict("records")
    assert 0 < row["least_factor"] <= row["factor"]
    assert row["one_rps"] == pytest.approx(2 * row["two_rps"])
    assert row["looks"] <= 4


def interrupted(plan: Path, out: Path, at: str) -> float:
    """The command, hit by Ctrl-C a little after it has told the line `at`: it says that it can go on, and
    none of its ports is taken any more. Seconds that it took to end."""
    with subprocess.Popen(
        command(plan, out), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as program:
        assert program.stdout is not None
        while at not in program.stdout.readline():
            assert program.poll() is None
        time.sleep(0.8)
        ports = listened_at(psutil.Process(program.pid))
        took_s = ends_in_s(program, signal.SIGINT)
        last = program.stdout.read().splitlines()[-1]
    assert (program.returncode, last) == (
        130,
        f"interrupted: {out} has what was measured; the same command goes on",
    )
    assert all(is_free(port) for port in ports)
    return took_s


def listened_at(program: psutil.Process) -> set[int]:
    """The ports of a program and of all that it has started."""
    found = set()
    for process in (program, *program.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            found |= {
                each.laddr.port
                for each in process.net_connections("tcp")
                if each.status == psutil.CONN_LISTEN
            }
    return found


@pytest.mark.wide
def test_ctrl_c_leaves_nothing_and_the_same_command_goes_on(
    archives: Path, tmp_path: Path, own_tmp: Path
) -> None:
    plan, out = a_plan(archives, tmp_path, ["torchserve"], runs=3), tmp_path / "out"
    assert interrupted(plan, out, at="run 1 of 3") < SOON_S
    assert left_in(own_tmp, NONE) == []
    assert len(Folder(out).looks()) == 1
    subprocess.run(command(plan, out), cwd=ROOT, env=os.environ, capture_output=True, check=True)
    assert sorted(each.number for each in Folder(out).looks()) == [0, 1, 2]


@pytest.mark.wide
@pytest.mark.parametrize("at", ["what is right", "starting torchserve"])
def test_ctrl_c_before_anything_is_measured_leaves_nothing(
    archives: Path, tmp_path: Path, own_tmp: Path, at: str
) -> None:
    plan, out = a_plan(archives, tmp_path, ["torchserve"]), tmp_path / "out"
    assert interrupted(plan, out, at) < SOON_S
    assert left_in(own_tmp, NONE) == []
    assert Folder(out).looks() == []


@pytest.mark.wide
def test_an_unknown_server_and_a_missing_archive_are_wrong_usage(archives: Path, tmp_path: Path) -> None:
    plan = a_plan(archives, tmp_path, [*SERVERS][:1])
    for options, why in ((["--server", "none"], "no server none"), ([], "no archive")):
        if not options:
            plan.write_text(plan.read_text().replace("two.mar", "none.mar"))
        done = subprocess.run(
            command(plan, tmp_path / "out", *options), cwd=ROOT, capture_output=True, text=True
        )
        assert (done.returncode, why in done.stderr) == (2, True)
