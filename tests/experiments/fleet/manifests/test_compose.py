"""A fleet for docker compose: as compose's schema has it, two containers an instance."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.experiments.fleet.manifests.written import refuse_unlike, written

LACKS = "docker compose is not here: apt-get install docker-compose (Debian 13) or docker-compose-v2 (Ubuntu)"


def has_compose() -> bool:
    asked = ["docker", "compose", "version"]
    return shutil.which("docker") is not None and subprocess.run(asked, capture_output=True).returncode == 0


@pytest.mark.parametrize("sharing", ["mps-in-pod", "whole"])
def test_it_is_as_the_specification_has_it(sharing: Any, tmp_path: Path) -> None:
    refuse_unlike("compose-spec", yaml.safe_load(written(tmp_path, "compose", sharing)["compose.yaml"]))


@pytest.mark.skipif(not has_compose(), reason=LACKS)
def test_compose_itself_reads_it(tmp_path: Path) -> None:
    written(tmp_path, "compose")
    (tmp_path / "models").mkdir()
    command = ["docker", "compose", "config", "--format", "json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "bert-1-gateway" in json.loads(done.stdout)["services"]


def test_ports_are_the_gateways_and_the_hosts_own(tmp_path: Path) -> None:
    services = yaml.safe_load(written(tmp_path, "compose")["compose.yaml"])["services"]
    assert [each["ports"] for each in services.values() if "ports" in each] == [
        ["127.0.0.1:8000:8000"],
        ["127.0.0.1:8001:8000"],
        ["127.0.0.1:8002:8000"],
    ]
    assert all(name.endswith("-gateway") for name, each in services.items() if "ports" in each)
    assert services["bert-1"]["network_mode"] == "service:bert-1-gateway"
    for each in services.values():
        assert each["read_only"]
        assert each["cap_drop"] == ["ALL"]
        assert each["user"] == "10001:10001"
        assert not {"privileged", "ipc", "pid"} & set(each)
