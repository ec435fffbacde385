"""The Triton document's table: runtimes, each under TorchServe and under Triton, with texts of 512 tokens.

Latency of one request at a time, requests/s with several at once, and how far the answers are from torch's:
of probabilities, and of logits without what softmax takes out of them (each text's own mean).
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from benchmarks.documents.archives import with_settings
from benchmarks.documents.served import Figures, Keep, Setting, all_checked, closed_loop
from benchmarks.parts.interleaved import Effort, Tell, take_turns
from experiments.servers.dialects import Prediction
from experiments.verdict.published import FOLDER
from handlers.archive.archives import build
from handlers.archive.engines.asked import Engines
from handlers.engine.names import PACKAGES, TENSORRT, TORCH, why_not_installed

SERVERS = ("torchserve", "triton")
RUNTIMES = (TORCH, "onnxruntime", TENSORRT)
BATCH_SIZE = 1  # theirs
DELAY_MS = 1
TINY = 1e-30  # of a probability that fp32 has rounded to 0


@dataclass(frozen=True, slots=True)
class Asked:
    """How the table is measured. `archive`: of texts, with what its runtimes need."""

    archive: Path
    runtimes: Sequence[str]
    effort: Effort
    settling_s: float
    tokens: int = 512
    at_once: int = 4
    workers: int = 1
    threads: int = 1
    servers: Sequence[str] = SERVERS


def bert_base(folder: Path, runtimes: Sequence[str]) -> Path:
    """`<folder>/bert_base.mar` with random weights and the files of these runtimes, kept once it is built.
    Rounding may go beyond what a trained model's archive is held to: random weights are scaled up."""
    engines = tuple(sorted(name for name in runtimes if name in PACKAGES))
    return build(
        "text", None, folder, name="bert_base", trial=False, engines=Engines(engines, accept_parity=True)
    )


def possible(runtimes: Sequence[str], tell: Tell) -> list[str]:
    """Those that run here; a line about each of the others."""
    refused = {name: why for name in runtimes if (why := why_not_installed(name))}
    for name, why in refused.items():
        tell(f"without {name}: {why}")
    return [name for name in runtimes if name not in refused]


def measure(asked: Asked, tell: Tell, keep: Keep) -> pd.DataFrame:
    """A row for each runtime and server; `keep` gets them after each runtime.

    Raises what starting, checking and loading raise.
    """
    rows: list[dict[str, object]] = []
    torchs: Sequence[Prediction] = ()
    with tempfile.TemporaryDirectory(prefix="documents-") as folder:
        for runtime in (TORCH, *(name for name in asked.runtimes if name != TORCH)):
            archive = with_settings(asked.archive, Path(folder), {"engine": runtime})
            setting = Setting(archive, asked.workers, BATCH_SIZE, DELAY_MS, asked.tokens)
            if runtime not in asked.runtimes:
                torchs = setting.asked(asked.threads).right
                continue
            tell(f"{runtime}: starting {', '.join(asked.servers)}")
            with all_checked(asked.servers, setting, asked.threads, asked.settling_s, tell) as (
                one,
                running,
                _,
            ):
                torchs = torchs or one.right
                found = {}
                for at_once in (1, asked.at_once):
                    turns = {
                        name: partial(
                            closed_loop, server, one, at_once, asked.effort.duration_s, asked.effort.warm_up_s
                        )
                        for name, server in running.items()
                    }
                    found[at_once] = take_turns(turns, asked.effort.rounds)
            off = differences(torchs, one.right)
            for name in running:
                rows.append(_row(runtime, name, asked, found[1][name], found[asked.at_once][name]) | off)
                tell(f"{runtime} under {name}: {rows[-1]['alone_p50_ms']:.1f} ms alone")
            keep({"triton": pd.DataFrame(rows)})
    return pd.DataFrame(rows)


def differences(right: Sequence[Prediction], found: Sequence[Prediction]) -> dict[str, float]:
    """The largest and the mean difference of probabilities and of logits, over all labels of all texts."""
    of_probabilities = np.abs(_probabilities(right) - _probabilities(found))
    of_logits = np.abs(logits(right) - logits(found))
    return {
        "probability_worst": float(of_probabilities.max()),
        "probability_mean": float(of_probabilities.mean()),
        "logit_worst": float(of_logits.max()),
        "logit_mean": float(of_logits.mean()),
    }


def logits(predictions: Sequence[Prediction]) -> NDArray[np.float64]:
    """n texts x labels, by name: log p - mean(log p), which is the logits less their mean."""
    logs = np.log(np.maximum(_probabilities(predictions), TINY))
    centred: NDArray[np.float64] = logs - logs.mean(axis=1, keepdims=True)
    return centred


def table(found: pd.DataFrame) -> Table:
    """The measured rows, and below them what the document says of its own."""
    shown = Table(box=box.SIMPLE, title="one text of so many tokens at a time, and several at once")
    for heading in ("runtime", "server", "alone ms", "requests/s", "logits off by", "mean", "probability"):
        shown.add_column(heading, justify="left" if heading in ("runtime", "server") else "right")
    for row in found.to_dict("records"):
        shown.add_row(
            row["runtime"],
            row["server"],
            f"{row['alone_p50_ms']:.1f}",
            f"{row['throughput_rps']:.2f}",
            f"{row['logit_worst']:.2g}",
            f"{row['logit_mean']:.2g}",
            f"{row['probability_worst']:.2g}",
        )
    for row in published().to_dict("records"):
        latency, rps = row["latency_over_inferentia"], row["throughput_rps"]
        shown.add_row(
            f"published: {row['where']}{'' if pd.isna(row['runtime']) else ', ' + row['runtime']}",
            row["server"],
            f"{latency:g} x Inferentia's",
            "" if pd.isna(rps) else f"{rps:g}",
        )
    return shown


def published() -> pd.DataFrame:
    """What the document says, with requests per dollar at full load: 3600 rps / dollars an hour."""
    frame = pd.read_csv(FOLDER / "triton_move.csv", comment="#")
    return frame.assign(requests_per_dollar=3600 * frame["throughput_rps"] / frame["dollars_per_hour"])


def _row(
    runtime: str, server: str, asked: Asked, alone: Sequence[Figures], busy: Sequence[Figures]
) -> dict[str, object]:
    return {
        "runtime": runtime,
        "server": server,
        "tokens": asked.tokens,
        "workers": asked.workers,
        "runs": len(alone),
        "alone_p50_ms": median(each.p50_ms for each in alone),
        "alone_p99_ms": median(each.p99_ms for each in alone),
        "at_once": asked.at_once,
        "throughput_rps": median(each.throughput_rps for each in busy),
        "cpu_cores": median(each.cpu_cores for each in busy),
    }


def _probabilities(predictions: Sequence[Prediction]) -> NDArray[np.float64]:
    """n x labels, in the order of their names."""
    told = [{each["label"]: each["probability"] for each in one} for one in predictions]
    return np.array([[one[label] for label in sorted(told[0])] for one in told], dtype=np.float64)
