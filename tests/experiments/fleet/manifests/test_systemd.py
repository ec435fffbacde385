"""Units for systemd: it takes them, and finds them hardened."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from experiments.base.paths import ROOT
from experiments.fleet.manifests import Site, write
from experiments.serving.configured import listeners, settings_of
from tests.experiments.fleet.manifests.services import on_gpu
from tests.experiments.fleet.manifests.written import fleet, written

ANALYZE = "systemd-analyze"
LACKS = "systemd-analyze is not here: apt-get install systemd"
MPS = "/usr/bin/nvidia-cuda-mps-control"
MOST_EXPOSED = 2.0  # of systemd-analyze's 10; a unit without any of its settings is at 9.6
needs_systemd = pytest.mark.skipif(shutil.which(ANALYZE) is None, reason=LACKS)


def units(folder: Path) -> list[Path]:
    return sorted((folder / "units").iterdir())


@needs_systemd
def test_systemd_takes_every_unit(tmp_path: Path) -> None:
    write(fleet("mps-in-pod"), tmp_path, "systemd", site=Site(prefix=str(ROOT)))
    done = subprocess.run([ANALYZE, "verify", *units(tmp_path)], capture_output=True, text=True)
    complaints = [line for line in done.stderr.splitlines() if str(tmp_path) in line or ".service" in line]
    lacking = [] if Path(MPS).exists() else [MPS]
    assert [
        line for line in complaints if not any(f"Command {each} is not" in line for each in lacking)
    ] == []


@needs_systemd
def test_a_wrong_unit_would_be_found(tmp_path: Path) -> None:
    unit = tmp_path / "wrong.service"
    unit.write_text("[Service]\nExecStart=/bin/true\nProtectSytem=strict\n")
    done = subprocess.run([ANALYZE, "verify", unit], capture_output=True, text=True)
    assert "ProtectSytem" in done.stderr


@pytest.mark.thorough
@needs_systemd
def test_services_are_exposed_to_little(tmp_path: Path) -> None:
    written(tmp_path, "systemd")
    for unit in units(tmp_path):
        command = [ANALYZE, "security", "--offline=true", "--no-pager", unit]
        told = subprocess.run(command, capture_output=True, text=True).stdout
        found = re.search(r"Overall exposure level for .*: ([\d.]+)", told)
        assert found
        assert float(found[1]) <= MOST_EXPOSED, unit.name


def test_instances_on_a_host_listen_on_ports_of_their_own(tmp_path: Path) -> None:
    written(tmp_path, "systemd")
    taken = [
        each.port
        for path in tmp_path.glob("etc/*/config.properties")
        for each in listeners(settings_of(path))
    ]
    assert len(taken) == 4 * 5
    assert len(set(taken)) == len(taken)


def test_services_on_a_card_are_the_daemons_clients_and_its_user(tmp_path: Path) -> None:
    files = written(tmp_path, "systemd")
    daemon, service = files["units/nvidia-mps.service"], files["units/torchserve-bert-2.service"]
    for unit in (daemon, service):
        assert "User=torchserve\n" in unit
        assert "CUDA_MPS_PIPE_DIRECTORY=/run/nvidia-mps" in unit
    assert "BindsTo=nvidia-mps.service" in service
    assert "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=50" in service
    assert "nvidia-mps" not in files["units/torchserve-embeddings-1.service"]


def test_the_daemons_clients_count_its_cards_alone(tmp_path: Path) -> None:
    alone = on_gpu(name="alone", sharing="whole", instances_per_card=1, instances=1, least_instances=1)
    shared = on_gpu(name="shared", sharing="mps-in-pod", instances_per_card=2, instances=3)
    write([alone, shared], tmp_path, "systemd")
    assert "CUDA_VISIBLE_DEVICES=1,2\n" in (tmp_path / "units" / "nvidia-mps.service").read_text()
    told = [
        re.findall(r"CUDA_VISIBLE_DEVICES=(\d+)|DeviceAllow=/dev/nvidia(\d+)", path.read_text())
        for path in units(tmp_path)
        if re.fullmatch(r"torchserve-\w+-\d", path.stem)
    ]
    numbers = [["".join(found) for found in each] for each in told]
    assert numbers == [["0", "0"], ["0", "1"], ["0", "1"], ["1", "2"]]
