"""`torchserve --start` with the shipped configuration, as README tells it, in a folder of its own."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from experiments.base.paths import ROOT
from tests.support.small_archives import NOOP, archive

pytestmark = pytest.mark.integration


def a_folder(path: Path) -> dict[str, int]:
    """The shipped configuration on free ports, and one small archive -> the port of each address."""
    shutil.copy(ROOT / "log4j2.xml", path)
    (path / "model_store").mkdir()
    shutil.copy(ROOT / "model_store" / "README.md", path / "model_store")
    archive(path, "noop", NOOP).rename(path / "model_store" / "noop.mar")
    ports: dict[str, int] = {}

    def free_port(found: "re.Match[str]") -> str:
        with socket.create_server(("127.0.0.1", 0)) as free:
            ports[found[1]] = free.getsockname()[1]
        return f"{found[1]}_address=http://127.0.0.1:{ports[found[1]]}"

    text = (ROOT / "config.properties").read_text()
    text = re.sub(r"(inference|management|metrics)_address=http://127.0.0.1:\d+", free_port, text)
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        grpc = (one.getsockname()[1], two.getsockname()[1])
    text += f"grpc_inference_port={grpc[0]}\ngrpc_management_port={grpc[1]}\n"
    (path / "config.properties").write_text(text)
    return ports


def torchserve(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    # Its pid file lies in the temporary folder: one of its own keeps other instances out of this.
    environment = os.environ | {"TMPDIR": str(folder), "TEMP": str(folder)}
    command = [sys.executable, str(ROOT / "scripts" / "torchserve.py"), *options]
    with (folder / "printed.log").open("w+") as log:
        done = subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=log, timeout=60)
        log.seek(0)
        return subprocess.CompletedProcess(command, done.returncode, log.read())


def test_it_serves_the_archives_with_tokens_and_stops(tmp_path: Path) -> None:
    ports = a_folder(tmp_path)
    assert torchserve(tmp_path, "--start").returncode == 0
    try:
        answer = _first_prediction(tmp_path, f"http://127.0.0.1:{ports['inference']}/predictions/noop")
        assert answer.text == "ok"
        no_token = requests.post(answer.url, data=b"hi", timeout=10)
        assert no_token.status_code == 400
        keys = json.loads((tmp_path / "key_file.json").read_text())
        headers = {"Authorization": f"Bearer {keys['management']['key']}"}
        elsewhere = f"http://127.0.0.1:{ports['management']}/models?url=file:///etc/passwd"
        refused = requests.post(elsewhere, headers=headers, timeout=10)
        assert "does not match any allowed URL" in refused.text
    finally:
        stopped = torchserve(tmp_path, "--stop", "--foreground")
    assert stopped.returncode == 0


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    ports = a_folder(tmp_path)
    with socket.create_server(("127.0.0.1", ports["management"])):
        done = torchserve(tmp_path, "--start")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"error: management_address http://127.0.0.1:{ports['management']} in config.properties: "
        "Address already in use; stop what listens there (a running TorchServe: torchserve --stop) "
        "or give another port"
    ]


def _first_prediction(folder: Path, url: str) -> requests.Response:
    """The first 200: until the model is loaded, connections are refused and requests answered with 503."""
    deadline = time.monotonic() + 60
    while True:
        try:
            keys = json.loads((folder / "key_file.json").read_text())
            headers = {"Authorization": f"Bearer {keys['inference']['key']}"}
            answer = requests.post(url, data=b"hi", headers=headers, timeout=10)
            if answer.status_code == 200:
                return answer
        except (OSError, ValueError, requests.RequestException):
            pass
        assert time.monotonic() < deadline, (folder / "printed.log").read_text()
        time.sleep(0.2)
