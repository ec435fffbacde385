"""What this machine can do: each thing that a run needs, looked at and judged, with a remedy.

Nothing is changed, nothing of torch or CUDA is imported, and no finding is an exception: a strange machine is
just what this is for. `python -m mps.doctor` prints it; mps.run asks for `first_obstacle` alone.
"""

import os
import re
import shutil
import socket
import subprocess
import threading
import time
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from experiments.base.cores import core_quota, usable_cores
from experiments.base.errors import ExperimentError, UsageError
from experiments.base.memory import free_memory_bytes
from experiments.base.paths import ROOT
from experiments.base.torch_build import torch_build
from experiments.checks.leftovers import clear_leftovers
from experiments.checks.measured_on import choose
from experiments.checks.torch_build import torch_misfit
from experiments.plan import Plan
from experiments.serving.arms import MpsOptions, obstacles
from experiments.serving.instances import FOLDER_NAME
from experiments.serving.java import find_java, major_version
from experiments.serving.temporary import temporary_folder
from mps.card import (
    EXCLUSIVE_PROCESS,
    Gpu,
    NoGpuError,
    compute_mode,
    gpu,
    gpus,
    in_another_pid_namespace,
    max_mps_clients,
    nvml,
    preflight,
    unseen_neighbour,
)
from mps.control import CONTROL, end_command, find_control, protocol, running_daemon, version_told

OK, WARN, FAIL = "ok", "warn", "fail"
TIMEOUT_S = 20.0  # a driver that has to wake up the GPU takes seconds; one that has lost it, for ever
SERVER = "nvidia-cuda-mps-server"
TORCHSERVE = "0.12.0"
KERNEL_MODULE = Path("/proc/driver/nvidia/version")
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the kernel's
LEAST_SHARED_BYTES = 64 * 2**20
LEAST_MEMORY_BYTES = 4 * 2**30
LEAST_DISK_BYTES = 2 * 2**30  # an archive is unpacked into each server's folder
PORTS_OF_A_RUN = 5
PORTS_OF_MAKE_SERVE = (8080, 8081, 8082)
WITHOUT = "go on without --with-mps"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `status` is ok, warn (it runs, with a loss) or fail (--with-mps can't run)."""

    name: str
    status: str
    found: str
    remedy: str = ""


def examine() -> list[Check]:
    """Every check, in the order of reading. Does not raise; what hangs is given up after TIMEOUT_S."""
    deadline = time.monotonic() + TIMEOUT_S
    findings: list[list[Check]] = [[] for _ in EXAMINATIONS]
    threads = []
    for (name, examination), found in zip(EXAMINATIONS, findings, strict=True):
        # Threads of their own, as daemons: a call that hangs in the driver must not keep us.
        thread = threading.Thread(target=_carry_out, args=(name, examination, found), daemon=True)
        thread.start()
        threads.append(thread)
    checks = []
    for (name, _), found, thread in zip(EXAMINATIONS, findings, threads, strict=True):
        thread.join(max(0.0, deadline - time.monotonic()))
        checks += list(found)
        if thread.is_alive():
            checks.append(
                Check(name, FAIL, f"no answer in {TIMEOUT_S:.0f} s", "`dmesg` may say why it hangs")
            )
    return checks


def first_obstacle(
    workers: int | None = None,
    options: MpsOptions | None = None,
    which: str | None = None,
    limits: Collection[str] = (),
) -> str | None:
    """Why `--with-mps` can't run with so many workers on that GPU and with a plan's limits for them, as one
    line; None: go ahead.

    By default with those workers that mps.run has by default, on the first GPU that CUDA would use. What runs
    that were killed have left on it is cleared first.
    """
    options = options or MpsOptions()
    try:
        with nvml():
            card = gpu(which)
            clear_leftovers(card)
            problems = obstacles(card, workers or max(Plan().workers), options, limits)
            problems += [reason] if (reason := torch_misfit(card)) else []
    except ExperimentError as error:
        return str(error)
    there = [] if options.use_running_daemon else _running_daemon()
    problems += [f"{c.found}: {c.remedy}" for c in (*there, *_shared_memory()) if c.status == FAIL]
    return problems[0] if problems else None


def _carry_out(name: str, examination: Callable[[], Iterator[Check]], found: list[Check]) -> None:
    try:
        for check in examination():
            found.append(check)  # one by one: what comes before an error is kept
    except ExperimentError as error:
        found.append(_failed(name, str(error)))
    except Exception as error:
        found.append(Check(name, WARN, f"could not be looked at: {error!r}", "please report this"))


def _failed(name: str, message: str) -> Check:
    """Our messages name the cause, then the way on."""
    cause, _, remedy = message.partition(": ")
    return Check(name, FAIL, cause, remedy or WITHOUT)


# The GPU.


def _gpu() -> Iterator[Check]:
    with ExitStack() as stack:
        try:
            stack.enter_context(nvml())  # held open: starting it anew can take seconds
            cards = gpus()
        except NoGpuError as error:
            yield _missing_driver()
            yield _failed("NVML", str(error))
            return
        yield Check("driver", OK, cards[0].driver if cards else _kernel_module() or "version unknown")
        yield Check("NVML", OK, f"answers, and knows {len(cards)} GPU{'' if len(cards) == 1 else 's'}")
        for card in cards:
            yield Check(f"GPU {card.index}", OK, _described(card))
        try:
            chosen = gpu()
        except NoGpuError as error:
            yield Check("MPS", FAIL, str(error), "set CUDA_VISIBLE_DEVICES to one that is there")
            return
        yield from _mps_on(chosen)
        yield _compute_mode_permission(chosen)
        yield from _persistence(chosen)


def _mps_on(card: Gpu) -> Iterator[Check]:
    problems = preflight(card, max(Plan().workers))
    yield from (_failed("MPS", problem) for problem in problems)
    if not problems:
        most = max_mps_clients(card.compute_capability, card.driver)
        as_far = ", as far as this pid namespace shows" if in_another_pid_namespace() else ""
        yield Check("MPS", OK, f"up to {most} workers on GPU {card.index}, which nobody else uses{as_far}")
        if neighbour := unseen_neighbour(card):
            yield Check("neighbours", WARN, neighbour, "what they do is measured too: find out who it is")


def _missing_driver() -> Check:
    remedy = f"install NVIDIA's driver where there is a GPU; where there is none, {WITHOUT}"
    if module := _kernel_module():
        return Check("driver", WARN, f"kernel module {module}, but NVML does not reach it", "see NVML")
    said = _first_line(["nvidia-smi"])
    return Check("driver", FAIL, f"nvidia-smi says: {said}" if said else "none, and no nvidia-smi", remedy)


def _kernel_module() -> str | None:
    with suppress(OSError):
        if found := re.search(r"Module.*?\s(\d+\.[\d.]+)", KERNEL_MODULE.read_text("utf-8")):
            return found[1]
    return None


def _described(card: Gpu) -> str:
    capability = "{}.{}".format(*card.compute_capability)
    memory = _gibibytes(card.memory_bytes) if card.memory_bytes else "memory of unknown size"
    return (
        f"{card.name}, {memory}, {card.multiprocessors or '?'} multiprocessors, "
        f"compute capability {capability}, compute mode {compute_mode(card)}, "
        f"MIG {'on' if card.mig else 'off'}"
    )


def _compute_mode_permission(card: Gpu) -> Check:
    """Whether it would be granted is seen by trying alone, which would change the card for everybody."""
    name, mode = "compute mode", compute_mode(card)
    if mode == EXCLUSIVE_PROCESS:
        return Check(name, OK, f"is {mode} already")
    if shutil.which("nvidia-smi") is None:
        return Check(
            name, WARN, f"stays {mode}: no nvidia-smi to change it", "none needed: MPS works in it too"
        )
    if os.geteuid() != 0:
        return Check(name, WARN, f"stays {mode}: only root may change it", "none needed: MPS works in it too")
    return Check(name, OK, f"is {mode}, and root may change it; a container can refuse that")


def _persistence(card: Gpu) -> Iterator[Check]:
    """Off, a card that nobody has open is started anew for whoever comes next, an MPS server too."""
    if card.persistence is False:
        found = "off: each first use of the GPU takes seconds, and the driver forgets its compute mode"
        yield Check("persistence mode", WARN, found, f"as root: `nvidia-smi -i {card.uuid} -pm 1`")


# The control daemon.


def _control() -> Iterator[Check]:
    control = find_control()
    yield Check("control daemon", OK, f"{control}, {version_told(control)}")
    beside = [str(control.parent), str(control.parent.parent / "sbin")]
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *beside])
    if shutil.which(SERVER, path=path) is None:
        yield Check("control daemon", FAIL, f"no {SERVER}", f"it comes in the same package as {CONTROL}")


def _running_daemon() -> list[Check]:
    name, there = "running daemon", running_daemon()
    if there is None:
        return [Check(name, OK, "none, so that one can be started")]
    spoken = protocol(there)
    speaks = f"protocol {spoken}" if spoken else "protocol unknown"
    use = "" if spoken == 3 else "--use-running-daemon, or "  # protocol 3 is not spoken here
    return [
        Check(
            name,
            FAIL,
            f"an MPS daemon runs already ({speaks}, pid {there.pid or 'of another container'}, user "
            f"{there.user}, pipe folder {there.pipe_folder})",
            f"{use}end it: {end_command(there, spoken)}",
        )
    ]


def _shared_memory() -> list[Check]:
    """MPS and its clients talk through it. Containers have 64 MiB of it unless told otherwise.

    That its size bounds page-locked memory is so before Volta only, says NVIDIA's document on MPS.
    """
    name = str(SHARED_MEMORY)
    larger = (
        f"remove what fills it, or mount -o remount,size=1g {name}; in a container it is set from outside: "
        "docker --shm-size=1g, in Kubernetes a volume with `emptyDir: {medium: Memory}`"
    )
    if not (SHARED_MEMORY.is_dir() and os.access(SHARED_MEMORY, os.W_OK | os.X_OK)):
        return [Check(name, FAIL, f"{name} is missing or not writable", f"mount -t tmpfs tmpfs {name}")]
    size = shutil.disk_usage(SHARED_MEMORY)
    if size.free < LEAST_SHARED_BYTES:
        found = f"only {_gibibytes(size.free)} free, which bounds page-locked memory on cards before Volta"
        return [Check(name, WARN, found, larger)]
    return [Check(name, OK, f"{_gibibytes(size.free)} of {_gibibytes(size.total)} free")]


# TorchServe and its needs.


def _torch() -> Iterator[Check]:
    build = torch_build()
    if build is None:
        yield Check("torch", FAIL, "not installed", "`make setup`, then use .venv/bin/python")
        return
    if build.cuda is None:
        remedy = "`make setup TORCH=default`, or TORCH=cu126 for drivers before 580"
        yield Check("torch", FAIL, f"{build.version} is built without CUDA", remedy)
        return
    yield Check("torch", OK, f"{build.version}, built for CUDA {build.cuda}")
    with suppress(ExperimentError):  # then the checks of the GPU say why there is none
        if reason := torch_misfit(gpu()):
            yield _failed("torch", reason)


def _device() -> Iterator[Check]:
    with suppress(ExperimentError):  # what speaks against it, the GPU's and torch's checks say
        yield Check("measuring on", OK, choose()[1])


def _java() -> Iterator[Check]:
    java = find_java()
    yield Check("Java", OK, f"{java}, version {major_version(java)}")


def _torchserve() -> Iterator[Check]:
    try:
        found = version("torchserve")
    except PackageNotFoundError:
        yield Check("TorchServe", FAIL, "not installed", "`make setup`, then use .venv/bin/python")
        return
    if found == TORCHSERVE:
        yield Check("TorchServe", OK, found)
    else:
        yield Check("TorchServe", WARN, f"{found}, tried with {TORCHSERVE} only", f"install {TORCHSERVE}")


def _archives() -> Iterator[Check]:
    for model in ("bert", "resnet50"):
        path = ROOT / "model_store" / f"{model}.mar"
        missing = FAIL if model == Plan().model else WARN  # what mps.run serves unless told otherwise
        if not path.is_file():
            yield Check("archives", missing, f"no model_store/{path.name}", "`make mar` builds it")
        elif not zipfile.is_zipfile(path):
            yield Check(
                "archives", missing, f"model_store/{path.name} is damaged", "remove it, then `make mar`"
            )
        else:
            yield Check("archives", OK, f"model_store/{path.name}, {path.stat().st_size / 2**20:.0f} MiB")


# The machine.


def _ports() -> Iterator[Check]:
    with ExitStack() as stack:
        try:
            for _ in range(PORTS_OF_A_RUN):
                stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        except OSError as error:
            yield Check("ports", FAIL, f"no free loopback port: {error.strerror}", "end what holds them")
            return
    if taken := [port for port in PORTS_OF_MAKE_SERVE if not _is_free(port)]:
        which = ", ".join(map(str, taken))
        yield Check(
            "ports",
            WARN,
            f"loopback ports are free, but not {which}",
            "stop a TorchServe there: what it does is measured too, and `make serve` wants these ports",
        )
    else:
        yield Check(
            "ports", OK, f"loopback ports are free, those of `make serve` ({PORTS_OF_MAKE_SERVE[0]}…) too"
        )


def _is_free(port: int) -> bool:
    with suppress(OSError), socket.create_server(("127.0.0.1", port)):
        return True
    return False


def _cores() -> Iterator[Check]:
    cores, quota = usable_cores(), core_quota()
    if quota is not None:
        amount = "half a core" if quota == 0.5 else f"{quota:.3g} core{'s' * (quota != 1)}"
        found = f"{amount}, by a quota of the cgroup"
        if quota < 2:
            yield Check(
                "CPU", WARN, found, "raise it to 2 or more: --cpus of a container, limits.cpu of a pod"
            )
        else:
            yield Check("CPU", OK, found)
    elif cores < 2:
        yield Check("CPU", WARN, "1 usable core", "the load takes turns with what it measures: use 2 or more")
    else:
        yield Check("CPU", OK, f"{cores} usable cores")


def _memory() -> Iterator[Check]:
    free = free_memory_bytes()
    if free < LEAST_MEMORY_BYTES:
        yield Check("memory", WARN, f"only {_gibibytes(free)} free", "take fewer workers")
    else:
        yield Check("memory", OK, f"{_gibibytes(free)} free")


def _disk() -> Iterator[Check]:
    try:
        temporary = temporary_folder(FOLDER_NAME, need_bytes=0)
    except UsageError as error:
        yield Check("disk", FAIL, *str(error).rsplit(": ", 1))
        return
    for name, folder in (("results", ROOT), ("temporary files", temporary)):
        free = shutil.disk_usage(folder).free
        found = f"{_gibibytes(free)} free for {name} in {folder}"
        if free < LEAST_DISK_BYTES:
            yield Check("disk", WARN, f"only {found}", "--out, or TMPDIR, on a larger disk")
        else:
            yield Check("disk", OK, found)


EXAMINATIONS: tuple[tuple[str, Callable[[], Iterator[Check]]], ...] = (
    ("GPU", _gpu),
    ("control daemon", _control),
    ("running daemon", lambda: iter(_running_daemon())),
    (str(SHARED_MEMORY), lambda: iter(_shared_memory())),
    ("torch", _torch),
    ("measuring on", _device),
    ("Java", _java),
    ("TorchServe", _torchserve),
    ("archives", _archives),
    ("ports", _ports),
    ("CPU", _cores),
    ("memory", _memory),
    ("disk", _disk),
)


def _first_line(command: list[str]) -> str | None:
    """What a program prints first, wherever it does; None where it says nothing or can't be run."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S / 2,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    said = (done.stdout + done.stderr).strip()
    return said.splitlines()[0].strip() if said else None


def _gibibytes(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"
