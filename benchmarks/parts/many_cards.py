"""What the driver of a thousand cards costs: its own code, on a real disk, with cards that take no time."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import numpy as np

from benchmarks.parts.fake_cards import ENVIRONMENT, FakeCards
from experiments.cluster.driver import carry_out
from experiments.measure import Progress
from experiments.plan import Plan
from experiments.results import create, read_trials
from experiments.results.cards.folders import create_card

REQUESTS_BYTES = 20_000  # about what requests/NNNN.npz takes for a thousand requests


def driver_costs(folder: Path, cards: int, cells: int, runs: int = 5) -> dict[str, float]:
    """Milliseconds a trial, of the clock and of the CPU, and the memory that the driver's process takes in
    the end and took before, in MiB; the trials are those of the plan and of all checks."""
    workers = max(1, cells // 100)
    plan = Plan(
        workers=tuple(range(1, workers + 1)), batch_size=tuple(range(1, cells // workers + 1)), runs=runs
    )
    names = [f"node-{number // 8:03} card {number % 8}" for number in range(cards)]
    content = np.random.default_rng(0).bytes(REQUESTS_BYTES)
    fake = FakeCards(plan, names, requests=content)
    create(folder, plan, {})
    for name in names:
        create_card(folder, name, ENVIRONMENT)
    before_mib = _peak_mib()
    begin_s, cpu_begin_s = time.perf_counter(), time.process_time()
    carry_out(plan, folder, Progress(), fake)
    wall_s, cpu_s = time.perf_counter() - begin_s, time.process_time() - cpu_begin_s
    of_plan = len(read_trials(folder, plan))
    trials = of_plan + runs * len(list((folder / "cards").iterdir()))
    again = FakeCards(plan, names)
    resumed_s = time.perf_counter()
    carry_out(plan, folder, Progress(), again)
    return {
        "cards": cards,
        "trials_of_the_plan": of_plan,
        "trials_with_checks": trials,
        "wall_ms_a_trial": round(wall_s / trials * 1e3, 3),
        "cpu_ms_a_trial": round(cpu_s / trials * 1e3, 3),
        "peak_mib": round(_peak_mib()),
        "peak_mib_before": round(before_mib),
        "looking_through_the_finished_s": round(time.perf_counter() - resumed_s, 2),
        "given_twice": len(again.given),
    }


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
