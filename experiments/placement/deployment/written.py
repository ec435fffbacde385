"""All files of a placement, as far as this machine has what they need."""

import os
from collections.abc import Callable
from pathlib import Path

from experiments.base.errors import UsageError
from experiments.bench.archive import archive_of
from experiments.checks import choose
from experiments.placement.deployment.files import write_deployment, write_placement
from experiments.placement.deployment.live import Live
from experiments.placement.deployment.seats import seats
from experiments.placement.problem import Problem
from experiments.placement.strategies.search import Found


def write_what_serves(
    problem: Problem, placed: Found, device: str | None, out: Path, run: bool, tell: Callable[[str], None]
) -> tuple[Live | None, str]:
    """Writes a placement and what TorchServe needs to serve it here; without the models' archives the
    placement alone, unless it shall run. Returns what can be served, or None, and where.

    Raises UsageError where it shall run and can't, and what `write_placement` and `write_deployment` raise.
    """
    card, where = choose(device)
    cores = tuple(sorted(os.sched_getaffinity(0))) if card is None else None
    try:
        archives = {
            workload.model: archive_of(workload.archive or workload.model) for workload in problem.workloads
        }
        seated = seats(placed.placement, problem, cores)
    except UsageError as error:
        if run:
            raise
        path = write_placement(out, problem, placed.placement, [], placed.at_least)
        tell(f"written: {path}, and nothing to serve it with: {error}")
        return None, where
    write_placement(out, problem, placed.placement, seated, placed.at_least)
    write_deployment(out, problem, seated, archives, len(placed.placement.gpus))
    tell(f"written: {out}; serve it with {out / 'start.sh'}")
    return Live(problem, placed.placement, seated, archives, card), where
