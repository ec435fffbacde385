"""What a long run comes to: its summary, and a small figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.long_run.disturbances import Disturbed
from benchmarks.long_run.growth import HOUR_S, growth_percent_per_hour
from benchmarks.long_run.samples import FRONTEND, Sample
from benchmarks.long_run.traffic import Tally

BOUND_PERCENT = 5.0
"""An hour, of the frontend's and of each worker's resident memory. Java's heap alone breathes by that much: a
smaller slope can't be told from it in two hours. Of a frontend of 700 MB at 6 requests/s it is 1.6 kB a
request, less than any of them has in its body."""
MOST_MORE_DESCRIPTORS = (
    10  # between the first and the last tenth after the warm-up: a connection more or less
)
MOST_WARM_UP_S = 1800.0
MOST_WORKERS_WARM_UP_S = 300.0
WARM_UP_SHARE = 0.25
MIB = 2**20


def summary(
    samples: Sequence[Sample], models: Sequence[str], tally: Tally, done: Disturbed, every_s: float
) -> dict[str, Any]:
    """All that was found; `every_s` is how long a worker lives between two kills of any model."""
    ran_s = samples[-1].at_s if samples else 0.0
    warm_up_s = min(MOST_WARM_UP_S, WARM_UP_SHARE * ran_s)
    workers_warm_up_s = min(MOST_WORKERS_WARM_UP_S, WARM_UP_SHARE * every_s * len(models))
    growth = {FRONTEND: growth_percent_per_hour(_lives(samples, FRONTEND), warm_up_s)}
    growth |= {name: growth_percent_per_hour(_lives(samples, name), workers_warm_up_s) for name in models}
    known = [each for name in models if (each := growth[name]) is not None]
    return {
        "hours": round(ran_s / HOUR_S, 3),
        "wrong_answers": tally.wrong,
        "errors_unexpected": tally.unexpected,
        "frontend_growth_percent": _rounded(growth[FRONTEND]),
        "worker_growth_percent": _rounded(max(known) if known else None),
        "growth_percent_per_hour": {name: _rounded(each) for name, each in growth.items()},
        "bound_percent_per_hour": BOUND_PERCENT,
        "more_descriptors": _more_descriptors(samples, warm_up_s),
        "warm_up_s": round(warm_up_s, 1),
        "workers_warm_up_s": round(workers_warm_up_s, 1),
        "right_answers": dict(tally.right),
        "requests": dict(tally.asked),
        "malformed": dict(sorted(tally.malformed.items())),
        "failed_while_a_worker_was_killed": dict(tally.while_killed),
        "workers_killed": len(done.restarts_s),
        "restart_s": _middle(done.restarts_s),
        "registrations": len(done.registrations_s),
        "registration_s": _middle(done.registrations_s),
        "removals": done.removals,
        "tokens_renewed": done.renewals,
        "memory": {name: _memory(samples, name) for name in (FRONTEND, *models)},
        "temporary_mib": _ends([each.temporary_bytes / MIB for each in samples if each.who == FRONTEND]),
        "first_failures": tally.told,
    }


def problems(found: Mapping[str, Any]) -> list[str]:
    """Why it is no good run, a line each."""
    lines = []
    if found["wrong_answers"]:
        lines.append(f"{found['wrong_answers']} wrong answers")
    if found["errors_unexpected"]:
        lines.append(f"{found['errors_unexpected']} errors that nothing explains")
    for name, percent in found["growth_percent_per_hour"].items():
        if percent is not None and percent > BOUND_PERCENT:
            lines.append(f"{name} grows by {percent:.1f} % an hour, more than {BOUND_PERCENT:g} %")
    if (more := found["more_descriptors"]) is not None and more > MOST_MORE_DESCRIPTORS:
        lines.append(f"the frontend has {more} descriptors more than at first")
    return lines


def draw(samples: Sequence[Sample], models: Sequence[str], path: Path) -> None:
    """Resident memory over time, and the frontend's descriptors, as a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (memory, descriptors) = plt.subplots(2, 1, figsize=(7, 5), sharex=True, height_ratios=(3, 1))
    for name in (FRONTEND, *models):
        mine = [each for each in samples if each.who == name]
        at_h = [each.at_s / HOUR_S for each in mine]
        memory.plot(at_h, [each.rss_bytes / MIB for each in mine], ".", markersize=2, label=name)
        if name == FRONTEND:
            descriptors.plot(at_h, [each.descriptors for each in mine], ".", markersize=2)
    memory.set_ylabel("resident MiB")
    memory.set_ylim(bottom=0)
    memory.legend(markerscale=4, frameon=False, ncols=4, loc="lower right")
    descriptors.set_ylabel("descriptors,\nfrontend")
    descriptors.set_ylim(bottom=0)
    descriptors.set_xlabel("hours")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _lives(samples: Sequence[Sample], who: str) -> list[list[tuple[float, float]]]:
    """(seconds, resident bytes) of each process that was this one."""
    lives: dict[int, list[tuple[float, float]]] = {}
    for each in samples:
        if each.who == who:
            lives.setdefault(each.pid, []).append((each.at_s, float(each.rss_bytes)))
    return list(lives.values())


def _memory(samples: Sequence[Sample], who: str) -> dict[str, list[int]]:
    mine = [each for each in samples if each.who == who]
    return {
        "rss_mib": _ends([each.rss_bytes / MIB for each in mine]),
        "pss_mib": _ends([each.pss_bytes / MIB for each in mine]),
        "descriptors": _ends([float(each.descriptors) for each in mine]),
        "threads": _ends([float(each.threads) for each in mine]),
    }


def _ends(values: Sequence[float]) -> list[int]:
    """The first, the median, the largest and the last of them."""
    if not values:
        return []
    return [round(each) for each in (values[0], median(values), max(values), values[-1])]


def _more_descriptors(samples: Sequence[Sample], warm_up_s: float) -> int | None:
    kept = [each.descriptors for each in samples if each.who == FRONTEND and each.at_s >= warm_up_s]
    tenth = len(kept) // 10
    return round(median(kept[-tenth:]) - median(kept[:tenth])) if tenth else None


def _middle(values: Sequence[float]) -> float | None:
    return round(median(values), 2) if values else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
