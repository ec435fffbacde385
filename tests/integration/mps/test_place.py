"""Two models placed on the cores of this machine, served by a real TorchServe, driven, and held against the
simulation; and what is written serves by itself."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from experiments.placement.deployment import live
from handlers.archive.archives import build
from mps.place import app
from tests.support.checkpoints import tiny_bert, tiny_resnet
from tests.support.served_folder import no_server_of, on_free_ports, predict

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core has no shares"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demand for two tiny models, one of them in turns with itself, and a profile of them, made up."""
    folder = tmp_path_factory.mktemp("placed")
    build("text", tiny_bert(folder / "tiny-text"), folder, name="words", trial=False)
    build("image", tiny_resnet(folder / "tiny-image"), folder, name="pictures", trial=False)
    share = 100 // len(os.sched_getaffinity(0))
    (folder / "profile.csv").write_text(
        "model,percent,batch,latency_ms\n"
        + "".join(f"{m},{share},{b},{5 * b}\n" for m in ("words", "pictures") for b in (1, 2, 4)),
        "utf-8",
    )
    (folder / "demand.yaml").write_text(
        f"""
models:
  - {{model: {folder}/words.mar, rate_rps: 20, slo_ms: 200}}
  - {{model: {folder}/words.mar, name: more-words, rate_rps: 20, slo_ms: 300}}
  - {{model: {folder}/pictures.mar, rate_rps: 90, slo_ms: 100}}
""",
        "utf-8",
    )
    return folder


def test_a_placement_is_served_measured_and_serves_by_itself(
    folder: Path, monkeypatch: pytest.MonkeyPatch, own_tmp: Path
) -> None:
    monkeypatch.setattr(live, "BATCHES_S", 0.5)
    monkeypatch.setattr(live, "BATCHES_WARM_UP_S", 0.2)
    monkeypatch.setattr(live, "MOST_LATE", 100.0)  # other tests keep the generator waiting
    options = ["--profile", f"{folder}/profile.csv", "--out", f"{folder}/out", "--device", "cpu"]
    done = CliRunner().invoke(
        app, [f"{folder}/demand.yaml", *options, "--run", "--seconds", "3", "--warm-up", "1"]
    )
    assert done.exit_code == 0, done.output
    assert "measured (predicted)" in done.output
    proof = json.loads((folder / "out" / "measured.json").read_text("utf-8"))
    for was, asked_rps in zip(proof["measured"], (20, 20, 90), strict=True):
        assert was["requests"] == pytest.approx(3 * asked_rps, rel=0.5)
        assert was["throughput_rps"] > 0.4 * asked_rps
        assert was["attainment"] > 0
    assert [each["workload"] for each in proof["predicted"]] == ["words", "more-words", "pictures"]
    assert all(each["one_ms"] > 0 for each in proof["batches"])
    assert 'id="measured"' in (folder / "out" / "placement.html").read_text("utf-8")

    placement = json.loads((folder / "out" / "placement.json").read_text("utf-8"))
    assert {seat["name"] for seat in placement["seats"]} == {"words", "more-words", "pictures"}
    _serves_by_itself(folder / "out")


def cores_of_workers(out: Path) -> list[list[int]]:
    """The cores that each worker of the folder's server keeps to."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        with suppress(psutil.Error):  # of others, whose parent may be gone: nobody's cwd can be read then
            if "model_service_worker" in line and any(
                str(out) in parent.cwd() for parent in process.parents()[:2]
            ):
                found.append(sorted(os.sched_getaffinity(process.pid)))
    return found


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _serves_by_itself(out: Path) -> None:
    """start.sh, as it was written but on free ports, has every seat's model on its cores."""
    ports = on_free_ports(out / "config.properties", out / "config.properties")
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    started = subprocess.run([out / "start.sh"], env=env, capture_output=True, text=True)
    assert started.returncode == 0, started.stdout + started.stderr
    try:
        seats = json.loads((out / "placement.json").read_text("utf-8"))["seats"]
        for name, status in (("words", 200), ("more-words", 200), ("pictures", 400)):  # "hi" is no picture
            wait_until(lambda name=name, status=status: predict(out, ports, name).status_code == status)
        assert sorted(cores_of_workers(out)) == sorted(seat["cores"] for seat in seats)
    finally:
        subprocess.run(["torchserve", "--stop"], env=env, cwd=out, check=True, capture_output=True)
    wait_until(lambda: no_server_of(out))
