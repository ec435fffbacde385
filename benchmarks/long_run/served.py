"""The shipped configuration as `torchserve --start` serves it, in a folder of its own, on free ports."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import requests

from experiments.base.errors import ExperimentError
from experiments.base.interrupts import carry_through
from experiments.base.paths import ROOT
from experiments.serving.configured import shipped_with
from experiments.serving.torchserve.running import call

COMMAND = (sys.executable, str(ROOT / "scripts" / "torchserve.py"))
KEYS = "key_file.json"
LONGEST_START_S = 900.0
LONGEST_STOP_S = 60.0
LONGEST_LOAD_S = 900.0
LOOKS_S = 0.5
LOOKS_AT_KEYS = 10


class Served:
    """A TorchServe that serves the archives of model_store/. Made by `served`, which also stops it."""

    def __init__(self, folder: Path, temporary: Path, ports: Mapping[str, int]) -> None:
        self.folder, self.temporary = folder, temporary
        self._ports = ports
        self._keys_lock = threading.Lock()
        self._keys = self._read_keys()
        (pid_file,) = temporary.glob("torchserve-*/.model_server.pid")
        self.process = psutil.Process(int(pid_file.read_text("utf-8")))

    @property
    def alive(self) -> bool:
        """Whether the frontend runs."""
        with suppress(psutil.NoSuchProcess):
            return self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE
        return False

    @property
    def authorization(self) -> str:
        """The header of an inference request; another one after `renew_tokens`."""
        with self._keys_lock:
            return f"Bearer {self._keys['inference']['key']}"

    def predict_url(self, model: str) -> str:
        """Where a model answers."""
        return f"http://127.0.0.1:{self._ports['inference']}/predictions/{model}"

    def workers(self, model: str) -> dict[int, str]:
        """The pids of a model's workers and the state of each; -1 where it has no process yet. Raises
        ExperimentError."""
        told = self._manage("GET", f"/models/{model}").json()
        return {int(each["pid"]): str(each["status"]) for each in told[0]["workers"]}

    def register(self, archive: str, model: str) -> None:
        """One worker of an archive of the store under another name; returns when it is loaded. Raises
        ExperimentError.

        Not `synchronous`: that holds one of the two threads that speak HTTP until the model is loaded, and
        with it half of all connections.
        """
        query = {"url": archive, "model_name": model, "initial_workers": 1, "synchronous": "false"}
        self._manage("POST", "/models", query)
        self.wait_for_workers(model)

    def wait_for_workers(self, model: str, gone: Collection[int] = ()) -> None:
        """Returns when the model has workers, all of them ready and none of those `gone`. Raises
        ExperimentError after LONGEST_LOAD_S."""
        deadline_s = time.monotonic() + LONGEST_LOAD_S
        while True:
            workers = self.workers(model)
            if workers and not set(gone) & set(workers) and set(workers.values()) == {"READY"}:
                return
            if time.monotonic() > deadline_s:
                raise ExperimentError(f"{model} has no worker that is ready after {LONGEST_LOAD_S:.0f} s")
            time.sleep(LOOKS_S)

    def unregister(self, model: str) -> None:
        """Raises ExperimentError."""
        self._manage("DELETE", f"/models/{model}")

    def renew_tokens(self) -> None:
        """New tokens in place of those of an hour, which is what the shipped configuration gives them."""
        with self._keys_lock:
            token = self._keys["API"]["key"]
        for api in ("inference", "management"):
            self._checked("GET", f"/token?type={api}", self._asked("GET", f"/token?type={api}", token))
        self.is_renewed("inference", "")

    def is_renewed(self, api: str, key: str) -> bool:
        """Whether the server's file holds another key than `key` by now, which then is in force: who was on
        the way with the old one asks again."""
        for _ in range(LOOKS_AT_KEYS):
            with suppress(OSError, ValueError):  # half written
                keys = self._read_keys()
                with self._keys_lock:
                    self._keys = keys
                if keys[api]["key"] != key:
                    return True
            time.sleep(LOOKS_S)
        return False

    def _manage(
        self, method: str, path: str, query: Mapping[str, Any] | None = None, timeout_s: float = 60.0
    ) -> requests.Response:
        while True:
            with self._keys_lock:
                token = self._keys["management"]["key"]
            answer = self._asked(method, path, token, query, timeout_s)
            if not is_of_an_old_token(answer) or not self.is_renewed("management", token):
                return self._checked(method, path, answer)

    def _asked(
        self,
        method: str,
        path: str,
        token: str,
        query: Mapping[str, Any] | None = None,
        timeout_s: float = 60.0,
    ) -> requests.Response:
        url = f"http://127.0.0.1:{self._ports['management']}{path}"
        try:
            return call(method, url, token, query, timeout_s)
        except requests.RequestException as error:
            raise ExperimentError(f"{method} {path}: {error}") from error

    def _checked(self, method: str, path: str, answer: requests.Response) -> requests.Response:
        if answer.status_code not in (200, 202):
            raise ExperimentError(f"{method} {path}: status {answer.status_code}: {answer.text[:200]}")
        return answer

    def _read_keys(self) -> dict[str, dict[str, str]]:
        keys: dict[str, dict[str, str]] = json.loads((self.folder / KEYS).read_text("utf-8"))
        return keys


def is_of_an_old_token(answer: requests.Response) -> bool:
    """Whether a token was refused."""
    return answer.status_code == 400 and b"InvalidKeyException" in answer.content


@contextmanager
def served() -> Iterator[Served]:
    """`torchserve --start` with the shipped config.properties, whose ports alone are others; stopped at the
    end whatever happens. Raises ExperimentError where it does not come up."""
    with tempfile.TemporaryDirectory(prefix="long-", ignore_cleanup_errors=True) as name:
        folder, temporary = Path(name) / "served", Path(name) / "t"
        folder.mkdir()
        temporary.mkdir()
        ports = _configured(folder)
        started = _command(folder, temporary, "--start", LONGEST_START_S)
        try:
            if started.returncode:
                raise ExperimentError(f"TorchServe did not start: {started.stdout.strip()}")
            yield Served(folder, temporary, ports)
        finally:
            carry_through(lambda: _stop(folder, temporary))


def _configured(folder: Path) -> dict[str, int]:
    """Puts the shipped configuration there -> the port of each address."""
    names = ("inference", "management", "metrics", "grpc_inference", "grpc_management")
    sockets = {name: socket.create_server(("127.0.0.1", 0)) for name in names}
    ports = {name: int(each.getsockname()[1]) for name, each in sockets.items()}
    for each in sockets.values():
        each.close()
    changes = {f"{name}_address": f"http://127.0.0.1:{ports[name]}" for name in names[:3]}
    changes |= {f"{name}_port": str(ports[name]) for name in names[3:]}
    changes["model_store"] = str(ROOT / "model_store")
    shutil.copy(ROOT / "log4j2.xml", folder)
    config = shipped_with(changes, "The shipped configuration on free ports, for a long run.")
    (folder / "config.properties").write_text(config, "utf-8")
    return ports


def _command(
    folder: Path, temporary: Path, option: str, timeout_s: float
) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "TS_CONFIG_FILE"}
    environment["TMPDIR"] = str(temporary)
    log = folder / "printed.log"
    with log.open("wb") as output:
        done = subprocess.run(
            [*COMMAND, option],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=timeout_s,
            start_new_session=True,  # Ctrl-C is for us, and we stop it
        )
    printed = log.read_text("utf-8", errors="replace")
    return subprocess.CompletedProcess(done.args, done.returncode, printed)


def _stop(folder: Path, temporary: Path) -> None:
    """As the user does; what is left is killed."""
    with suppress(subprocess.TimeoutExpired, OSError):
        _command(folder, temporary, "--stop", LONGEST_STOP_S)
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get("TMPDIR", "").startswith(f"{temporary}/"):
                process.kill()
                process.wait(LONGEST_STOP_S)
