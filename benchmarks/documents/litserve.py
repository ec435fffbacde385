"""The six experiments of the LitServe document, each under LitServe and under TorchServe, in turns.

A setting changes from one to the next: batches, workers, half precision, the batch delay, the batch limit.
Theirs were one wave of 256 requests each without a warm-up; here a load flows, is warmed up, and is repeated.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

import pandas as pd
from rich import box
from rich.table import Table

from benchmarks.documents.archives import with_settings
from benchmarks.documents.ceilings import Ceiling, ceilings, printed
from benchmarks.documents.served import Figures, Keep, Setting, all_checked, closed_loop
from benchmarks.parts.interleaved import Effort, Tell, take_turns
from experiments.verdict.published import LITSERVE

SERVERS = ("torchserve", "litserve")
LARGEST_BATCH = 4096  # theirs: a limit that 256 requests in flight never reach


@dataclass(frozen=True, slots=True)
class Experiment:
    """What the document's servers are set to, in experiment `number`."""

    number: int
    title: str
    precision: str
    workers: int
    batch_size: int
    batch_delay_ms: int


def experiments(workers: int, most_in_flight: int, small_batch: int) -> list[Experiment]:
    """The six, on this machine: `workers` for its four; batches of up to what is in flight for its 4096,
    which no more than that can fill; `small_batch` for its 256, which is no limit to 256 in flight."""
    largest = min(LARGEST_BATCH, most_in_flight)
    return [
        Experiment(1, "baseline", "fp32", 1, 1, 10),
        Experiment(2, "batching", "fp32", 1, largest, 10),
        Experiment(3, "workers", "fp32", workers, largest, 10),
        Experiment(4, "half precision", "bf16", workers, largest, 10),
        Experiment(5, "batch delay", "bf16", workers, largest, 50),
        Experiment(6, "batch size", "bf16", workers, min(small_batch, largest), 50),
    ]


@dataclass(frozen=True, slots=True)
class Asked:
    """How the experiments are carried out."""

    archive: Path
    only: Sequence[Experiment]
    concurrency: Sequence[int]
    effort: Effort
    settling_s: float
    threads: int = 1
    servers: Sequence[str] = SERVERS


def measure(asked: Asked, tell: Tell, keep: Keep) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A row for each experiment, server and concurrency; and one for each ceiling of an experiment.
    `keep` gets both after each experiment.

    Raises UsageError where a server isn't there, BenchmarkError or ParityError where a run is no result.
    """
    rows: list[dict[str, object]] = []
    limits: dict[tuple[str, int], list[Ceiling]] = {}
    with tempfile.TemporaryDirectory(prefix="documents-") as folder:
        for each in asked.only:
            tell(f"experiment {each.number}: {each.title}")
            archive = with_settings(asked.archive, Path(folder), {"precision": each.precision})
            setting = Setting(archive, each.workers, each.batch_size, each.batch_delay_ms)
            with all_checked(asked.servers, setting, asked.threads, asked.settling_s, tell) as (
                one,
                running,
                worst,
            ):
                for connections in asked.concurrency:
                    effort = asked.effort
                    turns = {
                        name: partial(
                            closed_loop, server, one, connections, effort.duration_s, effort.warm_up_s
                        )
                        for name, server in running.items()
                    }
                    found = take_turns(turns, effort.rounds)
                    rows += [_row(each, name, connections, figures, worst) for name, figures in found.items()]
                    tell(_in_words(connections, found))
            if (key := (each.precision, each.workers)) not in limits:
                tell(f"the bare model in {each.precision}, {each.workers} processes")
                limits[key] = ceilings(one, asked.concurrency, each.workers, asked.threads, effort.trial_s)
            keep({"litserve": pd.DataFrame(rows), "litserve_ceilings": _limits(limits)})
    return pd.DataFrame(rows), _limits(limits)


def table(found: pd.DataFrame) -> Table:
    """Requests/s by concurrency: here, and beside it the document's on its T4."""
    theirs = LITSERVE.figures()
    shown = Table(box=box.SIMPLE, title="requests/s: medians here, and the document's on a T4")
    concurrency = sorted(set(found["concurrency"]))
    for heading in ("experiment", "server", *(f"{each} at once" for each in concurrency)):
        shown.add_column(heading, justify="left" if heading in ("experiment", "server") else "right")
    for number, rows in found.groupby("experiment"):
        for server, its in rows.groupby("server", sort=False):
            by_concurrency = dict(zip(its["concurrency"], its["throughput_rps"], strict=True))
            cells = [f"{by_concurrency[each]:.1f}" for each in concurrency]
            shown.add_row(f"{number} {its['title'].iloc[0]}", str(server), *cells)
        served = theirs[(theirs["experiment"] == number) & (theirs["what"] == "served")]
        published = dict(zip(served["concurrency"], served["throughput_rps"], strict=True))
        shown.add_row(
            "", "published", *(f"{published[c]:.1f}" if c in published else "" for c in concurrency)
        )
    return shown


def ceilings_table(limits: pd.DataFrame) -> Table:
    """What could be reached here, and what the document says could be reached on its T4."""
    shown = Table(box=box.SIMPLE, title="ceilings, requests/s")
    for heading in ("of", "batch", "bare model", "roofline", "bound by"):
        shown.add_column(heading, justify="left" if heading == "of" else "right")
    for row in limits.to_dict("records"):
        shown.add_row(
            f"{row['precision']}, {row['workers']} processes",
            str(row["batch_size"]),
            f"{row['bare_rps']:.1f}",
            f"{row['roofline_rps']:.1f}",
            row["bound"],
        )
    for row in printed().to_dict("records"):
        told = f"{row['printed_rps']:,.0f} printed, {row['corrected_rps']:,.0f} corrected"
        shown.add_row(f"published: T4, {row['precision']}", "", "", told, "compute")
    return shown


def _row(
    each: Experiment, server: str, connections: int, turns: Sequence[Figures], worst: float
) -> dict[str, object]:
    return {
        "experiment": each.number,
        **{name: value for name, value in asdict(each).items() if name != "number"},
        "server": server,
        "concurrency": connections,
        "runs": len(turns),
        **{name: median(getattr(turn, name) for turn in turns) for name in Figures.__slots__},
        "throughput_rps_least": min(turn.throughput_rps for turn in turns),
        "throughput_rps_most": max(turn.throughput_rps for turn in turns),
        "worst_difference": worst,
    }


def _limits(limits: Mapping[tuple[str, int], Sequence[Ceiling]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"precision": precision, "workers": workers, **asdict(each)}
            for (precision, workers), found in limits.items()
            for each in found
        ]
    )


def _in_words(connections: int, found: Mapping[str, Sequence[Figures]]) -> str:
    each = ", ".join(
        f"{name} {median(turn.throughput_rps for turn in turns):.1f}/s" for name, turns in found.items()
    )
    return f"{connections} at once: {each}"
