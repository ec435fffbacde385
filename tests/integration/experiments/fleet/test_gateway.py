"""The gateway by itself, before a small server that tells which token it was shown."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from experiments.base.paths import ROOT
from experiments.fleet.manifests.settings import PROGRAMS
from tests.support.small_server import Request, http, serving

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        shutil.which("nginx") is None, reason="nginx is not here: apt-get install nginx-light"
    ),
]

GATEWAY = ROOT / PROGRAMS / "gateway.py"
FIRST, SECOND = "a" * 32, "b" * 32
LONGEST_S = 30.0


async def tells_its_token(request: Request, writer: asyncio.StreamWriter) -> None:
    headers = {key.lower(): value for key, value in request.headers.items()}
    writer.write(http(200, headers["authorization"].encode()))


def shown(keys: Path, key: str) -> None:
    """TorchServe's file of tokens."""
    keys.write_text(json.dumps({"inference": {"key": key}}), "utf-8")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def gateway(folder: Path, upstream: int) -> Iterator[str]:
    """A gateway of the model `bert`, and where it is reached. It ends with code 0 when it is told to."""
    port = free_port()
    options = {
        "model": "bert",
        "keys": folder / "keys.json",
        "tokens": folder / "tokens",
        "listen": f"127.0.0.1:{port}",
        "inference": f"127.0.0.1:{upstream}",
        "metrics": f"127.0.0.1:{upstream}",
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    process = subprocess.Popen(
        [sys.executable, str(GATEWAY), *words], env={**os.environ, "TMPDIR": str(folder)}
    )
    try:
        yield f"http://127.0.0.1:{port}/predictions/bert"
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONGEST_S) == 0
    finally:
        process.kill()


def asked(url: str, token: str) -> tuple[int, str]:
    answer = requests.post(url, headers={"Authorization": f"Bearer {token}"}, timeout=10)
    return answer.status_code, answer.text


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST_S
    while True:
        try:
            if holds():
                return
        except requests.ConnectionError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_it_follows_torchserves_tokens_and_the_fleets(own_tmp: Path) -> None:
    keys, tokens = own_tmp / "keys.json", own_tmp / "tokens"
    tokens.write_text(f"{FIRST}\n")
    with serving(tells_its_token) as server, gateway(own_tmp, server.port) as url:
        shown(keys, "first-key")  # TorchServe starts after it
        until(lambda: asked(url, FIRST) == (200, "Bearer first-key"))
        assert asked(url, SECOND)[0] == 401
        shown(keys, "second-key")  # TorchServe has started again
        until(lambda: asked(url, FIRST) == (200, "Bearer second-key"))
        tokens.write_text(f"{SECOND}\n")
        until(lambda: asked(url, SECOND) == (200, "Bearer second-key"))
        until(lambda: asked(url, FIRST)[0] == 401)
        tokens.write_text("")  # a mistake: who was let in before is still
        shown(keys, "third-key")
        time.sleep(2.5)
        assert asked(url, SECOND)[0] == 200


def test_what_a_client_may_ask_is_told_without_a_token_to_nobody(own_tmp: Path) -> None:
    (own_tmp / "tokens").write_text(f"{FIRST}\n")
    shown(own_tmp / "keys.json", "the-key")
    with serving(tells_its_token) as server, gateway(own_tmp, server.port) as url:
        until(lambda: asked(url, FIRST)[0] == 200)
        seen = len(server.requests)
        for path in ("", "/more", "/../other", "/../../models", "/../../token"):
            answer = requests.get(f"{url}{path}", timeout=10)
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert asked(f"{url}/more", FIRST)[0] == 404
        assert len(server.requests) == seen


@pytest.mark.parametrize("tokens", ["", "short", f'{FIRST}" 1; default 1; "'])
def test_tokens_that_are_none_end_it_with_a_line(tokens: str, own_tmp: Path) -> None:
    (own_tmp / "tokens").write_text(tokens)
    shown(own_tmp / "keys.json", "the-key")
    words = [
        f"--keys={own_tmp}/keys.json",
        f"--tokens={own_tmp}/tokens",
        "--model=bert",
        "--listen=127.0.0.1:1",
    ]
    words += ["--inference=127.0.0.1:2", "--metrics=127.0.0.1:3"]
    environment = {**os.environ, "TMPDIR": str(own_tmp)}
    done = subprocess.run(
        [sys.executable, GATEWAY, *words], env=environment, capture_output=True, text=True, timeout=LONGEST_S
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "give tokens of 32 or more letters" in done.stderr
