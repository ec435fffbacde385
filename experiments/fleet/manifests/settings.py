"""How an instance's TorchServe is set, whatever runs it: its configuration, command and environment.

TorchServe 0.12.0 draws its tokens anew at every start and takes none from elsewhere, so an instance's own are
known to its own gateway alone (programs/gateway.py), which asks clients for the fleet's.
"""

from dataclasses import dataclass

from experiments.base.paths import ROOT
from experiments.fleet.manifests.pods import Pods
from experiments.serving.configured import shipped_with
from experiments.serving.workers import memory_env, share_env

PYTHON = ".venv/bin/python"
PROGRAMS = "experiments/fleet/manifests/programs"
USER_ID = 10001
GATEWAY_PORT = 8000
TOKEN_YEARS = 10  # TorchServe's tokens live as long as it does; its default is an hour
KEYS = "key_file.json"
ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - a pod's own is not known before it runs


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of an instance. `run` is private and in memory: TorchServe writes its tokens there; `work`
    has room for the unpacked archive; nothing else can be written."""

    prefix: str
    config: str
    models: str
    run: str
    work: str
    tokens: str


IN_IMAGE = Folders(
    prefix="/opt/torchserve-mps",
    config="/opt/torchserve/config",
    models="/opt/torchserve/models",
    run="/run/torchserve",
    work="/tmp",  # noqa: S108 - a volume of the container's own
    tokens="/run/secrets/torchserve/tokens",
)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where an instance listens, all on loopback but the gateway's. `of(n)` are those of the n-th on a
    host."""

    gateway: int = GATEWAY_PORT
    inference: int = 8080
    management: int = 8081
    metrics: int = 8082
    grpc_inference: int = 7070
    grpc_management: int = 7071

    @classmethod
    def of(cls, n: int) -> "Ports":
        return cls(8000 + n, 18080 + 10 * n, 18081 + 10 * n, 18082 + 10 * n, 17070 + 10 * n, 17071 + 10 * n)


def properties(pods: Pods, folders: Folders = IN_IMAGE, ports: Ports | None = None) -> str:
    """This project's config.properties for an instance: on loopback, tokens on, with its own model alone."""
    at = ports or Ports()
    name = pods.service.name
    changes = {
        "inference_address": f"http://127.0.0.1:{at.inference}",
        "management_address": f"http://127.0.0.1:{at.management}",
        "metrics_address": f"http://127.0.0.1:{at.metrics}",
        "grpc_inference_port": str(at.grpc_inference),
        "grpc_management_port": str(at.grpc_management),
        "token_expiration_min": str(TOKEN_YEARS * 365 * 24 * 60),
        "model_store": f"{folders.work}/store",
        "load_models": f"{name}={name}",
        "default_workers_per_model": str(pods.service.workers),
        "number_of_gpu": "1" if pods.on_gpu else "0",
        "vmargs": f"-Dlog4j.configurationFile={folders.config}/log4j2.xml "
        "-Djava.util.concurrent.ForkJoinPool.common.parallelism=16",
    }
    return shipped_with(changes, f"Serves {name}, behind its gateway.")


def log4j2() -> str:
    """This project's own, which logs nothing per request."""
    return (ROOT / "log4j2.xml").read_text("utf-8")


def command(pods: Pods, folders: Folders = IN_IMAGE, *, own_daemon: bool = False) -> list[str]:
    """What starts TorchServe; `own_daemon`: under an MPS control daemon that lives as long as it does."""
    service = pods.service
    words = [
        *_program(folders, "serve.py"),
        f"--archive={folders.models}/{pods.archive}",
        f"--name={service.name}",
        f"--workers={service.workers}",
        f"--batch-size={service.batch_size}",
        f"--batch-delay-ms={service.batch_delay_ms}",
        f"--store={folders.work}/store",
        f"--config={folders.config}/config.properties",
    ]
    if own_daemon:
        words.append("--mps")
        if pods.share_percent is not None:
            words.append(f"--thread-percentage={pods.share_percent}")
    return words


def gateway_command(
    pods: Pods, folders: Folders = IN_IMAGE, ports: Ports | None = None, host: str = ANY_ADDRESS
) -> list[str]:
    """What starts the gateway, the only one that others reach."""
    at = ports or Ports()
    return [
        *_program(folders, "gateway.py"),
        f"--model={pods.service.name}",
        f"--keys={folders.run}/{KEYS}",
        f"--tokens={folders.tokens}",
        f"--listen={host}:{at.gateway}",
        f"--inference=127.0.0.1:{at.inference}",
        f"--metrics=127.0.0.1:{at.metrics}",
    ]


def probe_command(
    pods: Pods, folders: Folders = IN_IMAGE, ports: Ports | None = None, *, loaded: bool = False
) -> list[str]:
    """What tells whether TorchServe is healthy; `loaded`: whether all workers have their model."""
    words = [*_program(folders, "probe.py"), f"--keys={folders.run}/{KEYS}"]
    if ports is not None:
        words += [f"--port={ports.inference}", f"--management-port={ports.management}"]
    return [*words, f"--loaded={pods.service.name}"] if loaded else words


def gateway_probe_command(folders: Folders = IN_IMAGE) -> list[str]:
    """What tells whether a client with a token is answered."""
    return [*_program(folders, "probe.py"), f"--tokens={folders.tokens}", f"--port={GATEWAY_PORT}"]


def environment(pods: Pods, folders: Folders = IN_IMAGE) -> dict[str, str]:
    """What TorchServe and its workers have in their environment; nothing is written but in the work
    folder."""
    work = folders.work
    variables = {
        "HOME": work,
        "TMPDIR": work,
        "LOG_LOCATION": f"{work}/logs",
        "METRICS_LOCATION": f"{work}/logs",
        "MPLCONFIGDIR": f"{work}/matplotlib",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": str(pods.threads),
    }
    if not pods.on_gpu:  # else the NVIDIA runtime shows a container all cards of its node
        return variables | {"NVIDIA_VISIBLE_DEVICES": "void"}
    if pods.sharing == "mps-in-pod":
        variables |= memory_env(pods.client_memory_mib)
    if pods.per_card > 1:  # the daemon is another's: only a client can say that it wants less
        variables |= share_env(pods.share_percent)
    return variables


def _program(folders: Folders, name: str) -> list[str]:
    return [f"{folders.prefix}/{PYTHON}", f"{folders.prefix}/{PROGRAMS}/{name}"]
