"""What a placement's page says in words: the verdict, what stands below it, and each part's heading."""

from collections.abc import Iterator, Sequence
from math import inf

from experiments.base.numbers import plain
from experiments.placement.reserve import KEPT
from experiments.placement.simulation import Outcome
from experiments.placement.strategies.pieces import knee
from experiments.report.placement.compared import Attained, Needed
from experiments.report.placement.parts import Alike, chosen
from experiments.report.placement.placing import Placing, clipped
from experiments.verdict.words import counted, joined, percent, shortened, span

FULL = 0.95
"""Of its time a part works, from which on little is left for bursts."""
NAME = 40
"""Letters of a name in a sentence."""


def verdict(placing: Placing) -> str:
    """How many GPUs for what, how few there could be, and whether bounds are kept."""
    count, workloads = len(placing.placement.gpus), placing.problem.workloads
    there = f"{placing.gpus:,} {'GPU' if placing.gpus == 1 else 'GPUs'}"
    serve = f"{count} of {there} {'serves' if count == 1 else 'serve'}"
    asked = f"{plain(placing.asked_rps, 3)} requests/s of {counted(len(workloads), 'model')}"
    needed = f"at least {placing.at_least} {'is' if placing.at_least == 1 else 'are'} needed"
    least = "no placement has fewer" if count == placing.at_least else needed
    if placing.on_cpu:
        return f"The CPU serves {asked}. {models(placing, 2)}"
    return f"{serve} {asked}; {least}. {models(placing, 2)}"


def models(placing: Placing, most: int = 3) -> str:
    """Who keeps the bound by what was measured, else by the simulation; `most` of those who don't by name."""
    if placing.proven:
        return f"Measured, {_kept(placing.proven.measured, 'kept', 'missed', most)}"
    one = len(placing.predicted) == 1
    missing = sum(outcome.attainment < KEPT for outcome in placing.predicted) == 1
    keep, miss = "keeps" if one else "keep", "misses" if missing else "miss"
    return f"Simulated, {_kept(placing.predicted, keep, miss, most)}"


def _kept(outcomes: Sequence[Outcome], keep: str, miss: str, most: int) -> str:
    """Which of them answer KEPT of their requests within the bound."""
    missed = sorted((each for each in outcomes if each.attainment < KEPT), key=lambda each: each.attainment)
    if not missed:
        who = {1: clipped(outcomes[0].workload, NAME), 2: "both models"}.get(
            len(outcomes), f"all {len(outcomes)} models"
        )
        return f"{who} {keep} {'its bound' if len(outcomes) == 1 else 'their bounds'}"
    names = shortened(
        [f"{clipped(each.workload, NAME)} ({percent(each.attainment, 3)} within)" for each in missed], most
    )
    return f"{names} {miss} {'its bound' if len(missed) == 1 else 'their bounds'}"


def besides(placing: Placing) -> list[str]:
    """What the verdict rests on."""
    what = f"A model keeps its bound where {percent(KEPT)} of its requests or more are answered within it."
    if placing.proven:
        return [what]
    return [f"{what} Nothing was measured: what is expected is simulated, with Poisson arrivals."]


def banners(placing: Placing, gpus: Sequence[Alike]) -> Iterator[str]:
    """What a reader must know first."""
    for problem in placing.proven.problems if placing.proven else ():
        yield f"What was measured is no result: {problem}."
    if _fullest(gpus) >= FULL and any(each.attainment < KEPT for each in placing.expected):
        yield (
            f"Parts are at work up to {percent(_fullest(gpus), 3)} of the time at the rates that are asked, "
            "so queues grow where requests come in bursts. Ask for higher rates than there will be."
        )


def gpus(placing: Placing, alike: Sequence[Alike]) -> str:
    """How full the parts are."""
    least, most = _emptiest(alike), _fullest(alike)
    parts = counted(sum(len(each.parts) * len(each.numbers) for each in alike), "part")
    busy = span(percent(least, 2), percent(most, 2))
    where = "the CPU" if placing.on_cpu else counted(len(placing.placement.gpus), "GPU")
    return f"{parts} on {where}, at work {busy} of the time"


def latency(placing: Placing, alike: Sequence[Alike]) -> str:
    """How much of the bound's half a batch takes."""
    of_half = [
        each.latency_ms / (placing.problem.workloads[index].slo_ms / 2)
        for index in range(len(placing.problem.workloads))
        for each in chosen(alike, index)
    ]
    batches = "The chosen batches take" if len(of_half) > 1 else "The chosen batch takes"
    return f"{batches} {span(percent(min(of_half), 2), percent(max(of_half), 2))} of half the bound"


def shares(placing: Placing, alike: Sequence[Alike]) -> str:
    """Where the knees lie, and what is in use."""
    everyone = range(len(placing.problem.workloads))
    knees = [knee(placing.problem, index) for index in everyone]
    used = [each.size for index in everyone for each in chosen(alike, index)]
    return (
        f"{'Knees lie' if len(knees) > 1 else 'The knee lies'} at {_sizes(placing, knees)}; "
        f"in use: {_sizes(placing, used)}"
    )


def _sizes(placing: Placing, sizes: Sequence[int]) -> str:
    return span(placing.unit(min(sizes)), placing.unit(max(sizes)))


def load(placing: Placing, found: Needed) -> str:
    """What the strategies need at the highest rates."""
    factor = max(found.at_least)
    there = {strategy: gpus[factor] for strategy, gpus in found.gpus.items() if factor in gpus}
    at = f"At {plain(factor, 2)} times the rates"
    if not there:
        return f"{at} no strategy finds a placement; at least {counted(found.at_least[factor], 'GPU')}"
    least = min(there.values())
    who = joined(strategy for strategy, gpus in there.items() if gpus == least)
    need = "needs" if list(there.values()).count(least) == 1 else "need"
    others = f", the others up to {max(there.values())}" if max(there.values()) > least else ""
    return f"{at} {who} {need} {counted(least, 'GPU')}{others}"


def attainment(placing: Placing, attained: Sequence[Attained]) -> str:
    """Which strategy's placement keeps the most requests within their bounds."""
    there = [each for each in attained if each.gpus]
    best = max(there, key=lambda each: (each.attainment, each.strategy == placing.strategy))
    keeps = (
        f"Of all requests {best.strategy} keeps the most within their bounds: {percent(best.attainment, 3)}"
    )
    if best.gpus != len(placing.placement.gpus):
        keeps += f" on {counted(best.gpus or 0, 'GPU')}"
    mine = next((each for each in there if each.strategy == placing.strategy), best)
    return keeps if mine is best else f"{keeps}; {mine.strategy} {percent(mine.attainment, 3)}"


def measured(placing: Placing) -> str:
    """How far the prediction was from what was measured, at the 95th percentile."""
    assert placing.proven is not None
    pairs = zip(placing.proven.measured, placing.proven.predicted, strict=True)
    ratios = [was.p95_ms / expected.p95_ms for was, expected in pairs if 0 < expected.p95_ms < inf]
    if not ratios:
        return "Measured, no percentile could be predicted"
    times = span(f"{min(ratios):.2f}", f"{max(ratios):.2f}")
    return f"Measured, the 95th percentile is {times} times the predicted"


def _fullest(alike: Sequence[Alike]) -> float:
    return max(used.busy for each in alike for used in each.parts)


def _emptiest(alike: Sequence[Alike]) -> float:
    return min(used.busy for each in alike for used in each.parts)
