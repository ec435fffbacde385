"""Files of latencies -> LatencyTable: our own profiles, and those that others have published.

Which kind a file is, its content says:

- `python -m mps.profile`'s own; sizes are its shares;
- CSV with a heading of model, batch, latency_ms and one of percent, share_percent, sm_percent (`#` begins a
  comment). Of a column `status` those that say dropped are left out, of `quota_percent` all but 100;
- CSV with a heading of model, mig_slices, batch, processes, throughput_rps_per_process (ParvaGPU's);
- the gpu-let prototype's latency file, which has no heading: model, percent, batch, latency in ms.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path

import pandas as pd

from experiments.base.errors import UsageError
from experiments.placement.latencies import LatencyTable, Measured
from experiments.plan.engines import ENGINES
from experiments.profile import read_points
from experiments.profile.points import SCHEMA, UNTOLD, Point

PERCENTILES = ("p50", "p95", "p99", "mean")
SHARES = ("percent", "share_percent", "sm_percent")
ALIKE = {"lenet1": tuple(f"lenet{number}" for number in range(1, 7))}
"""Models that share a profile in the prototype's files."""


def engines_asked(text: str | None) -> dict[str, str]:
    """`torch`, or `bert=onnxruntime,resnet50=torch`: engines by models, "" stands for all that are not named.

    Raises UsageError for an engine that is not known.
    """
    asked = {}
    for word in text.split(",") if text else ():
        model, _, engine = word.strip().rpartition("=")
        if engine not in ENGINES:
            raise UsageError(f"--engine must be one of {', '.join(ENGINES)}, or MODEL= and one, not {word!r}")
        asked[model] = engine
    return asked


def read_latencies(
    path: Path,
    warn: Callable[[str], None] = lambda line: None,
    percentile: str = "p50",
    engines: Mapping[str, str] | None = None,
) -> LatencyTable:
    """The latencies in a file. `percentile` is which one of our own profiles counts; others have one only.
    `engines` are as `engines_asked` tells them; others tell none.

    Raises UsageError where it can't be read or is none of these, or where a model has several engines and
    none is asked for, or not the one that is.
    """
    if percentile not in PERCENTILES:
        raise UsageError(f"a profile has {', '.join(PERCENTILES)}, no {percentile!r}")
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} can't be read ({error}): write one with `python -m mps.profile`") from error
    if text.split("\n", 1)[0].rstrip("\r") == SCHEMA:
        points, served = _of_one_engine(path, read_points(path), engines or {})
        return LatencyTable(_own(path, points, percentile), served)
    if engines:
        raise UsageError(f"{path} doesn't tell the engine of its latencies: leave --engine out")
    table = _frame(path, text)
    if "mig_slices" in table.columns:
        return LatencyTable(_slices(table))
    share = next(name for name in SHARES if name in table.columns)
    left_out = _left_out(table)
    if left_out.any():
        warn(f"{path}: {left_out.sum()} of {len(table)} rows are marked as dropped or time-sliced: left out")
    return LatencyTable(_shares(table[~left_out].rename(columns={share: "percent"})))


def _of_one_engine(
    path: Path, points: Sequence[Point], asked: Mapping[str, str]
) -> tuple[list[Point], dict[str, dict[str, str]]]:
    """The points of each model's one engine, and the handler's settings that the file tells of them."""
    measured: dict[str, dict[str, None]] = {}
    for point in points:
        measured.setdefault(point.model, {})[point.engine] = None
    if unknown := sorted(set(asked) - set(measured) - {""}):
        raise UsageError(f"--engine {unknown[0]}=: {path} has no such model, only {', '.join(measured)}")
    chosen = {}
    for model, there in measured.items():
        engine = asked.get(model, asked.get("")) or next(iter(there))
        if len(there) > 1 and not {model, ""} & set(asked):
            raise UsageError(
                f"{path} has {model} on {' and '.join(there)}: give one of them, as in --engine {engine}"
            )
        if engine not in there:
            raise UsageError(
                f"{path} has {model} on {', '.join(there)}, not on {engine}: give another --engine, or "
                f"measure it with `python -m mps.profile --engine {engine}`"
            )
        chosen[model] = engine
    kept = [point for point in points if point.engine == chosen[point.model]]
    told = {point.model: {"engine": point.engine, "precision": point.precision} for point in kept}
    return kept, {
        model: {key: value for key, value in settings.items() if value != UNTOLD}
        for model, settings in told.items()
    }


def _own(path: Path, points: list[Point], percentile: str) -> Iterator[Measured]:
    devices = sorted({point.device for point in points})
    if len(devices) > 1:
        raise UsageError(f"{path} is of several devices, {' and '.join(devices)}: give a file of one")
    seen: dict[tuple[str, int], int] = {}
    for point in points:
        if point.multiprocessors is not None:
            first = seen.setdefault((point.model, point.multiprocessors), point.share_percent)
            if first != point.share_percent:
                raise UsageError(
                    f"{path}: {first} and {point.share_percent} % of {devices[0]} are the same "
                    f"{point.multiprocessors} multiprocessors: leave one of them out"
                )
        latency_ms = getattr(point, f"latency_ms_{percentile}")
        yield Measured(point.model, point.share_percent, point.batch_size, latency_ms)


def _shares(table: pd.DataFrame) -> Iterator[Measured]:
    for row in table.to_dict("records"):
        for name in ALIKE.get(str(row["model"]), (str(row["model"]),)):
            yield Measured(name, int(row["percent"]), int(row["batch"]), float(row["latency_ms"]))


def _slices(table: pd.DataFrame) -> Iterator[Measured]:
    for row in table.to_dict("records"):
        batch, rate_rps = int(row["batch"]), float(row["throughput_rps_per_process"])
        latency_ms = 1000 * batch / rate_rps if rate_rps else float("inf")
        yield Measured(str(row["model"]), int(row["mig_slices"]), batch, latency_ms, int(row["processes"]))


def _left_out(table: pd.DataFrame) -> "pd.Series[bool]":
    left_out = pd.Series(False, index=table.index)
    if "status" in table.columns:
        left_out |= table.status.astype(str).str.contains("dropped")
    if "quota_percent" in table.columns:
        left_out |= table.quota_percent != 100
    return left_out


def _frame(path: Path, text: str) -> pd.DataFrame:
    """The rows of a file with or without a heading; numbers where numbers are due."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    heading = bool(lines) and "model" in lines[0].split(",")
    names = None if heading else ["model", "percent", "batch", "latency_ms"]
    try:
        table = pd.read_csv(StringIO("\n".join(lines)), names=names, header=0 if heading else None)
        sizes = [name for name in (*SHARES, "mig_slices") if name in table.columns][:1]
        is_parva = "throughput_rps_per_process" in table.columns
        told = ["throughput_rps_per_process", "processes"] if is_parva else ["latency_ms"]
        whole = [*sizes, "batch", *(["processes"] if is_parva else [])]
        missing = [name for name in ("model", "batch", *told) if name not in table.columns]
        if not len(table):
            raise ValueError("it is empty")
        if missing or not sizes:
            raise ValueError(f"it has no column {missing[0] if missing else 'percent'}")
        for name in {*whole, *told}:
            table[name] = pd.to_numeric(table[name])
        if table[["model", *whole, *told]].isna().any().any():
            raise ValueError("values are missing")
        for name in whole:
            if (table[name] % 1 != 0).any():
                raise ValueError(f"{name} is not a whole number everywhere")
            table[name] = table[name].astype(int)
    except (ValueError, pd.errors.ParserError) as error:
        reason = str(error).splitlines()[0] if str(error) else "it is empty"
        raise UsageError(f"{path} is no profile: {reason}; see `python -m mps.place --help`") from error
    return table
