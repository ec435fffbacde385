"""What a Deployment and units describe, run as it is written there: TorchServe and its gateway."""

import json
import subprocess
import sys
from ctypes.util import find_library
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.base.paths import ROOT
from experiments.fleet.manifests import Site, write
from tests.experiments.fleet.manifests.services import on_cpu, on_gpu
from tests.support import bubbles
from tests.support.small_archives import archive

pytestmark = [
    pytest.mark.wide,
    pytest.mark.integration,
    pytest.mark.skipif(not bubbles.works(), reason=bubbles.LACKS),
]

TELLS = """
import os
def handle(rows, context):
    config = context.model_yaml_config
    told = {"uid": os.getuid(), "batch": config["batchSize"], "workers": config["minWorkers"]}
    return rows and [told] * len(rows)
"""
NAME = "tells"


def test_it_serves_as_another_user_on_a_read_only_tree_whom_it_knows(own_tmp: Path) -> None:
    folder = own_tmp
    write([on_cpu(name=NAME, archive=f"{NAME}.mar", workers=2, batch_size=4)], folder / "files", "kubernetes")
    files = {path.stem: yaml.safe_load(path.read_text()) for path in (folder / "files" / NAME).iterdir()}
    pod = files["deployment"]["spec"]["template"]["spec"]
    secret = files["secret"]["stringData"]
    volumes = volumes_of(folder, files["configmap"]["data"], secret)
    torchserve, gateway = pod["containers"]

    def command(name: str, words: list[str] | None = None) -> list[str]:
        return bubbles.contained(pod, name, volumes, words)

    known, metrics = secret["tokens"], secret["metrics"]
    predicted = {"path": f"/predictions/{NAME}", "body": "text"}
    answers, codes = run(
        {
            "logs": str(folder / "logs"),
            "containers": {"torchserve": command("torchserve"), "gateway": command("gateway")},
            "probes": {
                "startup": command("torchserve", torchserve["startupProbe"]["exec"]["command"]),
                "liveness": command("torchserve", torchserve["livenessProbe"]["exec"]["command"]),
                "readiness": command("gateway", gateway["readinessProbe"]["exec"]["command"]),
            },
            "questions": [
                {**predicted, "token": known},
                {"path": "/metrics", "token": metrics},
                predicted,
                {**predicted, "token": "x" * len(known)},
                {**predicted, "token": known.swapcase()},
                {**predicted, "token": metrics},
                {"path": "/ping"},
                {"path": "/metrics"},
                {"path": "/models", "token": known},
                {**predicted, "port": 8080},
                {"path": "/models", "port": 8081},
            ],
        }
    )
    statuses = [status for status, _ in answers]
    assert statuses[:2] == [200, 200]
    assert json.loads(answers[0][1]) == {"uid": 10001, "batch": 4, "workers": 2}
    assert f'model_name="{NAME}"' in answers[1][1]
    assert statuses[2:8] == [401] * 6
    assert statuses[8] == 404
    assert statuses[9:] == [400, 400]  # TorchServe's own refusal, behind the gateway
    assert codes == [0, 0]


def test_a_host_serves_so_too(own_tmp: Path) -> None:
    service = on_cpu(name=NAME, archive=f"{NAME}.mar", batch_size=4, instances=2)
    write([service], own_tmp / "files", "systemd", site=Site(prefix=str(ROOT)))
    etc = own_tmp / "files" / "etc"
    models, logs = own_tmp / "models", own_tmp / "logs"
    logs.mkdir()
    build(own_tmp, models)
    units = {path.stem: bubbles.Unit.read(path) for path in (own_tmp / "files" / "units").iterdir()}
    containers, probes = {}, {}
    for number in (1, 2):  # side by side, on ports of their own
        name = f"torchserve-{NAME}-{number}"
        shared = {f"/run/{name}": own_tmp / f"run-{number}", f"/var/cache/{name}": own_tmp / f"c{number}"}
        for path in shared.values():
            path.mkdir()
        for each in (name, f"{name}-gateway"):
            containers[each] = bubbles.in_unit(units[each], "ExecStart", shared, etc, models)
        probes[name] = bubbles.in_unit(units[name], "ExecStartPost", shared, etc, models)
    token = (etc / "tokens").read_text().strip()
    predicted = {"path": f"/predictions/{NAME}", "body": "text"}
    answers, codes = run(
        {
            "logs": str(logs),
            "containers": containers,
            "probes": probes,
            "questions": [
                {**predicted, "token": token, "port": 8000},
                {**predicted, "token": token, "port": 8001},
                {**predicted, "port": 8000},
                {**predicted, "port": 18080},
            ],
        }
    )
    assert [status for status, _ in answers] == [200, 200, 401, 400]
    assert json.loads(answers[1][1]) == {"uid": 10001, "batch": 4, "workers": 1}
    assert codes == [0] * 4


@pytest.mark.skipif(find_library("nvidia-ml") is not None, reason="there is a driver here")
def test_a_pod_with_a_daemon_of_its_own_ends_with_the_reason_where_there_is_no_card(own_tmp: Path) -> None:
    write([on_gpu(name=NAME, archive=f"{NAME}.mar")], own_tmp / "files", "kubernetes")
    files = {path.stem: yaml.safe_load(path.read_text()) for path in (own_tmp / "files" / NAME).iterdir()}
    volumes = volumes_of(own_tmp, files["configmap"]["data"], files["secret"]["stringData"])
    command = bubbles.contained(files["deployment"]["spec"]["template"]["spec"], "torchserve", volumes)
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no NVIDIA driver here" in done.stderr


def volumes_of(folder: Path, config: dict[str, str], secret: dict[str, str]) -> dict[str, Path]:
    """Folders that stand for a pod's volumes, filled as the kubelet fills them."""
    volumes = {
        name: folder / name for name in ("config", "tokens", "run", "work", "gateway", "models", "logs")
    }
    for path in volumes.values():
        path.mkdir()
    for name, text in config.items():
        (volumes["config"] / name).write_text(text)
    for name, text in secret.items():
        (volumes["tokens"] / name).write_text(text)
    build(folder, volumes["models"])
    return volumes


def build(folder: Path, models: Path) -> None:
    """An archive in the folder of the models, with a batch size that is not the manifests'."""
    models.mkdir(exist_ok=True)
    archive(folder / "built", NAME, TELLS, "batchSize: 1\n").rename(models / f"{NAME}.mar")


def run(plan: dict[str, Any]) -> tuple[list[list[Any]], list[int]]:
    """The answers, and the containers' exit codes, of tests/support/pod.py."""
    program = [sys.executable, str(ROOT / "tests" / "support" / "pod.py")]
    done = subprocess.run(
        [*bubbles.network(), *program], input=json.dumps(plan), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    answers, codes = json.loads(done.stdout)
    return answers, codes
