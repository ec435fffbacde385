"""A run that is resumed goes on as it began: on its device, with its options; another device is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from experiments.base.errors import UsageError
from experiments.bench import Bench
from experiments.measure.elsewhere import CLUSTER
from experiments.measure.measure import _note_resumption
from experiments.measure.progress import Progress
from experiments.measure.resumed import setup_of
from experiments.results import read, read_environment
from experiments.results.trial_result import trial_result_from
from experiments.serving.arms import MpsOptions, arm
from experiments.verdict import judge
from mps.run_options import beside_the_plan
from tests.stand_ins import UUID
from tests.support.report_folders import ENVIRONMENT, a_folder

CARDS = [{"name": "NVIDIA H200", "uuid": "GPU-other"}, {"name": "Tesla T4", "uuid": UUID}]


def options(resume: Path | None, **given: Any) -> tuple[Any, ...]:
    """What the command makes of its options."""
    none = {"device": None, "gpu": None, "ceilings": None, "ray": None}
    none |= {"keep_compute_mode": False, "use_running_daemon": False}
    return beside_the_plan({**none, **given, "resume": resume})


class Warnings(Progress):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def warn(self, message: str) -> None:
        self.heard.append(message)


def begun_on(folder: Path, **told: Any) -> Path:
    return a_folder(folder, environment={**ENVIRONMENT, "gpus": CARDS, **told}, trials=2)


@pytest.fixture
def here() -> dict[str, Any]:
    return {**ENVIRONMENT, "gpus": CARDS, "device": UUID}


def test_the_options_are_those_that_it_began_with(tmp_path: Path) -> None:
    mps = {"keep_compute_mode": True, "use_running_daemon": False}
    folder = begun_on(tmp_path / "gpu", device=UUID, mps_options=mps, ceilings=False)
    assert options(folder) == (None, UUID, MpsOptions(True), False)
    assert options(folder, gpu="0")[1] == "0"  # which is refused below
    folder = begun_on(tmp_path / "cpu", device="cpu")
    assert options(folder) == ("cpu", None, MpsOptions(), None)
    assert options(None, device="gpu", gpu="1", ceilings=True) == ("gpu", "1", MpsOptions(), True)


def test_what_a_cluster_measured_goes_on_there_alone(tmp_path: Path, here: dict[str, Any]) -> None:
    kind = f"{CLUSTER}NVIDIA H200, 141 GiB"
    folder = begun_on(tmp_path / "spread", device=kind)
    with pytest.raises(UsageError, match="was measured on a cluster of NVIDIA H200, 141 GiB: give --ray too"):
        options(folder)
    assert options(folder, ray="auto")[:2] == (None, None)
    for device in (UUID, f"{CLUSTER}Tesla T4, 15 GiB"):
        with pytest.raises(UsageError, match="give --ray with such cards, or leave it out as then, or start"):
            _note_resumption(folder, {**here, "device": device}, Progress())
    hardware = judge(read(folder)).hardware
    assert hardware.startswith("NVIDIA H200")


def test_loads_from_elsewhere_than_before_are_refused(tmp_path: Path, here: dict[str, Any]) -> None:
    loads = {"resource": "load", "kind": "2 cores of Abacus 9000", "nodes": ["b cores 0-1"]}
    folder = begun_on(tmp_path / "afar", device=UUID, load_from=loads)
    with pytest.raises(
        UsageError, match=r"came from other nodes, .* these would from the server's own machine"
    ):
        _note_resumption(folder, here, Progress())
    for other in ({**loads, "resource": "clients"}, {**loads, "kind": "4 cores of Abacus 9000"}):
        with pytest.raises(UsageError, match="give --load-from as then, or start a new run"):
            _note_resumption(folder, {**here, "load_from": other}, Progress())
    _note_resumption(folder, {**here, "load_from": {**loads, "nodes": ["c cores 0-1"]}}, Progress())
    with pytest.raises(UsageError, match="came from the server's own machine"):
        _note_resumption(begun_on(tmp_path / "here", device=UUID), {**here, "load_from": loads}, Progress())


def test_another_device_is_refused(tmp_path: Path, here: dict[str, Any]) -> None:
    for device in ("GPU-other", "cpu"):
        folder = begun_on(tmp_path / device, device=device)
        with pytest.raises(UsageError, match=f"was measured on {device}, this would be {UUID}"):
            _note_resumption(folder, here, Progress())
        assert "resumed" not in read_environment(folder)


def test_an_old_folder_goes_on_with_a_warning_and_knows_its_device_then(
    tmp_path: Path, here: dict[str, Any]
) -> None:
    folder, progress = begun_on(tmp_path / "old"), Warnings()
    assert setup_of(folder).device is None
    _note_resumption(folder, here, progress)
    assert any("does not tell its GPU: it goes on with" in line for line in progress.heard)
    assert setup_of(folder).device == UUID


def test_the_report_names_the_device_that_was_used(tmp_path: Path) -> None:
    def hardware(**told: Any) -> str:
        told = {"gpu_is_stood_in_for": False} | told
        return judge(read(begun_on(tmp_path / str(len(list(tmp_path.iterdir()))), **told))).hardware

    assert hardware(device=UUID) == "Tesla T4"
    assert hardware(device="cpu") == "Abacus 9000, 16 cores"
    assert hardware() == "NVIDIA H200"  # as before, where the files don't tell
    instance = [{**CARDS[0], "mig": True}]
    assert hardware(device="GPU-other", gpus=instance) == "NVIDIA H200, its first MIG instance"


def test_a_trials_line_tells_its_device(tmp_path: Path) -> None:
    (first, *_) = read(begun_on(tmp_path / "old")).trials
    assert first.device is None  # of before it was noted
    assert trial_result_from(json.loads(json.dumps(first.to_json() | {"device": UUID}))).device == UUID


def test_torchserve_is_told_how_many_gpus_it_deals() -> None:
    bench = Bench(Path("model.mar"), ())
    assert (bench.device, bench.gpus_dealt) == ("cpu", {"number_of_gpu": "0"})
    with arm(False, None, MpsOptions(), warn=print) as current:
        assert current.env == {"CUDA_VISIBLE_DEVICES": ""}


def test_another_version_of_a_server_is_refused_and_what_no_folder_tells_is_not(
    tmp_path: Path, here: dict[str, Any]
) -> None:
    told = {"litserve": {"package": "litserve 0.2.19", "pins_sha256": "one"}}
    archive = {**here["archive"]}
    folder = begun_on(tmp_path / "other", device=UUID, servers=told)
    now = {**here, "archive": archive, "servers": {"litserve": {**told["litserve"], "pins_sha256": "two"}}}
    with pytest.raises(UsageError, match="measured with another litserve"):
        _note_resumption(folder, now, Progress())
    _note_resumption(folder, {**now, "servers": told}, Progress())
    _note_resumption(begun_on(tmp_path / "older", device=UUID), now, Progress())
