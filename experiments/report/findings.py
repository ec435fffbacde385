"""What each part of a report says in a sentence or two: the verdict first, then a finding for each figure."""

from collections import Counter
from collections.abc import Iterator, Sequence

from experiments.report.figures.forest import OUTCOMES, outcome
from experiments.report.figures.latency import frontier, latency_ms, with_latency
from experiments.verdict.stats import range_coverage
from experiments.verdict.verdict import Pair, Run
from experiments.verdict.words import (
    GIB,
    apart,
    capital,
    change,
    configuration,
    counted,
    interval,
    joined,
    number,
    percent,
    sentence,
    shortened,
)


def verdict(run: Run) -> str:
    """What to use, how much better it is than the next, and how sure that is; or why nothing can be said."""
    if run.advice is None:
        return sentence(_without_advice(run))
    best, goal = run.advice.best, run.advice.goal
    text = f"use {configuration(best.cell)}: {number(best.median.median)} {run.advice.unit}"
    if goal.bounds:
        text += f" with {joined(str(bound).replace('<', ' below ') for bound in goal.bounds)}"
    margin, runner_up = run.advice.margin, run.advice.runner_up
    if margin is not None and runner_up is not None:
        if runner_up.cell in {rival.cell for rival in run.advice.rivals}:
            text += f", not shown to be more than the runner-up, {configuration(runner_up.cell)}"
        else:
            text += f", {change(margin.ratio)} over the runner-up, {configuration(runner_up.cell)}"
        text += f" ({interval(margin)} times it with {percent(margin.confidence, 3)} confidence)"
    return sentence(text)


def besides(run: Run) -> list[str]:
    """What belongs to the verdict and is not in its sentence: MPS, rivals, the knee, the advice's notes."""
    found = [mps(run, explained=False)] if run.pairs else []
    if run.advice is None:
        return found
    rivals = [configuration(rival.cell) for rival in run.advice.rivals]
    if len(rivals) > 1:
        found.append(f"{len(rivals)} configurations are not shown to be slower: {shortened(rivals)}.")
    knee, best = run.advice.knee, run.advice.best
    if knee.cell.batch_size < best.cell.batch_size:
        found.append(
            f"The smallest batch within 5 % of it: {configuration(knee.cell)}, with "
            f"{number(knee.median.median)} {run.advice.unit}."
        )
    return found + [sentence(note) for note in run.advice.notes]


def mps(run: Run, *, explained: bool = True) -> str:
    """In how many pairs MPS helps, hurts, or makes no difference that shows."""
    known = [pair for pair in run.pairs if pair.known]
    if not known:
        return "No cell has valid runs both with and without MPS."
    by_outcome: dict[str, list[Pair]] = {}
    for pair in known:
        by_outcome.setdefault(outcome(pair.comparison), []).append(pair)
    parts = [_effect(name, by_outcome[name]) for name in OUTCOMES if name in by_outcome]
    text = f"Of {counted(len(known), 'pair')} of cells, MPS {joined(parts)}."
    if explained and any(name.endswith("itself") for name in by_outcome):
        text += (
            f" 'By itself' is what a pair alone shows; a verdict that allows for all {len(known)} pairs "
            f"takes {run.runs_for_all_pairs} runs of each cell or more."
        )
    return text


def noise(run: Run) -> str:
    """The noise floor, and what it comes from."""
    if run.floor is None:
        return "No cell was measured twice, so the noise floor is not known."
    twin = next(measured.cell for measured in run.cells if measured.cell.twin)
    return (
        f"Noise floor: {configuration(twin)}, measured twice under two names, differs from itself by "
        f"{apart(run.floor)}. A difference that is no larger is noise."
    )


def throughput(run: Run) -> str:
    """Where the highest median is, and where the lowest."""
    slowest, *_, best = sorted([*run.grid, *run.grid], key=lambda measured: measured.median_rps)
    text = f"The highest median is {number(best.median_rps)} requests/s, at {configuration(best.cell)}"
    if slowest is not best:
        text += f"; the lowest {number(slowest.median_rps)}, at {configuration(slowest.cell)}"
    return text + "."


def ranges(run: Run) -> str:
    """How often the range of the runs holds the true median."""
    ((runs, _),) = Counter(len(measured.rps) for measured in run.grid).most_common(1)
    if runs == 1:
        return "There is one run of a cell: no range, and no telling how much of a difference is noise."
    return (
        f"Every dot is a run, every bar the range of a cell's runs: that of {runs} runs holds the true "
        f"median with {percent(range_coverage(runs))} confidence. Lines join the medians."
    )


def latency(run: Run) -> str:
    """The least p99, and what the most throughput costs."""
    best = frontier(with_latency(run), 99)
    quick, fast = best[0], best[-1]
    if quick is fast:
        return (
            f"{capital(configuration(fast.cell))} has both the most requests/s and the least p99, "
            f"{number(latency_ms(fast, 99))} ms."
        )
    return (
        f"The least p99 is {number(latency_ms(quick, 99))} ms, at {number(quick.median_rps)} requests/s "
        f"({configuration(quick.cell)}); the most requests/s cost {number(latency_ms(fast, 99))} ms."
    )


def memory(run: Run) -> str:
    """How much the largest cell takes, and what MPS saves."""
    known = [(value, each) for each in run.grid if (value := each.known("gpu_memory_bytes_total"))]
    if not known:
        return "No GPU: what the workers hold in main memory, shared pages counted for each of them."
    most, at = max(known, key=lambda each: each[0])
    text = f"At most {most / GIB:.2f} GiB of the GPU are in use ({configuration(at.cell)})."
    saved = [value / GIB for each in run.grid if (value := each.known("gpu_memory_saved_bytes")) is not None]
    if not saved:
        return text
    least, most = min(saved), max(saved)
    if most <= 0:
        return f"{text} MPS takes {-most:.2f} to {-least:.2f} GiB more."
    reach = f"{least:.2f} to " if least >= 0 else "up to "
    return f"{text} MPS saves {'' if most - least < 0.005 else reach}{most:.2f} GiB."


def energy(run: Run) -> str:
    """Where a request costs least; empty where the GPU did not tell its power."""
    known = [(value, each) for each in run.grid if (value := each.known("energy_j_per_1000_requests"))]
    if not known:
        return ""
    least, at = min(known, key=lambda each: each[0])
    return f"Least energy: {number(least)} J per 1000 requests, at {configuration(at.cell)}."


def ceilings(run: Run) -> str:
    """How near the best served cell comes to the bare model, and that to the device."""
    found = []
    served = [each for each in run.grid if each.known("served_over_bare")]
    if served:
        best = max(served, key=lambda each: each.median_rps)
        share = percent(best.known("served_over_bare") or 0.0, 2)
        found.append(f"{configuration(best.cell)} reaches {share} of the bare model with as many processes")
    reached = [value for each in run.grid if (value := each.known("bare_over_roofline"))]
    if reached:
        found.append(f"the bare model reaches {percent(max(reached), 2)} of the roofline at best")
    return sentence("; ".join(found))


def invalid(run: Run) -> str:
    """How many runs count."""
    valid, measured = len(run.results) - len(run.invalid), len(run.results)
    text = f"all {counted(measured, 'run')} are valid" if valid == measured else ""
    text = text or f"{valid} of {counted(measured, 'run')} {'is' if valid == 1 else 'are'} valid"
    if run.left:
        text += f"; {len(run.left)} of the plan's {len(run.trials)} are not measured"
    return sentence(text)


def banners(run: Run) -> Iterator[str]:
    """What a reader must know before any number."""
    if run.stood_in_for:
        yield "The GPU and its MPS clients were stood in for: these are figures of a test and of no GPU."
    if run.random_weights:
        yield "The model's weights are random: its speed is representative, its predictions are not."
    if run.left and run.results:
        yield (
            f"Not complete: {len(run.left)} of {len(run.trials)} runs are not measured. "
            f"Go on with python -m mps.run --resume {run.folder}"
        )
    if run.environment.get("git_dirty"):
        yield "Measured with changes that were not committed: the commit below does not tell all."
    yield from (sentence(note) for note in run.notes)


def png_note(run: Run) -> str:
    """The line below every picture: whose it is, and what must not be overlooked where it goes alone."""
    parts = [run.model, run.hardware]
    if run.started_at:
        parts.append(date(run))
    if run.random_weights:
        parts.append("random weights")
    return " · ".join(parts)


def date(run: Run) -> str:
    """The day on which the run was started; empty where it is not known."""
    return f"{run.started_at:%d %B %Y}".lstrip("0") if run.started_at else ""


def _effect(name: str, pairs: Sequence[Pair]) -> str:
    ratios = [pair.comparison.ratio for pair in pairs]
    low, high = change(min(ratios)), change(max(ratios))
    reach = low if low == high else f"{low} to {high}"
    return f"{'has' if name == 'not enough runs' else 'is'} {name} in {len(pairs)} ({reach})"


def _without_advice(run: Run) -> str:
    if not run.results:
        return f"nothing is measured yet: {counted(len(run.trials), 'run')} to go"
    if any(result.valid for result in run.results):
        return f"no verdict: {run.no_advice}"
    problems = Counter(problem for result in run.invalid for problem in result.problems)
    problem, times = problems.most_common(1)[0]
    which = "" if times == len(run.results) else f", {times} of them"
    return f"no verdict: all {counted(len(run.results), 'run')} are invalid{which}: {problem}"
