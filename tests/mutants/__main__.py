"""Mutation testing of the modules in modules.yaml: which mistakes do their own tests notice?

The last line is JSON: mutants, noticed, score, survivors. A look at some mutants or at one module:
`python -m tests.mutants --sample 100`, `python -m tests.mutants experiments/plan/goal.py`
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # before numpy is there: forks have one thread
    os.environ[_threads] = "1"

from tests.mutants.child import ROOT, Suite  # noqa: E402
from tests.mutants.listed import explanations, modules_and_tests  # noqa: E402
from tests.mutants.made import Mutant, mutants_of  # noqa: E402
from tests.mutants.tried import BrokenTestsError, tried, warmed  # noqa: E402


def main() -> int:
    """Runs, prints, and gives the exit code: 1 where a mutant survives that isn't explained, 2 for usage."""
    options = _options()
    listed = modules_and_tests()
    if unknown := sorted(set(options.modules) - set(listed)):
        print(f"{unknown[0]} isn't in tests/mutants/modules.yaml", file=sys.stderr)
        return 2
    chosen = _chosen(options.modules or list(listed), options.sample, options.seed)
    survivors: list[Mutant] = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        for path in dict.fromkeys(mutant.path for mutant in chosen):
            own = [mutant for mutant in chosen if mutant.path == path]
            try:
                survivors += _survivors(own, Suite(path, listed[path]), Path(scratch) / path, options.jobs)
            except BrokenTestsError as error:
                print(error, file=sys.stderr)
                return 2
    explained = [mutant for mutant in survivors if _key(mutant) in explanations()]
    print(json.dumps(_told(chosen, survivors, explained)))
    return 0 if len(explained) == len(survivors) else 1


def _chosen(paths: Sequence[str], sample: int | None, seed: int) -> list[Mutant]:
    everyone = [mutant for path in paths for mutant in mutants_of(path, (ROOT / path).read_text("utf-8"))]
    if sample is None or sample >= len(everyone):
        return everyone
    numbers = sorted(random.Random(seed).sample(range(len(everyone)), sample))
    return [everyone[number] for number in numbers]


def _survivors(mutants: Sequence[Mutant], tests: Suite, scratch: Path, jobs: int) -> Iterator[Mutant]:
    begun_s = time.monotonic()
    survived = 0
    for mutant, noticed in tried(mutants, warmed(tests, scratch), scratch, jobs):
        if not noticed:
            survived += 1
            mark = " (explained)" if _key(mutant) in explanations() else ""
            print(f"  {mutant}{mark}", flush=True)
            yield mutant
    took_s = time.monotonic() - begun_s
    print(f"{tests.path}: {len(mutants) - survived} of {len(mutants)} noticed, {took_s:.0f} s", flush=True)


def _key(mutant: Mutant) -> tuple[str, str, str]:
    return mutant.path, mutant.where, mutant.what


def _told(
    chosen: Sequence[Mutant], survivors: Sequence[Mutant], explained: Sequence[Mutant]
) -> dict[str, object]:
    made, left = Counter(mutant.path for mutant in chosen), Counter(mutant.path for mutant in survivors)
    return {
        "mutants": len(chosen),
        "noticed": len(chosen) - len(survivors),
        "score": round(1 - len(survivors) / max(1, len(chosen)), 3),
        "explained": len(explained),
        "modules": {path: f"{made[path] - left[path]}/{made[path]}" for path in made},
        "survivors": [
            {"at": f"{mutant.path}:{mutant.line}", "in": mutant.where, "what": mutant.what}
            for mutant in survivors
            if mutant not in explained
        ],
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", help="these of modules.yaml alone (all)")
    parser.add_argument("--sample", type=int, help="so many mutants of all, drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="which are drawn (0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="at once (as many as cores)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
