"""How far the search is from its lower bound, noted scenario by scenario."""

from time import perf_counter

from experiments.placement.checker import violations
from experiments.placement.problem import Problem
from experiments.placement.strategies.search import fewest


class Bound:
    """How far the search is from its lower bound, over all problems that were looked at."""

    def __init__(self) -> None:
        self.ratios: dict[str, list[float]] = {"published": [], "random": []}
        self.worse: list[str] = []
        self.above: list[str] = []

    def search(self, problem: Problem, of: str, name: str) -> int:
        """The GPUs of the search, noted; where they are more than the bound, with the scenario's name."""
        start_s = perf_counter()
        found = fewest(problem)
        used = len(found.placement.gpus)
        if wrong := violations(found.placement, problem):
            self.worse.append(f"a plan of the search breaks a rule: {wrong[0]}")
        self.ratios[of].append(used / found.at_least)
        if used > found.at_least:
            took_s = perf_counter() - start_s
            self.above.append(f"{name}: {used} GPUs, the bound is {found.at_least} ({took_s:.1f} s)")
        return used
