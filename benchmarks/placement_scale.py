"""`python -m benchmarks.placement_scale`: the search for 10 models on 64 GPUs, and for 1,000 on 4,000.

Models and latencies are those of an A100 (benchmarks/data/gpulet), rates differ by up to 50 times, and are so
high that the fluid bound is 90 % of the GPUs; bounds are 2.2 to 8 times the fastest batch. All is seeded. The
last line is JSON.
"""

import json
import time

import numpy as np
from rich.console import Console

from benchmarks.parts import sharing
from experiments.base.errors import ExperimentError
from experiments.placement.checker import violations
from experiments.placement.demand import Workload
from experiments.placement.problem import Problem
from experiments.placement.strategies.bound import fluid_bound
from experiments.placement.strategies.search import fewest

SIZES = ((10, 64), (1000, 4000))
SEED = 1


def main() -> None:
    """Place both, checked, and tell."""
    console = Console()
    told: dict[str, float] = {}
    for models, gpus in SIZES:
        problem = asked(models, gpus)
        begin_s = time.perf_counter()
        found = fewest(problem, gpus)
        took_s = time.perf_counter() - begin_s
        if broken := violations(found.placement, problem, gpus):
            raise ExperimentError(f"a rule is broken: {broken[0]}")
        used = len(found.placement.gpus)
        console.print(
            f"{models} models: {used} of {gpus} GPUs, at least {found.at_least} are needed, in {took_s:.1f} s"
        )
        told |= {f"{models}_models_s": round(took_s, 2), f"{models}_models_over_bound": used / found.at_least}
    console.print(json.dumps(told), soft_wrap=True)


def asked(models: int, gpus: int) -> Problem:
    """A demand of so many models that about fills so many GPUs."""
    table = sharing.a100()
    random = np.random.default_rng(SEED)
    names = table.models()
    workloads = []
    for number in range(models):
        model = names[random.integers(len(names))]
        fastest_ms = min(float(table.curve(model, size)[1]) for size in table.sizes(model))
        rate_rps = gpus * float(np.exp(random.uniform(np.log(20), np.log(1000))))
        bound_ms = fastest_ms * float(random.uniform(2.2, 8))
        workloads.append(Workload(f"{model} {number}", model, rate_rps, bound_ms))
    filled = fluid_bound(Problem(tuple(workloads), table))
    scale = 0.9 * gpus / filled
    return Problem(
        tuple(Workload(each.name, each.model, each.rate_rps * scale, each.slo_ms) for each in workloads),
        table,
    )


if __name__ == "__main__":
    main()
