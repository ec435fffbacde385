"""Measurements of batches side by side, as pairs: public ones (benchmarks/data/gpulet), and our own."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from benchmarks.parts import sharing
from experiments.base.paths import ROOT
from experiments.placement.fitting import Batch, Pair
from experiments.placement.fitting.features import Bytes
from experiments.placement.interference import Use
from experiments.placement.latencies import LatencyTable
from experiments.placement.readers import read_latencies
from experiments.profile import read_beside

CPU = ROOT / "results" / "published" / "cpu-epyc-2-cores-neighbours"

# Millions of parameters and of convolutions' outputs for one input, as published with the models; four bytes
# each, an output is written and read. Of SSD the source doesn't say which one it is.
_MILLIONS = {
    "alexnet": (61.1, 0.8),
    "resnet50": (25.6, 11.1),
    "vgg19": (143.7, 14.9),
    "densenet121": (8.0, 6.9),
    "inception": (27.2, 9.0),
    "mobilenet": (3.5, 6.7),
}
MOVED = {name: Bytes(4e6 * weights, 8e6 * outputs) for name, (weights, outputs) in _MILLIONS.items()}


@dataclass(frozen=True)
class Source:
    """What one campaign measured: runs (both latencies of a run, where both are told), and what is known of
    the models alone. `kinds` are those that this is enough for."""

    name: str
    runs: list[tuple[Pair, ...]]
    kinds: tuple[str, ...]
    table: LatencyTable = field(default_factory=lambda: LatencyTable([]))
    uses_at_size: Mapping[tuple[str, int], Use] = field(default_factory=dict)


def sources() -> list[Source]:
    """The three public ones, and ours."""
    return [_v100(), _a100(), _rtx3080(), _cpu()]


def _v100() -> Source:
    runs: list[tuple[Pair, ...]] = []
    for row in _read("v100_mps_interference.csv").itertuples():
        one = Batch(str(row.model1), int(row.percent1), int(row.batch1))  # type: ignore[arg-type]
        two = Batch(str(row.model2), int(row.percent2), int(row.batch2))  # type: ignore[arg-type]
        ratios = float(row.ratio1), float(row.ratio2)  # type: ignore[arg-type]
        runs.append((Pair(one, (two,), ratios[0]), Pair(two, (one,), ratios[1])))
    kinds = ("none", "linear", "profile", "pairs")
    return Source("V100, TensorRT", runs, kinds, sharing.v100(), _uses(_read("v100_mps_latency.csv")))


def _a100() -> Source:
    """Without the rows of the older campaign: its latencies alone are others, so there is no ratio."""
    rows = _read("a100_mps_interference.csv")
    kinds = ("none", "linear", "profile", "pairs")
    return Source(
        "A100, PyTorch",
        [
            (
                Pair(
                    Batch(str(row.model1), int(row.percent1), int(row.batch1)),  # type: ignore[arg-type]
                    (Batch(str(row.model2), int(row.percent2), int(row.batch2)),),  # type: ignore[arg-type]
                    float(row.ratio),  # type: ignore[arg-type]
                ),
            )
            for row in rows[rows.campaign == "head"].dropna(subset=["ratio"]).itertuples()
        ],
        kinds,
        sharing.a100(),
        _uses(_read("a100_mps_utilisation.csv")),
    )


def _rtx3080() -> Source:
    """Latencies alone are published of one of its models only, and no utilisation."""
    runs: list[tuple[Pair, ...]] = []
    for row in _read("rtx3080_tvm_interference.csv").itertuples():
        own = Batch(str(row.model1), int(row.percent1), int(row.batch1))  # type: ignore[arg-type]
        other = Batch(str(row.model2), int(row.percent2), int(row.batch2))  # type: ignore[arg-type]
        others = (other,) * int(row.copies_of_model2)  # type: ignore[arg-type]
        runs.append((Pair(own, others, float(row.runtime_pct_of_solo) / 100),))  # type: ignore[arg-type]
    return Source("RTX 3080, TVM", runs, ("none", "pairs"))


def _cpu() -> Source:
    """Three models of `make mar`, each on a core of its own. What they move is not in their file."""
    measured = read_beside(CPU / "pairs.csv")
    runs: dict[frozenset[Batch], list[Pair]] = {}
    for one in measured:
        runs.setdefault(frozenset((one.pair.own, *one.pair.others)), []).append(one.pair)
    kinds = ("none", "profile", "pairs")
    return Source("CPU, 2 cores", [*map(tuple, runs.values())], kinds, read_latencies(CPU / "profile.csv"))


def _read(name: str) -> pd.DataFrame:
    return pd.read_csv(sharing.DATA / name, comment="#")


def _uses(rows: pd.DataFrame) -> dict[tuple[str, int], Use]:
    known = rows.dropna(subset=["l2_util_pct", "dram_util_pct"]).sort_values("batch")
    return {
        (str(model), int(str(size))): Use(
            tuple(int(batch) for batch in one.batch),
            tuple(float(value) / 100 for value in one.l2_util_pct),
            tuple(float(value) / 100 for value in one.dram_util_pct),
        )
        for (model, size), one in known.groupby(["model", "percent"])
    }
