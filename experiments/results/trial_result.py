"""What one trial gave, and its line in trials.jsonl."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from experiments.base.errors import ExperimentError
from experiments.plan import Trial
from experiments.results.counted import Counted
from experiments.results.load_from import LoadFrom
from experiments.results.telemetry import Telemetry, with_tuples
from experiments.results.typed import record_from

SCHEMA_VERSION = 3  # 3: loads as axes, open loops, goodput, flags, what the warm-up took
READABLE = (2, 3)  # what was not there yet has its default
PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What one trial gave. Valid when `problems` is empty; figures of an invalid trial are not a result.

    `latency_ms` maps "p50", "p95", "p99" and "mean" to milliseconds; it is empty when nothing was answered.
    `answers` came inside the measured window; `statuses` counts every answer, those of warm-up and drain
    included. `torch_threads` is each worker's share of the cores; `mps_clients` are those of `worker_pids`
    that were clients of an MPS daemon: all of them in the arm with MPS, none in the other.
    `counted` is what TorchServe and handlers count, from before the warm-up until after the last answer.
    `gpu_memory_before_bytes` was in use on the GPU before the server started. `telemetry` is None where
    nothing could be measured. `flags` say what should make one careful with a run that is valid;
    `disturbances` are those among them that came from outside, such as another program on the CPU.
    `may_have_passed`: every problem has a cause that may be gone, such as a worker that was killed.
    `discarded_s` and `discarded_answers` are what the warm-up took. `open_loop` tells how the generator kept
    its schedule (load/result.py), `goodput` what the search for the highest rate found (load/goodput/).
    `answers_checked` of the answers, the warm-up's included, were held against those that are right, and
    `answers_wrong` are not; `answers_worst_difference` is the largest of any number (answers/compare.py), and
    `top1_agreement` the share whose first label is the right one. None where nothing was checked.
    `device` is the UUID of the GPU or "cpu"; None in files of before it was noted.
    `multiprocessors` are those that each of `worker_pids` sees of the GPU, under MPS its share of them; None
    on a CPU and where the handler does not tell.
    `alone_latency_ms` is the median of requests that were sent one at a time, `idle_cpu_cores` the CPU time
    that the server spent without any, in seconds a second: both when the model was loaded, where servers or
    engines are compared. `card` names
    the card of a cluster; None on a single machine. `load_from` is where the load came from, None where that
    was the server's own machine.
    """

    trial: Trial
    started_at: str
    throughput_rps: float
    latency_ms: Mapping[str, float]
    answers: int
    window_s: float
    statuses: Mapping[str, int]
    lost_connections: int
    client_cpu_us_per_request: float | None
    torch_threads: int
    worker_pids: Sequence[int]
    mps_clients: Sequence[int]
    counted: Counted | None
    gpu_memory_before_bytes: int | None
    telemetry: Telemetry | None
    problems: Sequence[str] = ()
    flags: Sequence[str] = ()
    discarded_s: float | None = None
    discarded_answers: int | None = None
    open_loop: Mapping[str, Any] | None = None
    goodput: Mapping[str, Any] | None = None
    answers_checked: int | None = None
    answers_wrong: int | None = None
    answers_worst_difference: float | None = None
    top1_agreement: float | None = None
    device: str | None = None
    disturbances: Sequence[str] = ()
    may_have_passed: bool = False
    multiprocessors: Sequence[int] | None = None
    alone_latency_ms: float | None = None
    idle_cpu_cores: float | None = None
    card: str | None = None
    load_from: LoadFrom | None = None

    @property
    def disturbed(self) -> bool:
        """Whether something else on the machine had a part in its figures."""
        return bool(self.disturbances)

    @property
    def valid(self) -> bool:
        """Whether its figures may be used."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """The line of trials.jsonl: the trial's cell and load flattened into it."""
        trial = self.trial
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "trial"}
        return {
            "schema_version": SCHEMA_VERSION,
            **dataclasses.asdict(trial.cell),
            **dataclasses.asdict(trial.load),
            "run": trial.run,
            "position": trial.position,
            "seed": trial.seed,
            "attempt": trial.attempt,
            **own,
            "counted": self.counted and dataclasses.asdict(self.counted),
            "telemetry": self.telemetry and dataclasses.asdict(self.telemetry),
            "load_from": self.load_from and dataclasses.asdict(self.load_from),
            "valid": self.valid,
        }


def trial_result_from(line: Mapping[str, Any]) -> TrialResult:
    """The inverse of TrialResult.to_json. Raises ExperimentError for another schema version, ValueError where
    a field is missing or not of its type."""
    if line.get("schema_version") not in READABLE:
        raise ExperimentError(
            f"trials.jsonl has schema version {repr(line.get('schema_version'))[:20]}, this program reads "
            f"{' and '.join(map(str, READABLE))}: use the version of torchserve-mps that wrote it"
        )
    result = record_from(TrialResult, {**line, "trial": {**line, "cell": line, "load": line}})
    _check_sense(result)
    return replace(
        result,
        telemetry=result.telemetry and with_tuples(result.telemetry),
        disturbances=tuple(result.disturbances),
    )


def _check_sense(result: TrialResult) -> None:
    """Raises ValueError where the values, each of its type, don't go together."""
    if result.throughput_rps < 0 or any(value < 0 for value in result.latency_ms.values()):
        raise ValueError("a throughput or a latency is below 0")
    if result.latency_ms and not {f"p{percentile}" for percentile in PERCENTILES} <= set(result.latency_ms):
        raise ValueError("latency_ms lacks a percentile")
    if result.valid and not result.throughput_rps:
        raise ValueError("it counts as valid, with a throughput of 0")
    counted = result.counted
    tally = counted and (counted.batch_rows, counted.handle_ms, counted.forward_ms, counted.handling)
    if tally and None in tally and tally[0] is not None:
        raise ValueError("counted has batch_rows but lacks what goes with them")
