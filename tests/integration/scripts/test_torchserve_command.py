"""`torchserve --start` with the shipped configuration, as README tells it, in a folder of its own."""

import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from experiments.base.paths import ROOT
from tests.support.served_folder import a_folder, no_server_of, predict
from tests.support.small_archives import archive

pytestmark = pytest.mark.integration


def torchserve(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    # Its pid file lies in the temporary folder: one of its own keeps other instances out of this.
    environment = os.environ | {"TMPDIR": str(folder), "LC_ALL": "C"}
    environment.pop("TS_CONFIG_FILE", None)
    command = [sys.executable, str(ROOT / "scripts" / "torchserve.py"), *options]
    with (folder / "printed.log").open("w+", encoding="utf-8") as log:
        done = subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=log, timeout=120)
        log.seek(0)
        return subprocess.CompletedProcess(command, done.returncode, log.read())


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, int], str]]:
    """A folder of a name that shells and locales trip over, in which it was started; its ports; its words."""
    folder = tmp_path_factory.mktemp("served") / "[v2] d'été"
    folder.mkdir()
    ports = a_folder(folder)
    done = torchserve(folder, "--start")
    assert done.returncode == 0, done.stdout
    yield folder, ports, done.stdout
    stopped = torchserve(folder, "--stop", "--foreground")
    assert stopped.returncode == 0
    assert no_server_of(folder)


Started = tuple[Path, dict[str, int], str]


def test_started_means_that_it_answers_at_once_with_tokens(started: Started) -> None:
    folder, ports, printed = started
    answer = predict(folder, ports)
    assert (answer.status_code, answer.text) == (200, "ok")
    assert printed.splitlines() == [
        f"TorchServe serves noop at http://127.0.0.1:{ports['inference']}; it logs into {folder}/logs"
    ]
    no_token = requests.post(answer.url, data=b"hi", timeout=10)
    assert no_token.status_code == 400
    keys = json.loads((folder / "key_file.json").read_text())
    headers = {"Authorization": f"Bearer {keys['management']['key']}"}
    elsewhere = f"http://127.0.0.1:{ports['management']}/models?url=file:///etc/passwd"
    refused = requests.post(elsewhere, headers=headers, timeout=10)
    assert "does not match any allowed URL" in refused.text


def test_its_temporary_files_are_the_users_own(started: Started) -> None:
    folder, _, _ = started
    own = folder / f"torchserve-{os.getuid()}"
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert (own / ".model_server.pid").is_file()
    assert not (folder / ".model_server.pid").exists()


@pytest.mark.wide
def test_a_second_start_says_that_it_runs_and_leaves_it_alone(started: Started) -> None:
    folder, ports, _ = started
    again = torchserve(folder, "--start")
    assert again.returncode == 1
    assert again.stdout.splitlines() == [
        "error: your TorchServe is already running: torchserve --stop stops it"
    ]
    assert predict(folder, ports).text == "ok"


@pytest.mark.wide
@pytest.mark.parametrize(
    "key",
    [
        "inference_address",
        "management_address",
        "metrics_address",
        "grpc_inference_port",
        "grpc_management_port",
    ],
)
def test_a_port_that_is_taken_is_named(tmp_path: Path, key: str) -> None:
    ports = a_folder(tmp_path)
    port = ports[key.removesuffix("_address").removesuffix("_port")]
    value = f"http://127.0.0.1:{port}" if key.endswith("address") else port
    with socket.create_server(("127.0.0.1", port)):
        done = torchserve(tmp_path, "--start")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"error: {key} {value} in config.properties: "
        "Address already in use; stop what listens there (a running TorchServe: torchserve --stop) "
        "or give another port"
    ]


@pytest.mark.xdist_group("default ports")  # side by side they would find each other's
@pytest.mark.parametrize("port", [7070, 7071, 8082])
def test_a_default_port_that_is_taken_is_named_too(tmp_path: Path, port: int) -> None:
    a_folder(tmp_path)
    config = tmp_path / "config.properties"
    config.write_text(
        re.sub(r"^(grpc_\w+_port|metrics_address)=.*$", "", config.read_text(), flags=re.MULTILINE)
    )
    try:
        taken = socket.create_server(("127.0.0.1", port))
    except OSError:
        pytest.skip(f"another program listens at {port}")
    with taken:
        done = torchserve(tmp_path, "--start")
    assert done.returncode == 1
    assert f"{port}" in done.stdout
    assert "Address already in use" in done.stdout


@pytest.mark.wide
def test_a_model_that_cannot_be_loaded_ends_it_with_the_cause(tmp_path: Path) -> None:
    a_folder(tmp_path)
    archive(tmp_path, "broken", "import what_is_not_there\n").rename(tmp_path / "model_store" / "broken.mar")
    done = torchserve(tmp_path, "--start")
    assert done.returncode == 1
    (line,) = done.stdout.splitlines()
    assert "ModuleNotFoundError: No module named 'what_is_not_there'" in line
    assert line.endswith(f"(all that it printed: {tmp_path}/logs/console.log)")
    assert no_server_of(tmp_path)


def test_an_archive_that_is_none_is_named(tmp_path: Path) -> None:
    a_folder(tmp_path)
    (tmp_path / "model_store" / "half.mar").write_bytes(b"half of it")
    done = torchserve(tmp_path, "--start")
    assert done.returncode == 1
    (line,) = done.stdout.splitlines()
    assert (
        line == "error: model_store/half.mar is damaged, or no model archive: remove it, or archive it again"
    )


def test_no_wait_returns_before_it_serves(tmp_path: Path) -> None:
    a_folder(tmp_path)
    assert torchserve(tmp_path, "--start", "--no-wait").returncode == 0
    assert torchserve(tmp_path, "--stop", "--foreground").returncode == 0
    assert no_server_of(tmp_path)


def test_what_somebody_else_left_in_the_temporary_folder_is_not_used(tmp_path: Path) -> None:
    a_folder(tmp_path)
    (tmp_path / f"torchserve-{os.getuid()}").symlink_to("/etc")
    done = torchserve(tmp_path, "--start")
    assert done.returncode == 1
    (line,) = done.stdout.splitlines()
    assert "is not a folder of your own: remove it" in line


def test_a_log_folder_that_cannot_be_written_is_a_line(tmp_path: Path) -> None:
    a_folder(tmp_path)
    (tmp_path / "logs").write_text("a file of that name")
    done = torchserve(tmp_path, "--start")
    assert done.returncode == 1
    (line,) = done.stdout.splitlines()
    assert line.startswith("error: can't write logs/console.log")


def test_the_installed_command_works_below_any_path(tmp_path: Path) -> None:
    clone = tmp_path / "my models [v2] d'été"
    (clone / "bin").mkdir(parents=True)
    (clone / "bin" / "python").symlink_to(sys.executable)
    shutil.copytree(ROOT / "scripts", clone / "scripts")
    for package in ("experiments", "mps"):
        (clone / package).symlink_to(ROOT / package)
    python = str(clone / "bin" / "python")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([python, clone / "scripts" / "torchserve.py", "--install"], env=environment, check=True)
    command = [clone / "bin" / "torchserve", "--version"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == "TorchServe Version is 0.12.0\n", done.stderr
