"""What every worker gets from its environment, served or alone: threads, precision, its share of the GPU."""

from experiments.base.cores import usable_cores

PRECISION_VARIABLE = "HANDLER_PRECISION"  # heeded by handlers/model/settings.py


def torch_threads(workers: int) -> int:
    """Threads for each of `workers` processes that share this machine's cores without oversubscription."""
    return max(1, usable_cores() // workers)


def worker_env(threads: int, precision: str | None) -> dict[str, str]:
    """What every worker gets, served or alone: torch threads, and the precision if one is asked for."""
    env = {"OMP_NUM_THREADS": str(threads)}
    return env if precision is None else env | {PRECISION_VARIABLE: precision}


def share_env(thread_percentage: int | None) -> dict[str, str]:
    """The environment that limits each client to a share of the multiprocessors; MPS alone heeds it.

    https://docs.nvidia.com/deploy/mps/ (CUDA_MPS_ACTIVE_THREAD_PERCENTAGE).
    """
    return {} if thread_percentage is None else {"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": str(thread_percentage)}
