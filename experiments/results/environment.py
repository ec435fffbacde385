"""What environment.json may hold: the types of what a report tells of it. watch/environment.py fills it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.results.typed import record_from


@dataclass(frozen=True, slots=True)
class _Cpu:
    model: str | None = None
    cores: float | None = None  # a quota may give half of one
    logical_cores: int | None = None


@dataclass(frozen=True, slots=True)
class _Gpu:
    name: str | None = None
    uuid: str | None = None
    driver: str | None = None
    memory_bytes: int | None = None
    power_limit_w: float | None = None
    mig: bool | None = None
    persistence: bool | None = None  # this and ecc: from 2026-11-26 on
    ecc: bool | None = None


@dataclass(frozen=True, slots=True)
class _MpsOptions:
    keep_compute_mode: bool = False
    use_running_daemon: bool = False


@dataclass(frozen=True, slots=True)
class _Parity:
    engine: str
    precision: str
    differs: float


@dataclass(frozen=True, slots=True)
class _Archive:
    kind: str | None = None
    architecture: str | None = None
    sha256: str | None = None
    source: str | None = None
    note: str | None = None
    random_weights: bool | None = None
    parity: Sequence[_Parity] | None = None  # of engines, as its parity.json has them


@dataclass(frozen=True, slots=True)
class _Start:
    """A start of the run, the first or one that resumed it; None: not known."""

    started_at: str | None = None
    command: str | None = None
    cpu: _Cpu | None = None
    gpus: Sequence[_Gpu] | None = None
    gpu_is_stood_in_for: bool | None = None
    device: str | None = None  # a GPU's UUID or "cpu", from 2026-11-26 on
    mps_options: _MpsOptions | None = None
    ceilings: bool | None = None
    archive: _Archive | None = None
    servers: Mapping[str, Mapping[str, str]] | None = None  # but for TorchServe
    memory_bytes: int | None = None
    os: str | None = None
    python: str | None = None
    java: str | None = None
    versions: Mapping[str, str | None] | None = None
    torch_cuda: str | None = None  # this and the next three: from 2026-11-26 on
    cuda_packages: Mapping[str, str] | None = None
    engines: Mapping[str, str] | None = None
    nvml: str | None = None
    variables: Mapping[str, str] | None = None
    torchserve_env: Mapping[str, str] | None = None  # `variables` until 2026-11-26
    git_commit: str | None = None
    git_dirty: bool | None = None
    load_average_1min: float | None = None


@dataclass(frozen=True, slots=True)
class _Environment:
    resumed: Sequence[_Start] = ()


def environment_from(values: Any) -> dict[str, Any]:
    """The object that environment.json holds, as it is. Raises ValueError where it can't be told as one."""
    record_from(_Start, values)
    record_from(_Environment, values)
    return dict(values)
