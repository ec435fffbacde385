"""A folder in which `torchserve` is called as README tells it: the shipped configuration, on free ports."""

import json
import re
import shutil
import socket
from contextlib import suppress
from pathlib import Path

import psutil
import requests

from experiments.base.paths import ROOT
from tests.support.small_archives import NOOP, archive


def a_folder(path: Path) -> dict[str, int]:
    """The shipped configuration on free ports, and one small archive -> the port of each address."""
    shutil.copy(ROOT / "log4j2.xml", path)
    (path / "model_store").mkdir()
    shutil.copy(ROOT / "model_store" / "README.md", path / "model_store")
    archive(path, "noop", NOOP).rename(path / "model_store" / "noop.mar")
    return on_free_ports(ROOT / "config.properties", path / "config.properties")


def on_free_ports(source: Path, target: Path) -> dict[str, int]:
    """A config.properties with free ports in place of its own -> the port of each address."""
    ports: dict[str, int] = {}

    def free_port(found: "re.Match[str]") -> str:
        with socket.create_server(("127.0.0.1", 0)) as free:
            ports[found[1]] = free.getsockname()[1]
        return f"{found[1]}_address=http://127.0.0.1:{ports[found[1]]}"

    text = source.read_text("utf-8")
    text = re.sub(r"(inference|management|metrics)_address=http://127.0.0.1:\d+", free_port, text)
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        grpc = (one.getsockname()[1], two.getsockname()[1])
    ports |= {"grpc_inference": grpc[0], "grpc_management": grpc[1]}
    text += f"grpc_inference_port={grpc[0]}\ngrpc_management_port={grpc[1]}\n"
    target.write_text(text, "utf-8")
    return ports


def predict(folder: Path, ports: dict[str, int], model: str = "noop") -> requests.Response:
    """What the server of the folder answers, asked with its token."""
    keys = json.loads((folder / "key_file.json").read_text("utf-8"))
    headers = {"Authorization": f"Bearer {keys['inference']['key']}"}
    url = f"http://127.0.0.1:{ports['inference']}/predictions/{model}"
    return requests.post(url, data=b"hi", headers=headers, timeout=10)


def no_server_of(folder: Path) -> bool:
    """Whether no TorchServe, nor a worker of one, works in the folder."""
    in_it = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            in_it += [process] if str(folder) in " ".join([process.cwd(), *process.cmdline()]) else []
    return not in_it
