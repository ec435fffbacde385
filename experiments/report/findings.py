"""What each part of a report says in a sentence or two: the verdict first, then a finding for each figure."""

from collections import Counter

from experiments.report.figures.latency import frontier, latency_ms, with_latency
from experiments.verdict.stats import range_coverage
from experiments.verdict.verdict import Verdict
from experiments.verdict.words import (
    GIB,
    apart,
    capital,
    configuration,
    counted,
    joined,
    number,
    percent,
    sentence,
    span,
)


def noise(verdict: Verdict) -> str:
    """The noise floor, and what it comes from."""
    if verdict.floor is None:
        return "No cell was measured twice, so the noise floor is not known."
    twin = next(measured.cell for measured in verdict.cells if measured.cell.twin)
    return (
        f"Noise floor: {configuration(twin)}, measured twice under two names, differs from itself by "
        f"{apart(verdict.floor)}. A difference that is no larger is noise."
    )


def throughput(verdict: Verdict) -> str:
    """Where the highest median is, and where the lowest."""
    slowest, *_, best = sorted([*verdict.grid, *verdict.grid], key=lambda measured: measured.median_rps)
    text = f"The highest median is {number(best.median_rps)} requests/s, at {configuration(best.cell)}"
    if slowest is not best:
        text += f"; the lowest {number(slowest.median_rps)}, at {configuration(slowest.cell)}"
    return text + "."


def ranges(verdict: Verdict) -> str:
    """How often the range of the runs holds the true median."""
    ((runs, _),) = Counter(len(measured.rps) for measured in verdict.grid).most_common(1)
    if runs == 1:
        return "There is one run of a cell: no range, and no telling how much of a difference is noise."
    return (
        f"Every dot is a run, every bar the range of a cell's runs: that of {runs} runs holds the true "
        f"median with {percent(range_coverage(runs))} confidence. Lines join the medians."
    )


def latency(verdict: Verdict) -> str:
    """The least p99, and what the most throughput costs."""
    best = frontier(with_latency(verdict), 99)
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


def memory(verdict: Verdict) -> str:
    """How much the largest cell takes, and what MPS saves."""
    known = [(value, each) for each in verdict.grid if (value := each.known("gpu_memory_bytes_total"))]
    if not known:
        return "No GPU: what the workers hold in main memory, shared pages counted for each of them."
    most, at = max(known, key=lambda each: each[0])
    text = f"At most {most / GIB:.2f} GiB of the GPU are in use ({configuration(at.cell)})."
    saved = [
        value / GIB for each in verdict.grid if (value := each.known("gpu_memory_saved_bytes")) is not None
    ]
    if not saved:
        return text
    least, most = min(saved), max(saved)
    if most <= 0:
        return f"{text} MPS takes {span(f'{-most:.2f}', f'{-least:.2f}')} GiB more."
    reach = span(f"{least:.2f}", f"{most:.2f}") if least >= 0 else f"up to {most:.2f}"
    return f"{text} MPS saves {reach} GiB."


def energy(verdict: Verdict) -> str:
    """Where a request costs least; empty where the GPU did not tell its power."""
    known = [(value, each) for each in verdict.grid if (value := each.known("energy_j_per_1000_requests"))]
    if not known:
        return ""
    least, at = min(known, key=lambda each: each[0])
    return f"Least energy: {number(least)} J per 1000 requests, at {configuration(at.cell)}."


def ceilings(verdict: Verdict) -> str:
    """How near the best served cell comes to the bare model, and that to the device."""
    found = []
    served = [each for each in verdict.grid if each.known("served_over_bare")]
    if served:
        best = max(served, key=lambda each: each.median_rps)
        share = percent(best.known("served_over_bare") or 0.0, 2)
        found.append(f"{configuration(best.cell)} reaches {share} of the bare model with as many processes")
    reached = [value for each in verdict.grid if (value := each.known("bare_over_roofline"))]
    if reached:
        found.append(f"the bare model reaches {percent(max(reached), 2)} of the roofline at best")
    return sentence("; ".join(found))


def same_shares(verdict: Verdict) -> str:
    """Which shares gave a worker the same multiprocessors, so that they are one configuration; empty where
    all differ or it is not known."""
    groups: dict[int, set[int]] = {}
    for each in verdict.grid:
        count, share = each.known("multiprocessors"), each.cell.thread_percentage
        if count and share:
            groups.setdefault(round(count), set()).add(share)
    told = [
        f"{joined(map(str, sorted(shares)))} % gave the same {count} multiprocessors"
        for count, shares in sorted(groups.items())
        if len(shares) > 1
    ]
    return f"{sentence('; '.join(told))} What differs between them is noise." if told else ""


def invalid(verdict: Verdict) -> str:
    """How many runs count, and how many of their answers are wrong."""
    valid, measured = len(verdict.trials) - len(verdict.invalid), len(verdict.trials)
    text = f"all {counted(measured, 'run')} are valid" if valid == measured else ""
    text = text or f"{valid} of {counted(measured, 'run')} {'is' if valid == 1 else 'are'} valid"
    if verdict.left:
        text += f"; {len(verdict.left)} of the plan's {len(verdict.planned)} are not measured"
    return sentence(f"{text}; {_of_answers(verdict)}")


def _of_answers(verdict: Verdict) -> str:
    checked = sum(result.answers_checked or 0 for result in verdict.trials)
    wrong = sum(result.answers_wrong or 0 for result in verdict.trials)
    if not checked:
        return "no answer was checked"
    how_many = f"{wrong:,} are" if wrong > 1 else "1 is" if wrong else "none is"
    return f"of {checked:,} answers that were checked {how_many} wrong"


def png_note(verdict: Verdict) -> str:
    """The line below every picture: whose it is, and what must not be overlooked where it goes alone."""
    parts = [verdict.model, verdict.hardware]
    if verdict.started_at:
        parts.append(date(verdict))
    if verdict.random_weights:
        parts.append("random weights")
    return " · ".join(parts)


def date(verdict: Verdict) -> str:
    """The day on which the run was started; empty where it is not known."""
    return f"{verdict.started_at:%d %B %Y}".lstrip("0") if verdict.started_at else ""
