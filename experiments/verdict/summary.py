"""The rows of summary.csv: each cell's figures, beside them its ceilings, and what binds it.

A pure function of what a results folder holds.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from experiments.plan import Cell, Plan
from experiments.plan.servers import TORCHSERVE
from experiments.results.ceilings import Ceilings
from experiments.results.counting import by_cell, counting
from experiments.results.load_from import LoadFrom
from experiments.results.telemetry import FRONTEND, LOAD_GENERATOR, PROCESS_GROUPS, WORKERS, Telemetry
from experiments.results.trial_result import PERCENTILES, TrialResult
from experiments.verdict.diagnosis import Shares, diagnose, explain, shares_of

SERVER = (FRONTEND, WORKERS)  # the groups of its processes
MOST_OF_BARE = 1.1  # served over the bare model; beyond it, and the next, the ceiling was not one
MOST_OF_ROOFLINE = 1.05  # the bare model over the roofline


def summarise(
    plan: Plan, results: Sequence[TrialResult], ceilings: Ceilings | None = None, cores: float = 1
) -> pd.DataFrame:
    """One row a cell of the plan: the median, minimum and maximum over its valid runs.

    Where enough of a cell's runs are undisturbed, these alone count (results/counting.py); `disturbed_runs`
    are the valid ones that were disturbed, whether they count or not. Latency columns hold the median over
    the runs of each run's percentile. `errors` counts answers that were not 2xx and lost connections, over
    all runs; `answers_checked` were held against the right ones, with the largest difference of any run, and
    the share whose first label is the right one. A cell without a valid run has NaN figures.
    Telemetry columns are medians over the runs too, NaN where nobody could tell; `throttle_reasons` are those
    of any run. `gpu_memory_bytes_per_worker` is what the server added to the GPU's memory in use, divided by
    its workers: with MPS their share of the common context is in it. `multiprocessors` are those that a
    worker sees, the fewest where they differ.
    `network_ms` is what a TCP handshake took, where loads came from another node.
    `server_cpu_ms_per_request` is the CPU time of all of the server's processes, and `server_rss_bytes` what
    they have resident, at most; `alone_latency_ms` of a request alone, and `idle_cpu_cores` without any.
    `mps_over_off` is the ratio of a cell's median with MPS to that of the same cell without it,
    `gpu_memory_saved_bytes` what MPS saves of the whole GPU's memory in use. The row whose `twin` is True is
    the first cell once more: what differs between the two is noise.

    Where there are ceilings, adds `bare_rps`, `empty_rps` (of TorchServe's cells), `roofline_rps` and
    `datasheet_rps` (requests/s), `served_over_bare` (the served median over the bare model with as many
    processes, threads and requests in a batch) and `bare_over_roofline` (by measured peaks). NaN where they
    are more than can be: then what they are compared with was disturbed while it was measured.
    `binds` is what to improve first, and `binds_because` the measured shares behind it, empty where the
    handler keeps no tally; `cores` are all that the machine let us use.
    """
    runs = by_cell(results)
    cells = plan.cells()
    summary = pd.DataFrame([_figures(plan, cell, runs.get(cell, ())) for cell in cells])
    throughput_rps, memory_bytes = summary["throughput_rps_median"], summary["gpu_memory_bytes_total"]
    summary["mps_over_off"] = throughput_rps / _same_without_mps(cells, throughput_rps)
    summary["gpu_memory_saved_bytes"] = _same_without_mps(cells, memory_bytes) - memory_bytes
    if ceilings:
        summary = summary.join(_of_ceilings(cells, ceilings))
        over_bare = summary["throughput_rps_median"] / summary["bare_rps"]
        summary["served_over_bare"] = over_bare.where(over_bare <= MOST_OF_BARE)
        over_roofline = summary["bare_over_roofline"]
        summary["bare_over_roofline"] = over_roofline.where(over_roofline <= MOST_OF_ROOFLINE)
    shares = [_shares(_typical(runs.get(cell, ())), ceilings, cores) for cell in cells]
    summary["binds"] = [str(diagnose(each)) if each else "" for each in shares]
    summary["binds_because"] = [explain(each) if each else "" for each in shares]
    return summary


def _figures(plan: Plan, cell: Cell, of_cell: Sequence[TrialResult]) -> dict[str, Any]:
    valid = counting(of_cell)
    throughputs = np.array([result.throughput_rps for result in valid] or [np.nan])
    row = dataclasses.asdict(cell)
    row |= {
        "concurrency": plan.load_of(cell).connections,
        "runs": len(valid),
        "invalid_runs": sum(not result.valid for result in of_cell),
        "disturbed_runs": sum(result.valid and result.disturbed for result in of_cell),
        "throughput_rps_median": float(np.median(throughputs)),
        "throughput_rps_min": float(np.min(throughputs)),
        "throughput_rps_max": float(np.max(throughputs)),
    }
    for percentile in PERCENTILES:
        values = [result.latency_ms[f"p{percentile}"] for result in valid] or [np.nan]
        row[f"latency_ms_p{percentile}"] = float(np.median(values))
    row["errors"] = sum(_errors(result) for result in of_cell)
    row["flags"] = "; ".join(sorted({flag for result in valid for flag in result.flags}))
    row |= _answer_columns(of_cell)
    row |= _telemetry_columns([result.telemetry for result in valid if result.telemetry])
    row |= _server_columns(valid)
    row |= _load_columns([result.load_from for result in valid if result.load_from])
    row["multiprocessors"] = _median([min(result.multiprocessors or [], default=None) for result in valid])
    row["gpu_memory_bytes_per_worker"] = _median([_gpu_memory_per_worker(result) for result in valid])
    return row


def _answer_columns(of_cell: Sequence[TrialResult]) -> dict[str, Any]:
    """Of all runs, the invalid ones too: those are where answers are wrong."""
    checked = [result for result in of_cell if result.answers_checked]
    agreed = [(result.answers_checked or 0, result.top1_agreement) for result in checked]
    topped = [(count, share) for count, share in agreed if share is not None]
    worst = [result.answers_worst_difference for result in checked]
    return {
        "answers_checked": sum(count for count, _ in agreed),
        "answers_worst_difference": max((value for value in worst if value is not None), default=np.nan),
        "top1_agreement": (
            sum(count * share for count, share in topped) / sum(count for count, _ in topped)
            if topped
            else np.nan
        ),
    }


def _server_columns(valid: Sequence[TrialResult]) -> dict[str, Any]:
    """Medians over the runs, NaN where nobody could tell."""
    return {
        "server_cpu_ms_per_request": _median([_cpu_ms_per_request(result) for result in valid]),
        "server_rss_bytes": _median([_rss_bytes(result) for result in valid]),
        "alone_latency_ms": _median([result.alone_latency_ms for result in valid]),
        "idle_cpu_cores": _median([result.idle_cpu_cores for result in valid]),
    }


def _load_columns(of_runs: Sequence[LoadFrom]) -> dict[str, Any]:
    """Of loads that came from another node; none else."""
    if not of_runs:
        return {}
    return {
        f"{LOAD_GENERATOR}_cpu_cores": _median([run.cpu_cores_used for run in of_runs]),
        "network_ms": _median([run.network_ms for run in of_runs]),
    }


def _cpu_ms_per_request(result: TrialResult) -> float | None:
    used = [(result.telemetry or Telemetry()).cpu_cores_used.get(group) for group in SERVER]
    known = [cores for cores in used if cores is not None]
    if len(known) < len(used) or not result.answers:
        return None
    return 1e3 * sum(known) * result.window_s / result.answers


def _rss_bytes(result: TrialResult) -> int | None:
    resident = [(result.telemetry or Telemetry()).rss_bytes.get(group) for group in SERVER]
    known = [value for value in resident if value is not None]
    return sum(known) if len(known) == len(resident) else None


def _telemetry_columns(of_runs: Sequence[Telemetry]) -> dict[str, Any]:
    columns: dict[str, Any] = {
        name: _median([getattr(run, name) for run in of_runs])
        for name in (
            "gpu_memory_bytes_total",
            "gpu_utilisation_percent",
            "sm_clock_mhz_mean",
            "power_w",
            "energy_j_per_1000_requests",
            "temperature_c",
        )
    }
    for group in PROCESS_GROUPS:
        columns[f"{group}_cpu_cores"] = _median([run.cpu_cores_used.get(group) for run in of_runs])
    reasons = {reason for run in of_runs for reason in run.throttle_reasons or ()}
    columns["throttle_reasons"] = "; ".join(sorted(reasons))
    return columns


def _gpu_memory_per_worker(result: TrialResult) -> float | None:
    """The driver's own figures by process are no help here: containers hide them, and with MPS the memory of
    the common context is nobody's."""
    before_bytes = result.gpu_memory_before_bytes
    in_use_bytes = result.telemetry.gpu_memory_bytes_total if result.telemetry else None
    if in_use_bytes is None or before_bytes is None:
        return None
    return (in_use_bytes - before_bytes) / result.trial.cell.workers


def _median(values: Sequence[Any]) -> float:
    """Of what is known; NaN where nothing is."""
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else float("nan")


def _same_without_mps(cells: Sequence[Cell], values: pd.Series) -> pd.Series:
    """For each row with MPS the value of the same cell without it; NaN elsewhere, and where there is none."""
    of_cell = dict(zip(cells, values, strict=True))
    off = [of_cell.get(cell.without_mps, np.nan) if cell.mps else np.nan for cell in cells]
    return pd.Series(off, index=values.index, dtype=float)


def _errors(result: TrialResult) -> int:
    bad = sum(count for status, count in result.statuses.items() if not status.startswith("2"))
    return bad + result.lost_connections


def _of_ceilings(cells: Sequence[Cell], ceilings: Ceilings) -> pd.DataFrame:
    """The columns that come from the ceilings; NaN where unknown, as with several inputs a request."""
    found = [ceilings.of(cell) for cell in cells]
    columns = {
        "bare_rps": [row and row.bare_rps for row in found],
        "empty_rps": [
            row and row.empty_rps if cell.server == TORCHSERVE else None
            for cell, row in zip(cells, found, strict=True)
        ],
        "roofline_rps": [row and ceilings.roofline_rps(row) for row in found],
        "datasheet_rps": [row and ceilings.datasheet_rps(row) for row in found],
        "bare_over_roofline": [row and ceilings.bare_over_roofline(row) for row in found],
    }
    return pd.DataFrame({name: pd.Series(values, dtype=float) for name, values in columns.items()})


def _typical(runs: Sequence[TrialResult]) -> TrialResult | None:
    """The run with the median throughput of those that count; of an even number, the slower of the two in the
    middle."""
    valid = sorted(counting(runs), key=lambda result: result.throughput_rps)
    return valid[(len(valid) - 1) // 2] if valid else None


def _shares(result: TrialResult | None, ceilings: Ceilings | None, cores: float) -> Shares | None:
    if result is None or "mean" not in result.latency_ms:
        return None
    cell = result.trial.cell
    ceiling = ceilings.of(cell) if ceilings else None
    network_ms = (
        result.load_from.network_ms if result.load_from else None
    ) or 0.0  # is no part of the server
    return shares_of(
        result.counted,
        workers=cell.workers,
        batch_size=cell.batch_size,
        client_latency_ms=result.latency_ms["mean"] - network_ms,
        cores=cores,
        telemetry=result.telemetry,
        bare_batch_ms=ceiling.bare_batch_ms if ceiling else None,
        bare_over_roofline=ceilings.bare_over_roofline(ceiling) if ceilings and ceiling else None,
    )
