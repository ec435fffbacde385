"""What a sweep spends besides warm-up and measurement: the seconds of each cell, with a no-op model.

`python -m benchmarks.sweep_overhead`. A cell's time runs from the begin of its registration to the end of its
last trial; the server's start is not in it. The last line is one JSON object.
"""

import json
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from experiments.bench import Bench
from experiments.load import Body
from experiments.measure import Progress, carry_out
from experiments.plan import Cell, Plan, Trial
from experiments.results import TrialResult, create
from experiments.serving.noop import noop_archive


class _Clock(Progress):
    """A campaign's progress, as the time that each cell took beyond what it was to measure."""

    def __init__(self) -> None:
        self.overhead_s: defaultdict[Cell, float] = defaultdict(float)  # outside warm-up and measurement
        self._since_s = 0.0

    def loading(self, trial: Trial) -> None:
        self._since_s = time.monotonic()

    def finished(self, result: TrialResult) -> None:
        load = result.trial.load
        now_s = time.monotonic()
        asked_s = load.warm_up_s + (load.duration_s or 0)
        self.overhead_s[result.trial.cell] += now_s - self._since_s - asked_s
        self._since_s = now_s


def main() -> None:
    plan = Plan(model="noop.mar", workers=(1, 2), batch_size=(1, 4, 8), duration_s=1.0, warm_up_s=0.5)
    clock = _Clock()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "results"
        create(folder, plan, {})
        bench = Bench(noop_archive(Path(name)), [Body(b"hello", "text/plain")])
        carry_out(plan, bench, folder, clock)
    overhead_s = clock.overhead_s
    for cell, seconds in overhead_s.items():
        print(f"{cell}: {seconds:.2f} s for {plan.runs} runs")
    worst = max(overhead_s.values())
    print(json.dumps({"median_s": statistics.median(overhead_s.values()), "max_s": worst}))


if __name__ == "__main__":
    main()
