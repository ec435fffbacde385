"""The rows of summary.csv: each cell's figures, beside them its ceilings, and what binds it.

A pure function of a results folder's content. The figures come from results/, the rest from ceilings/ and
diagnosis.py.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from experiments.ceilings.record import Ceilings, read_ceilings, with_ceilings
from experiments.plan.plan import Plan
from experiments.results.folder import (
    TrialResult,
    by_cell,
    read_environment,
    read_plan,
    read_trials,
    summarise,
)
from experiments.verdict.diagnosis import Shares, diagnose, explain, shares_of


def summary_in(folder: Path) -> pd.DataFrame:
    """The summary of a results folder. Raises what reading its files raises."""
    cores = read_environment(folder)["cpu"]["cores"]
    return summary_of(read_plan(folder), read_trials(folder), read_ceilings(folder), cores)


def summary_of(
    plan: Plan, results: Sequence[TrialResult], ceilings: Ceilings | None, cores: int
) -> pd.DataFrame:
    """One row a cell of the plan. `cores`: all that the machine let us use.

    Adds to `summarise` the columns of `with_ceilings`, where ceilings were measured; `binds`, what to improve
    first, and `binds_because`, the measured shares behind it, empty where the handler keeps no tally.
    """
    summary = summarise(plan, results)
    runs = by_cell(results)
    shares = [_shares(_typical(runs.get(cell, ())), ceilings, cores) for cell in plan.cells()]
    if ceilings:
        summary = with_ceilings(summary, ceilings)
    summary["binds"] = [str(diagnose(each)) if each else "" for each in shares]
    summary["binds_because"] = [explain(each) if each else "" for each in shares]
    return summary


def _typical(runs: Sequence[TrialResult]) -> TrialResult | None:
    """The valid run with the median throughput; of an even number, the slower of the two in the middle."""
    valid = [result for result in runs if result.valid]
    valid.sort(key=lambda result: result.throughput_rps)
    return valid[(len(valid) - 1) // 2] if valid else None


def _shares(result: TrialResult | None, ceilings: Ceilings | None, cores: int) -> Shares | None:
    if result is None or "mean" not in result.latency_ms:
        return None
    cell = result.trial.cell
    ceiling = ceilings.of(cell) if ceilings else None
    return shares_of(
        result.counted,
        workers=cell.workers,
        batch_size=cell.batch_size,
        client_latency_ms=result.latency_ms["mean"],
        cores=cores,
        telemetry=result.telemetry,
        bare_batch_ms=ceiling.bare_batch_ms if ceiling else None,
        bare_over_roofline=ceilings.bare_over_roofline(ceiling) if ceilings and ceiling else None,
    )
