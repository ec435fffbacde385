"""What others published: their figures, with the hardware they were measured on and what to know of them.

The files lie in published_figures/, each with its source in its first lines. `beside` lays our own figures
next to a document's, under names that tell them apart. Nothing here draws.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.plan import LIMITS, servers

FOLDER = Path(__file__).resolve().parent / "published_figures"


@dataclass(frozen=True, slots=True)
class Document:
    """A published benchmark. `axis` is the column that its bars stand along, `plan` what measures the like.

    `kind` is that of its model: text, image or embedding; `unit` is what throughput_rps counts.
    """

    name: str
    title: str
    source: str
    load: str
    kind: str
    axis: str
    caveats: tuple[str, ...]
    unit: str = "requests/s"

    @property
    def plan(self) -> str:
        """The plan that asks our server the same question."""
        return f"plans/{self.name}.yaml"

    def figures(self) -> pd.DataFrame:
        """The published figures, one a row: `hardware`, the settings, `throughput_rps`."""
        return _read(self.name).copy()


TORCHSERVE = Document(
    name="torchserve_mps_doc",
    title="TorchServe's own benchmark of MPS",
    source="docs/nvidia_mps.md of pytorch/serve",
    load="BERT, stock handler, texts padded to 150 tokens; 600 connections, 10,000 requests, median of five",
    kind="text",
    axis="batch_size",
    caveats=(
        "Read off its charts, to 2 requests/s, and published without spread.",
        "Its text says up to 18 % more and 11 % less on the T4; its charts show 13 % and 8 % at most.",
    ),
)
LITSERVE = Document(
    name="litserve_experiments",
    title="A course project's LitServe experiments",
    source="the README of a cat, dog and dog-breed classifier behind LitServe",
    load="an image classifier of 4.45 GMAC, JSON requests; one wave of 256 requests, no warm-up, one run",
    kind="image",
    axis="concurrency",
    caveats=(
        "Its model is not ResNet50, though of about the same work.",
        "What it calls float16 ran in bfloat16.",
    ),
)
VIRTEX = Document(
    name="virtex",
    title="Virtex serving BERT embeddings",
    source="data/bert_perf.html of virtexlabs/virtex-benchmarks, commit 80848d2",
    load="BERT-base, texts of 10 tokens; open loop at 3,500 requests/s from each of 5 to 25 clients",
    kind="embedding",
    axis="client_batch",
    caveats=(
        "Its figures for 2 to 16 GPUs are exact multiples of those for one.",
        "Its clients count errors as successes.",
    ),
    unit="texts/s",
)
DOCUMENTS = (TORCHSERVE, LITSERVE, VIRTEX)


@dataclass(frozen=True, slots=True)
class Bar:
    """One figure at one setting: bars of a `panel` stand together, `at` is the place on the document's axis.

    `source` names the hardware and whose figure it is; `throughput_rps` is in the document's unit.
    """

    panel: str
    at: int
    source: str
    ours: bool
    throughput_rps: float


def beside(document: Document, own: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Bar]:
    """The published bars and ours, where a document and our summaries speak of the same settings.

    `own` maps the name of a run and its hardware to the rows of its summary, in which a `client_batch` (texts
    in a request) tells that throughput_rps_median is to be multiplied by it. Of ours there is the best median
    behind TorchServe at each setting, of theirs all of a panel in which we have a bar too. Empty where
    nothing is comparable.
    """
    theirs = published_bars(document)
    places = {bar.at for bar in theirs}
    panels = {bar.panel for bar in theirs}
    ours = [
        bar
        for source, rows in own.items()
        for bar in _own_bars(document, source, rows)
        if bar.at in places and bar.panel in panels
    ]
    shared = {bar.panel for bar in ours}
    return [bar for bar in (*theirs, *ours) if bar.panel in shared]


def published_bars(document: Document) -> list[Bar]:
    """All of a document's figures of a server."""
    rows = [row for row in document.figures().to_dict("records") if row.get("what", "served") == "served"]
    return [
        Bar(
            panel=_panel(document, row),
            at=int(row[document.axis]),
            source=f"published: {row['hardware']}" + _experiment(row),
            ours=False,
            throughput_rps=float(row["throughput_rps"]),
        )
        for row in rows
    ]


def published_ratios() -> dict[tuple[str, int, int], float]:
    """TorchServe's throughput with MPS over that without, by hardware, workers and batch size."""
    arms: dict[tuple[str, int, int], dict[str, float]] = {}
    for row in TORCHSERVE.figures().to_dict("records"):
        key = str(row["hardware"]), int(row["workers"]), int(row["batch_size"])
        arms.setdefault(key, {})[row["mps"]] = row["throughput_rps"]
    return {key: rps["on"] / rps["off"] for key, rps in arms.items() if len(rps) > 1}


def _own_bars(document: Document, source: str, rows: Sequence[Mapping[str, Any]]) -> list[Bar]:
    best: dict[tuple[str, int], float] = {}
    for row in rows:
        at, rps = row.get(document.axis), row["throughput_rps_median"]
        limited = any(pd.notna(row.get(limit)) for limit in LIMITS)
        another = row.get("server", servers.TORCHSERVE) != servers.TORCHSERVE
        if row["twin"] or at is None or limited or another or not isfinite(rps):
            continue
        key = _panel(document, row), int(at)
        best[key] = max(best.get(key, 0.0), float(rps) * row.get("client_batch", 1))
    return [Bar(panel, at, source, ours=True, throughput_rps=rps) for (panel, at), rps in best.items()]


def _panel(document: Document, row: Mapping[Any, Any]) -> str:
    """What else must be the same for two bars to stand side by side."""
    if document is VIRTEX:
        return _counted(int(row.get("gpus", 1)), "GPU")
    workers = _counted(int(row["workers"]), "worker")
    if document is LITSERVE:
        return workers
    return f"{workers}, MPS {'on' if row['mps'] in (True, 'on') else 'off'}"


def _experiment(row: Mapping[Any, Any]) -> str:
    return f", experiment {row['experiment']}" if "experiment" in row else ""


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' if count > 1 else ''}"


@cache
def _read(name: str) -> pd.DataFrame:
    return pd.read_csv(FOLDER / f"{name}.csv", comment="#")
