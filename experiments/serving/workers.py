"""What every worker has from its environment, served or alone: threads, engine, precision, limits."""

from experiments.base.cores import usable_cores
from experiments.plan import Cell

# Both heeded by handlers/model/settings.py.
PRECISION_VARIABLE = "HANDLER_PRECISION"
ENGINE_VARIABLE = "HANDLER_ENGINE"


def torch_threads(workers: int) -> int:
    """Threads for each of `workers` processes that share this machine's cores without oversubscription."""
    return max(1, usable_cores() // workers)


def worker_env(threads: int, precision: str | None, engine: str | None = None) -> dict[str, str]:
    """What every worker gets, served or alone: its threads, and engine and precision where they are asked
    for."""
    env = {"OMP_NUM_THREADS": str(threads)}
    asked = {PRECISION_VARIABLE: precision, ENGINE_VARIABLE: engine}
    return env | {name: value for name, value in asked.items() if value is not None}


def share_env(thread_percentage: int | None) -> dict[str, str]:
    """The environment that limits each client to a share of the multiprocessors; MPS alone heeds it.

    https://docs.nvidia.com/deploy/mps/ (CUDA_MPS_ACTIVE_THREAD_PERCENTAGE).
    """
    return {} if thread_percentage is None else {"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": str(thread_percentage)}


def memory_env(mebibytes: int | None) -> dict[str, str]:
    """The environment that limits each client's memory on its GPU, the first and only one that it sees; MPS
    alone heeds it: https://docs.nvidia.com/deploy/mps/ (CUDA_MPS_PINNED_DEVICE_MEM_LIMIT)."""
    return {} if mebibytes is None else {"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": f"0={mebibytes}M"}


def limits_env(cell: Cell) -> dict[str, str]:
    """The environment that holds the workers of a cell to its limits, but for a static partition, which the
    arm knows."""
    return share_env(cell.thread_percentage) | memory_env(cell.memory_limit_mib)
