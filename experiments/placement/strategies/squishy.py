"""Time sharing on whole GPUs: squishy bin packing (Nexus, Shen et al., SOSP 2019, section 6.1).

A model has whole GPUs while it saturates them; the rests take turns, the fullest first, each where the GPU
gets fullest. Where Nexus merges two in the shorter of their cycles, every cycle is looked at in which
somebody's batch is just full.
"""

from experiments.placement.placed import Part, Placement, Resident
from experiments.placement.problem import Problem, UnplaceableError
from experiments.placement.strategies.draft import checked
from experiments.placement.strategies.turns import Wanted, occupancy, settled

Node = tuple[Wanted, tuple[Part, ...]]


def place(problem: Problem, gpus: int) -> Placement:
    """A placement on at most so many GPUs. Raises UnplaceableError where that finds none."""
    placed: list[tuple[Part, ...]] = []
    rests: list[Node] = []
    for workload in range(len(problem.workloads)):
        full, rest = _saturated(problem, workload)
        placed += full
        rests += [rest] if rest else []
    rests.sort(key=lambda node: -occupancy(node[0], node[1][0]))
    nodes: list[Node] = []
    for rest in rests:
        _merge(problem, nodes, rest)
    placed += [parts for _, parts in nodes]
    if len(placed) > gpus:
        raise UnplaceableError(
            f"{_largest(problem)} takes most of the {len(placed)} whole GPUs that turns need, {gpus} are "
            "there: add GPUs, lower its rate, or give models parts of GPUs"
        )
    return checked(problem, placed, gpus)


def _saturated(problem: Problem, workload: int) -> tuple[list[tuple[Part, ...]], Node | None]:
    """The GPUs that a workload fills, and its rest."""
    whole = problem.rules.card.sizes[-1]
    batch, latency_ms = problem.alone(workload, whole)
    asked = problem.workloads[workload]
    if not batch:
        raise UnplaceableError(
            f"{asked.name}: two batches of 1 take more than its {asked.slo_ms:g} ms on a whole GPU: "
            "raise the bound"
        )
    most_rps = 1000 * batch / latency_ms
    full = int(asked.rate_rps / most_rps)
    rest_rps = asked.rate_rps - full * most_rps
    gpus: list[tuple[Part, ...]] = [(Part(whole, latency_ms, (Resident(workload, batch),)),)] * full
    if rest_rps <= 1e-9 * asked.rate_rps:
        return gpus, None
    wanted = Wanted(whole, {workload: rest_rps})
    parts = settled(problem, (wanted,))
    if parts is None:
        raise UnplaceableError(
            f"{asked.name}: one process of it takes more than a GPU's memory: use a larger GPU"
        )
    return gpus, (wanted, parts)


def _merge(problem: Problem, nodes: list[Node], rest: Node) -> None:
    """Puts a rest onto the node that gets fullest, or onto a new one."""
    best: tuple[float, int, Node] | None = None
    ((workload, rate_rps),) = rest[0].rates_rps.items()
    for number, (wanted, _) in enumerate(nodes):
        both = wanted.plus(workload, rate_rps)
        parts = settled(problem, (both,))
        if parts is not None:
            full = occupancy(both, parts[0])
            if best is None or full > best[0]:
                best = full, number, (both, parts)
    if best is None:
        nodes.append(rest)
    else:
        nodes[best[1]] = best[2]


def _largest(problem: Problem) -> str:
    whole = problem.rules.card.sizes[-1]

    def needs(workload: int) -> float:
        batch, latency_ms = problem.alone(workload, whole)
        return problem.workloads[workload].rate_rps * latency_ms / batch

    return problem.workloads[max(range(len(problem.workloads)), key=needs)].name
