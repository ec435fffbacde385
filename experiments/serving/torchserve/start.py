"""The life of a TorchServe of our own.

`torchserve()` starts an instance on free loopback ports in a private temporary folder and always stops
it, with its workers. It never touches another instance, nor the pid file that `torchserve --stop` uses.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import psutil
import requests

from experiments.base.cores import core_quota, usable_cores
from experiments.base.errors import ExperimentError, ServerError, UsageError, ended_at_start, waited_out
from experiments.base.interrupts import carry_through
from experiments.base.paths import ROOT
from experiments.load.sources import LOOPBACK
from experiments.serving.instances import instance_folder, wait_until_dead
from experiments.serving.java import find_java, utf8_env
from experiments.serving.shadows import python_path_of_workers
from experiments.serving.torchserve.printed import last_error
from experiments.serving.torchserve.running import STOP_TIMEOUT_S, Ports, TorchServe, call, has_its_ports

LOG4J2 = ROOT / "log4j2.xml"
START_TIMEOUT_S = 60.0
START_ATTEMPTS = 3  # another program can take a free port between our choice and the bind

SETTINGS = {
    "enable_model_api": "true",
    "disable_token_authorization": "false",
    "token_expiration_min": str(60 * 24 * 30),  # the default hour is shorter than a long sweep
    "job_queue_size": "100000",
    "max_request_size": str(32 * 2**20),
    "max_response_size": str(32 * 2**20),
    "install_py_dep_per_model": "false",
    "metrics_mode": "prometheus",
    "disable_system_metrics": "true",
    "number_of_netty_threads": "2",
    "netty_client_threads": "2",
}
# Why these, and those of config.properties: benchmarks/settings.py compares them with TorchServe's own.
JVM_OPTIONS = (
    f"-Dlog4j.configurationFile={LOG4J2.as_uri()}",
    "-Djava.util.concurrent.ForkJoinPool.common.parallelism=16",
)


@contextmanager
def torchserve(
    *,
    env: Mapping[str, str] | None = None,
    settings: Mapping[str, str] | None = None,
    jvm_options: Sequence[str] = JVM_OPTIONS,
    port: int | None = None,
    host: str = LOOPBACK,
) -> Iterator[TorchServe]:
    """A TorchServe with no model yet, ready to register one; stopped at the end whatever happens.

    `env` is added to the environment, which every worker inherits (there is none per worker);
    `settings` is added to its config.properties; `jvm_options` replace our own, the log4j2 file among
    them. `port` is that of its inference API, by default any that is free, and `host` the address of this
    machine where that listens: all else stays on loopback, and tokens are asked for everywhere. Raises
    ServerError when it does not come up.
    """
    with instance_folder() as folder:
        server = _start(folder, dict(env or {}), dict(settings or {}), jvm_options, port, host)
        try:
            yield server
        finally:
            carry_through(lambda: _stop(server.process))


def _start(
    folder: Path,
    env: dict[str, str],
    settings: dict[str, str],
    jvm_options: Sequence[str],
    port: int | None,
    host: str,
) -> TorchServe:
    for attempt in range(1, START_ATTEMPTS + 1):
        ports = _free_ports(port, host)
        process = _spawn(folder, ports, env, settings, jvm_options)
        try:
            _wait_until_up(process, folder, ports)
            return TorchServe(process, folder, ports)
        except BaseException as error:
            _stop(process)
            port_was_taken = isinstance(error, ServerError) and "Address already in use" in error.details
            if not port_was_taken or attempt == START_ATTEMPTS:
                raise
    raise AssertionError("unreachable")


def _spawn(
    folder: Path, ports: Ports, env: dict[str, str], settings: dict[str, str], jvm_options: Sequence[str]
) -> "subprocess.Popen[bytes]":
    """Starts the Java frontend itself: torchserve's own launcher keeps one pid file for the whole machine."""
    site = _torchserve_site()
    store = folder / "store"
    store.mkdir(exist_ok=True)
    config = folder / "config.properties"
    config.write_text(_properties(ports, store, settings), "utf-8")
    command = [
        str(find_java()),
        f"-Dmodel_server_home={site}",
        f"-Djava.io.tmpdir={folder}",
        *quota_options(),
        *jvm_options,
        *("-cp", f"{site}/ts/frontend/*", "org.pytorch.serve.ModelServer"),
        *("--python", sys.executable, "-f", str(config), "-s", str(store), "-ncs"),
    ]
    environment = {key: value for key, value in os.environ.items() if key != "TS_CONFIG_FILE"}
    environment |= (
        {"TMPDIR": str(folder), "LOG_LOCATION": str(folder / "logs")}
        | utf8_env()
        | python_path_of_workers()
        | env
    )
    with (folder / "server.log").open("wb") as log:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches us, and we stop it; its group is ours to kill
        )


def quota_options() -> tuple[str, ...]:
    """Tells Java the cores that a CPU quota leaves: Java 25 does not see one of a cgroup above its own."""
    return () if core_quota() is None else (f"-XX:ActiveProcessorCount={usable_cores()}",)


def _torchserve_site() -> Path:
    spec = find_spec("ts")
    if spec is None or spec.origin is None:
        raise ExperimentError("TorchServe is not installed here: run `make setup`, then use .venv/bin/python")
    return Path(spec.origin).parent.parent


def _properties(ports: Ports, store: Path, settings: Mapping[str, str]) -> str:
    lines = SETTINGS | {
        "inference_address": f"http://{ports.host}:{ports.inference}",
        "management_address": f"http://127.0.0.1:{ports.management}",
        "metrics_address": f"http://127.0.0.1:{ports.metrics}",
        "grpc_inference_address": "127.0.0.1",
        "grpc_inference_port": str(ports.grpc_inference),
        "grpc_management_address": "127.0.0.1",
        "grpc_management_port": str(ports.grpc_management),
        "model_store": str(store),
        "allowed_urls": f"file://{store}/.*",
    }
    return "".join(f"{key}={_escaped(value)}\n" for key, value in (lines | dict(settings)).items())


def _escaped(value: str) -> str:
    """As Java reads a properties file, which is ISO-8859-1: its escapes are those of JSON."""
    return json.dumps(value)[1:-1]


def _free_ports(inference: int | None = None, host: str = LOOPBACK) -> Ports:
    """Raises UsageError where `inference` is not free."""
    try:
        sockets = [socket.create_server((host, inference or 0))]
    except OSError as error:
        raise UsageError(
            f"port {inference}: {error.strerror}: stop what listens there or give another"
        ) from error
    sockets += [socket.create_server((LOOPBACK, 0)) for _ in range(4)]
    ports = replace(Ports(*(s.getsockname()[1] for s in sockets)), host=host)
    for s in sockets:
        s.close()
    return ports


def _wait_until_up(process: "subprocess.Popen[bytes]", folder: Path, ports: Ports) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not (_answers_as_ours(folder, ports) and has_its_ports(process.pid, ports)):
        log = (folder / "server.log").read_text("utf-8", errors="replace")
        if process.poll() is not None:
            cause = last_error(log) or "it printed no reason"
            raise ended_at_start("TorchServe", process.returncode, cause, log)
        if time.monotonic() > deadline:
            raise ServerError(f"TorchServe is not up after {START_TIMEOUT_S:.0f} s", log)
        time.sleep(0.05)


def _answers_as_ours(folder: Path, ports: Ports) -> bool:
    """Whether both APIs are up and know our keys: another program may listen where we meant to."""
    keys = folder / "key_file.json"
    if not keys.exists():
        return False
    for host, port, path, key in (
        (ports.host, ports.inference, "/ping", "inference"),
        (LOOPBACK, ports.management, "/models", "management"),
    ):
        with waited_out(requests.RequestException, ValueError):
            token = json.loads(keys.read_text("utf-8"))[key]["key"]
            answer = call("GET", f"http://{host}:{port}{path}", token, timeout_s=1)
            if answer.status_code == 200:
                continue
        return False
    return True


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Kills the frontend and its workers, one process group; returns when none of them is left.

    Asked to end, TorchServe waits two seconds for new connections and then kills its workers just the
    same. There is nothing to save: all it wrote lies in our temporary folder.
    """
    family = _family(process.pid)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    wait_until_dead(family, STOP_TIMEOUT_S)


def _family(pid: int) -> list[int]:
    with suppress(psutil.NoSuchProcess):
        return [each.pid for each in psutil.Process(pid).children(recursive=True)]
    return []
