"""A TorchServe that runs: its models, its workers, its counters, its log.

What load is put on it, and what is measured, lives elsewhere.
"""

import json
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import requests

from experiments.base.errors import KilledError, ServerError
from experiments.load.sources import LOOPBACK
from experiments.serving.instances import wait_until_dead
from experiments.serving.registration import MODEL, Registration, Worker
from experiments.serving.torchserve.archives import unpacked_into
from experiments.serving.torchserve.printed import (
    last_error,
    message_of,
    parse_counters,
    settled,
    tells_of_a_kill,
)

STOP_TIMEOUT_S = 15.0
STARTUP_TIMEOUT_S = 600  # for a model to load: several workers that compile at once take minutes
# TorchServe gives a worker 120 s to start before; two more minutes show its own error.
REGISTER_TIMEOUT_S = 120.0 + STARTUP_TIMEOUT_S + 120.0
WORKERS_TIMEOUT_S = 60.0
GONE_IN_S = 10.0  # one that is asked to end answers no more, and waits for its connections
# TorchServe goes through its lists of workers while others change them, and then answers 500 with this.
UNDER_WAY, AGAIN_AFTER_S, TAKES = "ConcurrentModificationException", 0.1, 5


@dataclass(frozen=True, slots=True)
class Ports:
    """The five ports of an instance, on loopback but for that of its inference API, which is on `host`."""

    inference: int
    management: int
    metrics: int
    grpc_inference: int
    grpc_management: int
    host: str = LOOPBACK


class TorchServe:
    """A running instance. Made by `torchserve()`, which also stops it."""

    def __init__(self, process: "subprocess.Popen[bytes]", folder: Path, ports: Ports) -> None:
        self.process = process
        self.folder = folder
        self.ports = ports
        keys = json.loads((folder / "key_file.json").read_text("utf-8"))
        self._inference_key: str = keys["inference"]["key"]
        self._management_key: str = keys["management"]["key"]

    @property
    def pid(self) -> int:
        """Its frontend's."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether the frontend runs and listens: one that is asked to end closes its ports seconds before it
        is gone, and nothing that fails from then on is the model's fault."""
        return self.process.poll() is None and has_its_ports(self.pid, self.ports)

    @property
    def predict_url(self) -> str:
        """Where the registered model answers POST requests carrying `headers`."""
        return self.predict_url_of(MODEL)

    def predict_url_of(self, name: str) -> str:
        """The same of any registered model."""
        return f"http://{self.ports.host}:{self.ports.inference}/predictions/{name}"

    @property
    def store(self) -> Path:
        """Its model store: a folder of it can be registered without being unpacked again."""
        return self.folder / "store"

    @property
    def headers(self) -> dict[str, str]:
        """The headers that an inference request needs."""
        return {"Authorization": f"Bearer {self._inference_key}"}

    def register(self, registration: Registration) -> list[Worker]:
        """Loads the model and returns its workers once all of them are ready.

        Raises ServerError, with what the workers printed, when they do not come up; KilledError where one was
        killed.
        """
        archive = registration.archive
        folder = archive if archive.is_dir() else unpacked_into(archive, self.store)
        query = {
            "url": folder.name,
            "model_name": registration.name,
            "batch_size": registration.batch_size,
            "max_batch_delay": registration.batch_delay_ms,
            "initial_workers": registration.workers,
            "synchronous": "true",
            "response_timeout": 120,
            "startup_timeout": STARTUP_TIMEOUT_S,
        }
        mark = self._log_size()
        answer = self._manage("POST", "/models", params=query, timeout_s=REGISTER_TIMEOUT_S)
        if answer.status_code != 200:
            log = settled(lambda: self.log_since(mark))
            cause = last_error(log) or message_of(answer)
            raise (KilledError if tells_of_a_kill(log) else ServerError)(
                f"TorchServe could not load {registration.archive.name} with {registration.workers} "
                f"worker(s): {cause}",
                details=log,
            )
        return self.wait_for_workers(registration.workers, registration.name)

    def scale(self, workers: int, *, wait: bool = True) -> None:
        """There shall be so many workers of the model. Those too many are killed, whatever they are at.

        Without `wait` new ones load meanwhile. Raises ServerError where TorchServe refuses, or they don't
        come up.
        """
        query = {"min_worker": workers, "max_worker": workers, "synchronous": "true" if wait else "false"}
        answer = self._manage("PUT", f"/models/{MODEL}", params=query, timeout_s=REGISTER_TIMEOUT_S)
        if answer.status_code not in (200, 202):
            raise ServerError(f"TorchServe could not scale to {workers} worker(s): {message_of(answer)}")
        if wait:
            self.wait_for_workers(workers)

    def unregister(self) -> None:
        """Removes the model; TorchServe kills its workers, so let the last answers arrive first."""
        pids = [worker.pid for worker in self.workers()]
        answer = self._manage("DELETE", f"/models/{MODEL}")
        if answer.status_code != 200:
            raise ServerError(f"TorchServe could not unregister the model: {message_of(answer)}")
        wait_until_dead(pids, STOP_TIMEOUT_S)

    def workers(self, name: str = MODEL) -> list[Worker]:
        """The workers now. On a GPU TorchServe runs nvidia-smi per worker for it: not during a trial."""
        answer = self._manage("GET", f"/models/{name}")
        if answer.status_code != 200:
            raise ServerError(f"TorchServe does not know the model any more: {message_of(answer)}")
        return [
            Worker(str(w["id"]), int(w["pid"]), str(w["status"]), bool(w["gpu"]))
            for w in answer.json()[0]["workers"]
        ]

    def wait_for_workers(self, count: int, name: str = MODEL) -> list[Worker]:
        """Returns the workers when `count` of them are ready; TorchServe replaces one that died.

        Raises ServerError when they are not ready in WORKERS_TIMEOUT_S.
        """
        deadline = time.monotonic() + WORKERS_TIMEOUT_S
        while True:
            workers = self.workers(name)
            if len(workers) == count and all(worker.status == "READY" for worker in workers):
                return workers
            if time.monotonic() > deadline:
                states = ", ".join(f"worker {worker.id} is {worker.status}" for worker in workers)
                log = self.log_since(0)
                cause = last_error(log) or "they printed no error"
                raise ServerError(
                    f"{count} worker(s) not ready after {WORKERS_TIMEOUT_S:.0f} s ({states}): {cause}", log
                )
            time.sleep(0.05)

    def model_status(self) -> dict[str, Any]:
        """What `GET /models/{name}` says of the registered version: batchSize, maxBatchDelay, workers…"""
        status: dict[str, Any] = self._manage("GET", f"/models/{MODEL}").json()[0]
        return status

    def counters(self) -> dict[str, float]:
        """TorchServe's own request, latency and queue counters of the model, from its Prometheus page.

        Sums since the start: `ts_inference_requests_total`, `ts_inference_latency_microseconds`,
        `ts_queue_latency_microseconds`. A counter that has not been touched yet is missing.
        """
        page = self._request("GET", f"http://{LOOPBACK}:{self.ports.metrics}/metrics", self._management_key)
        return parse_counters(page.text)

    def log_mark(self) -> int:
        """How far the log has come, for `log_since`."""
        return self._log_size()

    def log_since(self, mark: int) -> str:
        """What the instance and its workers printed after `mark` (0: everything), the last 16 kB of it."""
        with (self.folder / "server.log").open("rb") as log:
            log.seek(max(mark, self._log_size() - 16_384))
            return log.read().decode(errors="replace")

    def _log_size(self) -> int:
        return (self.folder / "server.log").stat().st_size

    def _manage(
        self, method: str, path: str, params: Mapping[str, Any] | None = None, timeout_s: float = 60
    ) -> requests.Response:
        url = f"http://{LOOPBACK}:{self.ports.management}{path}"
        return self._request(method, url, self._management_key, params, timeout_s)

    def _request(
        self,
        method: str,
        url: str,
        key: str,
        params: Mapping[str, Any] | None = None,
        timeout_s: float = 60,
    ) -> requests.Response:
        try:
            return call(method, url, key, params, timeout_s)
        except requests.RequestException as error:
            with suppress(subprocess.TimeoutExpired):  # it loses its sockets before it is gone
                self.process.wait(GONE_IN_S)
            code = self.process.poll()
            state = "it is running but does not answer" if code is None else f"it ended with code {code}"
            raise ServerError(
                f"TorchServe did not answer {method} {url}: {state}; its last lines are below",
                details=self.log_since(0),
            ) from error


def call(
    method: str,
    url: str,
    token: str,
    params: Mapping[str, Any] | None = None,
    timeout_s: float = 60,
    *,
    verify: bool = True,
) -> requests.Response:
    """Asks a TorchServe of this machine, again where workers come or go at that moment. Raises
    requests.RequestException where none answers."""
    with requests.Session() as session:
        session.trust_env = False  # a proxy of the environment is not for loopback
        headers = {"Authorization": f"Bearer {token}"}
        for _ in range(TAKES):
            answer = session.request(
                method, url, headers=headers, params=params, timeout=timeout_s, verify=verify
            )
            if answer.status_code != 500 or UNDER_WAY not in answer.text:
                break
            time.sleep(AGAIN_AFTER_S)
        return answer


def has_its_ports(pid: int, ports: Ports) -> bool:
    """Whether it listens on all five: it ends where it can't have the last, when its APIs answer already."""
    with suppress(psutil.Error):
        sockets = psutil.Process(pid).net_connections("tcp")
        listens = {each.laddr.port for each in sockets if each.status == psutil.CONN_LISTEN}
        return {port for port in asdict(ports).values() if isinstance(port, int)} <= listens
    return False
