"""A sweep from Python, cell by cell, as one would run it in a notebook: measure, judge, show.

Each part between `# %%` lines is a cell for editors that know them. On a terminal, after `make mar`:

    .venv/bin/python -m examples.sweep_from_python model_store/bert.mar results/from-python
"""

# %% What is asked, and what it is measured with
import sys
from pathlib import Path

from experiments.bench import bench_for
from experiments.measure import Progress, measure
from experiments.plan import Plan
from experiments.report import show
from experiments.results import TrialResult
from experiments.verdict import judge, verdict_sentence

archive, folder = sys.argv[1:3]
plan = Plan(model=archive, workers=(1,), batch_size=(1, 4), duration_s=1.0, warm_up_s=0.5, runs=3)
bench = bench_for(plan)  # on the CPU; bench_for(plan, mps.card.gpu()) measures on the GPU


# %% Measured: each trial is on disk before the next one starts
class Told(Progress):
    """Hears of what happens; the methods that are left out listen in silence."""

    def finished(self, result: TrialResult) -> None:
        print(f"{result.trial.cell}, run {result.trial.run}: {result.throughput_rps:.1f} requests/s")


results = measure(plan, bench, Path(folder), Told(), ceilings=None)

# %% Judged: a pure function of the results, which `experiments.results.read(folder)` reads again at any time
verdict = judge(results)
print(verdict_sentence(verdict))
print(verdict.summary[["workers", "batch_size", "throughput_rps_median", "latency_ms_p99"]])

# %% Shown: summary.csv, the page, the files to deploy
print(show(verdict))
