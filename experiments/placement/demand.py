"""What is asked for: models, the rate of requests to each, and the latency that each may take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.base.errors import UsageError
from experiments.base.yaml_files import parsed_yaml, read_text


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests to one model: `rate_rps` a second on average, each answered in `slo_ms`.

    `name` is its own within a demand, `model` the name of its profile, `archive` what serves it: bert,
    resnet50, embeddings or the path of a .mar, by default what the model is called. Raises UsageError for a
    rate or a bound that isn't above 0.
    """

    name: str
    model: str
    rate_rps: float
    slo_ms: float
    archive: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.rate_rps < float("inf"):
            raise UsageError(
                f"{self.name}: a rate is above 0 requests/s, not {self.rate_rps:g}: leave it out at 0"
            )
        if not 0 < self.slo_ms < float("inf"):
            raise UsageError(f"{self.name}: a bound is above 0 ms, not {self.slo_ms:g}")


def read_demand(path: Path) -> tuple[Workload, ...]:
    """The workloads of a file: YAML, or the task file of the gpu-let prototype.

    YAML: `models:`, a list of `model`, `rate_rps`, `slo_ms` and, where a model is asked twice, `name`; a
    model is a name, or the path of a .mar that is profiled under its own. Task file: a count, then lines
    `id,rate,slo_ms,`. Raises UsageError where it can't be read or understood.
    """
    text = read_text(path, "a demand")
    if text.split("\n", 1)[0].strip().isdecimal():
        return distinct(_task_lines(path, text))
    content = parsed_yaml(text, path)
    listed = content.get("models") if isinstance(content, Mapping) else None
    if not isinstance(listed, list) or not listed:
        raise UsageError(f"{path} names no models: it needs `models:` and a list of model, rate_rps, slo_ms")
    return distinct([_workload(path, number, entry) for number, entry in enumerate(listed, 1)])


def distinct(workloads: Sequence[Workload]) -> tuple[Workload, ...]:
    """The same, if no two have one name. Raises UsageError otherwise."""
    names = [workload.name for workload in workloads]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"{twice[0]} is asked for twice: give one of them another `name`")
    return tuple(workloads)


def _workload(path: Path, number: int, entry: object) -> Workload:
    where = f"{path}, model {number}"
    if not isinstance(entry, Mapping):
        raise UsageError(f"{where}: needs model, rate_rps and slo_ms, not {entry!r}")
    known = {"name", "model", "rate_rps", "slo_ms"}
    if unknown := sorted(str(key) for key in entry if key not in known):
        raise UsageError(f"{where}: `{unknown[0]}` is not known: use {', '.join(sorted(known))}")
    if missing := sorted(known - {"name"} - set(entry)):
        raise UsageError(f"{where}: `{missing[0]}` is missing")
    for key in ("rate_rps", "slo_ms"):
        if isinstance(entry[key], bool) or not isinstance(entry[key], int | float):
            raise UsageError(f"{where}: `{key}` is a number, not {entry[key]!r}")
    archive = str(entry["model"])
    model = Path(archive).stem if archive.endswith(".mar") else archive
    name = str(entry.get("name", model))
    return Workload(name, model, float(entry["rate_rps"]), float(entry["slo_ms"]), archive)


# The prototype's ids, from its table of models (reference in benchmarks/data/gpulet/glet_models.csv).
_PROTOTYPE_MODELS = (
    *(f"lenet{number}" for number in range(1, 7)),
    "googlenet",
    "resnet50",
    "ssd-mobilenetv1",
    "vgg16",
    "mnasnet1_0",
    "mobilenet_v2",
    "densenet161",
    "bert",
)


def _task_lines(path: Path, text: str) -> list[Workload]:
    count, *lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) != int(count):
        raise UsageError(f"{path}: its first line counts {count} models, {len(lines)} follow")
    found = []
    for number, line in enumerate(lines, 2):
        try:
            model_id, rate, slo = (int(word) for word in line.rstrip(",").split(","))
            model = _PROTOTYPE_MODELS[model_id] if model_id >= 0 else ""
        except (ValueError, IndexError) as error:
            raise UsageError(f"{path}, line {number}: needs `id,rate,slo_ms,`, not {line!r}") from error
        if not model:
            raise UsageError(f"{path}, line {number}: there is no model {model_id}")
        found.append(Workload(model, model, rate, slo))
    return found
