"""One TorchServe of our own: its life, its management API, and every quirk of TorchServe 0.12.0.

`torchserve()` starts an instance on free loopback ports in a private temporary folder and always stops
it, with its workers. It never touches another instance, nor the pid file that `torchserve --stop` uses.
What load is put on it, and what is measured, lives elsewhere.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import requests

from experiments.base.cores import core_quota, usable_cores
from experiments.base.errors import ExperimentError, UsageError, waited_out
from experiments.base.files import bytes_of
from experiments.base.interrupts import carry_through
from experiments.base.paths import ROOT
from experiments.base.yaml_files import parsed_yaml
from experiments.results.typed import strictly_parsed
from experiments.serving.instances import instance_folder
from experiments.serving.java import find_java, utf8_env
from experiments.serving.shadows import python_path_of_workers

LOG4J2 = ROOT / "log4j2.xml"
MODEL = "model"  # the name under which the one registered model is served
LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
STARTUP_TIMEOUT_S = 600  # for a model to load: several workers that compile at once take minutes
# TorchServe gives a worker 120 s to start before; two more minutes show its own error.
REGISTER_TIMEOUT_S = 120.0 + STARTUP_TIMEOUT_S + 120.0
WORKERS_TIMEOUT_S = 60.0
GONE_IN_S = 10.0  # one that is asked to end answers no more, and waits for its connections
# TorchServe goes through its lists of workers while others change them, and then answers 500 with this.
UNDER_WAY, AGAIN_AFTER_S, TAKES = "ConcurrentModificationException", 0.1, 5
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

MODEL_LOG = " MODEL_LOG - "  # what log4j2.xml puts before a line that a worker printed
EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(:|$)")  # the end of a traceback; not a line of another worker
TS_HANDLERS = "No module named 'ts.torch_handler."
ENDED = ("Worker died.", "Backend stream closed")  # how the frontend tells that a worker is gone
KILLED = [128 + number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)]  # as Java tells it
JAVA_SIGNS = ("Invalid configuration", "Exception", "Error")  # how the frontend begins a complaint


class ServerError(ExperimentError):
    """TorchServe did not start, did not load the model, or went away. `details`: what it printed last."""


class KilledError(ServerError):
    """The server as it started, or a worker as it loaded the model, ended without an error of its own:
    something else killed it, and it may live the next time."""


@dataclass(frozen=True, slots=True)
class Registration:
    """How a model is registered. `batch_delay_ms` is TorchServe's max_batch_delay, at least 1.

    `archive` is a .mar, or a folder that the server's store has already. A request holds `inputs` at most:
    TorchServe's batches are of requests, those of some other servers of inputs, so many times as many.
    """

    archive: Path
    workers: int
    batch_size: int
    batch_delay_ms: int = 10
    name: str = MODEL
    inputs: int = 1


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process as `GET /models/{name}` tells it. `status` is READY once the model is loaded."""

    id: str
    pid: int
    status: str
    on_gpu: bool


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
        """Whether the frontend runs."""
        return self.process.poll() is None

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
        folder = archive if archive.is_dir() else _unpacked(archive, self.store)
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
            log = self._settled_log(mark)
            cause = last_error(log) or _message_of(answer)
            raise (KilledError if _tells_of_a_kill(log) else ServerError)(
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
            raise ServerError(f"TorchServe could not scale to {workers} worker(s): {_message_of(answer)}")
        if wait:
            self.wait_for_workers(workers)

    def unregister(self) -> None:
        """Removes the model; TorchServe kills its workers, so let the last answers arrive first."""
        pids = [worker.pid for worker in self.workers()]
        answer = self._manage("DELETE", f"/models/{MODEL}")
        if answer.status_code != 200:
            raise ServerError(f"TorchServe could not unregister the model: {_message_of(answer)}")
        _wait_until_gone(pids)

    def workers(self, name: str = MODEL) -> list[Worker]:
        """The workers now. On a GPU TorchServe runs nvidia-smi per worker for it: not during a trial."""
        answer = self._manage("GET", f"/models/{name}")
        if answer.status_code != 200:
            raise ServerError(f"TorchServe does not know the model any more: {_message_of(answer)}")
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
        page = self._request("GET", f"http://127.0.0.1:{self.ports.metrics}/metrics", self._management_key)
        return parse_counters(page.text)

    def log_mark(self) -> int:
        """How far the log has come, for `log_since`."""
        return self._log_size()

    def log_since(self, mark: int) -> str:
        """What the instance and its workers printed after `mark` (0: everything), the last 16 kB of it."""
        with (self.folder / "server.log").open("rb") as log:
            log.seek(max(mark, self._log_size() - 16_384))
            return log.read().decode(errors="replace")

    def _settled_log(self, mark: int) -> str:
        """The log once it has stopped growing: a worker's last words arrive after the answer they explain."""
        for _ in range(10):
            size = self._log_size()
            time.sleep(0.2)
            if self._log_size() == size:
                break
        return self.log_since(mark)

    def _log_size(self) -> int:
        return (self.folder / "server.log").stat().st_size

    def _manage(
        self, method: str, path: str, params: Mapping[str, Any] | None = None, timeout_s: float = 60
    ) -> requests.Response:
        url = f"http://127.0.0.1:{self.ports.management}{path}"
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
    while not (_answers_as_ours(folder, ports) and _has_its_ports(process.pid, ports)):
        log = (folder / "server.log").read_text("utf-8", errors="replace")
        if process.poll() is not None:
            cause = last_error(log) or "it printed no reason"
            raise ended_at_start("TorchServe", process.returncode, cause, log)
        if time.monotonic() > deadline:
            raise ServerError(f"TorchServe is not up after {START_TIMEOUT_S:.0f} s", log)
        time.sleep(0.05)


def ended_at_start(server: str, code: int, cause: str, log: str) -> ServerError:
    """The error of a server that ended with `code` before it was up."""
    kind = KilledError if code < 0 or code in KILLED else ServerError
    return kind(f"{server} ended with code {code} at its start: {cause}", log)


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


def _has_its_ports(pid: int, ports: Ports) -> bool:
    """Whether it listens on all five: it ends where it can't have the last, when its APIs answer already."""
    with suppress(psutil.Error):
        sockets = psutil.Process(pid).net_connections("tcp")
        listens = {each.laddr.port for each in sockets if each.status == psutil.CONN_LISTEN}
        return {port for port in asdict(ports).values() if isinstance(port, int)} <= listens
    return False


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


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Kills the frontend and its workers, one process group; returns when none of them is left.

    Asked to end, TorchServe waits two seconds for new connections and then kills its workers just the
    same. There is nothing to save: all it wrote lies in our temporary folder.
    """
    family = _family(process.pid)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    psutil.wait_procs(family, timeout=STOP_TIMEOUT_S)


def _family(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def _wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)


def _unpacked(archive: Path, store: Path) -> Path:
    """The archive as a folder of the store, unpacked once: TorchServe links a folder but unpacks a .mar
    at every registration, which for BERT-base costs seconds a cell."""
    target = store / archive.stem
    if not target.exists():
        unpack(archive, target)
        _refuse_fixed_workers(target, archive)
    return target


def unpacked_bytes(archive: Path) -> int:
    """The disk space that an archive takes where it is unpacked; 0 of what is no archive."""
    if not zipfile.is_zipfile(archive):
        return 0
    with zipfile.ZipFile(archive) as mar:
        return sum(entry.file_size for entry in mar.infolist())


def unpack(archive: Path, folder: Path) -> None:
    """An archive's content into `folder`, and nowhere else: names that lead out of it lose what leads out.

    Raises UsageError where there is no archive to unpack, or it would fill the disk.
    """
    needed, room = unpacked_bytes(archive), next(each for each in folder.absolute().parents if each.exists())
    if needed and (free := shutil.disk_usage(room).free) < needed:
        raise UsageError(
            f"{archive} takes {needed / 2**20:,.0f} MiB unpacked, {room} has {free / 2**20:,.0f} MiB free: "
            "make room, or set TMPDIR"
        )
    try:
        with zipfile.ZipFile(archive) as mar:
            mar.extractall(folder)
    except FileNotFoundError as error:
        raise UsageError(f"no archive {archive}: `make mar` builds the ones in model_store/") from error
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:  # encrypted; unknown
        raise UsageError(f"{archive} is not a model archive (.mar): {error}") from error


def _refuse_fixed_workers(folder: Path, archive: Path) -> None:
    manifest = folder / "MAR-INF" / "MANIFEST.json"
    if not manifest.is_file():
        raise UsageError(f"{archive} is not a model archive: it has no MAR-INF/MANIFEST.json")
    try:
        config = strictly_parsed(bytes_of(manifest)).get("model", {}).get("configFile")
        path = (folder / config).resolve() if config else None
        if path and not path.is_relative_to(folder.resolve()):
            raise ValueError(f"its configFile {config} leads out of it")
        settings = parsed_yaml(bytes_of(path).decode(), Path(config)) if path else None
        fixed = {"minWorkers", "maxWorkers"} & set(settings or {})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ExperimentError) as error:
        raise UsageError(
            f"{archive} is not a model archive: its manifest can't be followed: {error}"
        ) from error
    if fixed:
        raise UsageError(
            f"{archive} sets {' and '.join(sorted(fixed))} in its {config}, which overrides the workers of "
            "a registration: remove it and archive again"
        )


def parse_counters(page: str) -> dict[str, float]:
    """The `ts_*` samples of a Prometheus page, summed over their labels."""
    counters: dict[str, float] = {}
    for line in page.splitlines():
        if line.startswith("ts_"):
            name = line.split("{")[0].split(" ")[0]
            with suppress(ValueError):
                counters[name] = counters.get(name, 0.0) + float(line.rsplit(" ", 1)[1])
    return counters


def _message_of(answer: requests.Response) -> str:
    with suppress(ValueError, KeyError, TypeError):
        return str(answer.json()["message"])
    return f"status {answer.status_code}: {answer.text[:200]}"


def _tells_of_a_kill(log: str) -> bool:
    """Whether a worker ended without an error of its own: Ctrl-C is none."""
    return _raised(log) in ("", "KeyboardInterrupt") and any(sign in log for sign in ENDED)


def _raised(log: str) -> str:
    """The end of the last worker's traceback in a log; nothing where there is none."""
    printed_by_workers = [line.split(MODEL_LOG, 1)[1] for line in log.splitlines() if MODEL_LOG in line]
    cause = ""
    in_traceback = False
    for line in printed_by_workers:
        if line.startswith("Traceback (most recent call last)"):
            in_traceback = True
        elif in_traceback and EXCEPTION.match(line):
            in_traceback = False
            # Where a handler can't be imported, TorchServe looks for one of its own of that name.
            if not (cause and TS_HANDLERS in line):
                cause = line
    return cause.strip()


def last_error(log: str) -> str:
    """The line of a log that most likely names the cause: the end of the last worker's traceback, else the
    first complaint of the frontend. The two are written by different threads, so their lines interleave."""
    if cause := _raised(log):
        return cause
    complaints = (line for line in log.splitlines() if any(sign in line for sign in JAVA_SIGNS))
    return next(complaints, "").strip()
