"""The looks of a plan as tables: frames for the files, and what the terminal shows. Pure."""

from collections.abc import Mapping, Sequence
from statistics import median

import pandas as pd
from rich import box
from rich.table import Table

from experiments.plan.defaults import CONFIDENCE
from experiments.together.campaign import RUN
from experiments.together.look import Look, Seen
from experiments.together.plan import Served, Together
from experiments.together.search import Search


def summary(plan: Together, taken: Sequence[Look]) -> pd.DataFrame:
    """A row for each server and model: medians over its runs, each figure by itself; failures are summed.

    `within_least` is that of the worst run; CPU is the server's, of all models together.
    """
    return pd.DataFrame(
        [
            row
            for server in plan.servers
            for model in plan.models
            if (row := _row(server, model, [each for each in taken if _is_run(each, server)]))
        ]
    )


def _is_run(look: Look, server: str) -> bool:
    return look.purpose == RUN and look.server == server


def _row(server: str, model: Served, looks: Sequence[Look]) -> dict[str, object]:
    if not looks:
        return {}
    seen = [each.models[model.name] for each in looks]
    return {
        "server": server,
        "model": model.name,
        "runs": len(seen),
        "rate_rps": model.rate_rps,
        "throughput_rps": median(each.throughput_rps for each in seen),
        "p50_ms": _median([each.p50_ms for each in seen]),
        "p99_ms": _median([each.p99_ms for each in seen]),
        "slo": str(model.slo),
        "within": median(each.within for each in seen),
        "within_least": min(each.within for each in seen),
        "failures": sum(each.failures for each in seen),
        "server_cpu_cores": median(each.cpu_cores for each in looks),
        "server_cpu_ms_per_request": _median([each.cpu_ms for each in looks]),
        "problems": sum(each.problem is not None for each in seen),
    }


def goodput(plan: Together, searches: Mapping[str, Search]) -> pd.DataFrame:
    """A row for each server whose search has a decision: the factor, the rates that it means, and between
    which factors it is with 95 % confidence."""
    rows = []
    for server, search in searches.items():
        if (decision := search.decision) is None:
            continue
        rows.append(
            {
                "server": server,
                "factor": decision.factor,
                **{f"{model.name}_rps": decision.factor * model.rate_rps for model in plan.models},
                "least_factor": decision.least,
                "most_factor": decision.most,
                "looks": decision.looks,
                "sure": decision.sure,
            }
        )
    return pd.DataFrame(rows)


def problems(taken: Sequence[Look]) -> list[str]:
    """What makes a run no result: failed requests, a generator that was late, busy other programs."""
    disturbed = [
        f"{look.server}, run {look.number + 1}: {look.disturbed}"
        for look in taken
        if look.purpose == RUN and look.disturbed
    ]
    return disturbed + [
        f"{look.server}, run {look.number + 1}, {name}: {why}"
        for look in taken
        if look.purpose == RUN
        for name, seen in look.models.items()
        if (why := _why(seen))
    ]


def warnings(taken: Sequence[Look]) -> list[str]:
    """For each server whose search had looks in which the load generator was late: those count as failed, and
    the limit may be the generator's. And those in which other programs were busy: it may be theirs."""
    late = [
        look.server
        for look in taken
        if look.purpose != RUN and any(seen.problem for seen in look.models.values())
    ]
    busy = [look.server for look in taken if look.purpose != RUN and look.disturbed]
    return [
        f"{name}: the load generator was late in {late.count(name)} looks of the search: the limit may be its"
        for name in dict.fromkeys(late)
    ] + [
        f"{name}: other programs were busy in {busy.count(name)} looks of the search: the limit may be theirs"
        for name in dict.fromkeys(busy)
    ]


def _why(seen: Seen) -> str | None:
    return seen.problem or (f"{seen.failures} requests failed" if seen.failures else None)


def table(frame: pd.DataFrame) -> Table:
    """The summary, a line for each server and model."""
    shown = Table(box=box.SIMPLE, title="medians of the runs")
    for heading in ("server", "model", "asked/s", "served/s", "p50 ms", "p99 ms", "within", "of them"):
        shown.add_column(heading, justify="left" if heading in ("server", "model") else "right")
    for heading in ("failures", "CPU cores", "CPU ms"):
        shown.add_column(heading, justify="right")
    for row in frame.to_dict("records"):
        shown.add_row(
            row["server"],
            row["model"],
            f"{row['rate_rps']:.4g}",
            f"{row['throughput_rps']:.1f}",
            _ms(row["p50_ms"]),
            _ms(row["p99_ms"]),
            row["slo"],
            f"{row['within']:.1%}",
            str(row["failures"]),
            f"{row['server_cpu_cores']:.2f}",
            _ms(row["server_cpu_ms_per_request"]),
        )
    return shown


def goodput_table(plan: Together, frame: pd.DataFrame) -> Table:
    """The highest factors of the rates that keep every bound."""
    shown = Table(box=box.SIMPLE, title="the highest rates at which every bound is kept")
    rates = (f"{model.name}/s" for model in plan.models)
    for heading in ("server", "factor", f"{100 * CONFIDENCE:g} % within", *rates, "looks"):
        shown.add_column(heading, justify="left" if heading == "server" else "right")
    for row in frame.to_dict("records"):
        shown.add_row(
            row["server"],
            f"{row['factor']:.3g}" if row["factor"] else "none",
            _ends(row["least_factor"], row["most_factor"]),
            *(f"{row[f'{model.name}_rps']:.4g}" for model in plan.models),
            str(row["looks"]),
        )
    return shown


def _ends(least: float, most: float | None) -> str:
    return f"{least:.3g} or more" if most is None or pd.isna(most) else f"{least:.3g} - {most:.3g}"


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _ms(value: float | None) -> str:
    return "-" if value is None or pd.isna(value) else f"{value:.4g}"
