"""Cells in which workers have nothing to do, since the batch of one takes all that is in flight. Pure."""

from math import ceil

from experiments.plan.cell import Cell
from experiments.plan.plan import Plan
from experiments.plan.servers import TORCHSERVE


def starved(plan: Plan) -> str | None:
    """What is wrong with the first of such cells of a closed loop, and the remedy, in a line; None where no
    smaller batches would have more workers at work.

    One of TorchServe's workers gathers at a time, up to a whole batch within the batch delay: answers of one
    batch come back together, and the next requests with them.
    """
    cells = [cell for cell in plan.cells() if not cell.twin]
    found = [cell for cell in cells if _is_starved(plan, cell)]
    if not found:
        return None
    cell, in_flight = found[0], plan.load_of(found[0]).connections
    at_work, most = _at_work(cell, in_flight), max(1, in_flight // cell.workers)
    return (
        f"{len(found)} of {len(cells)} cells leave workers idle, as one batch takes what is in flight: "
        f"in {cell}, {at_work} of {cell.workers} works at a time; "
        f"batch sizes up to {most}, or more --concurrency, use more"
    )


def _is_starved(plan: Plan, cell: Cell) -> bool:
    if cell.server != TORCHSERVE or plan.slo is not None or cell.rate_rps is not None:
        return False
    in_flight = plan.load_of(cell).connections
    return _at_work(cell, in_flight) < min(cell.workers, in_flight)


def _at_work(cell: Cell, in_flight: int) -> int:
    return min(cell.workers, ceil(in_flight / cell.batch_size))
