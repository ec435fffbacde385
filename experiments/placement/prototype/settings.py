"""sched-config.json (formerly sim-config.json) -> what a placement is to keep to."""

from dataclasses import dataclass
from pathlib import Path

from experiments.base.errors import UsageError
from experiments.placement.prototype.files import number, objects, read_object, whole, word

WHOLE = 100


@dataclass(frozen=True, slots=True)
class Settings:
    """GPUs of one kind, who may take turns, the shares that there are (None: those of the profile), what
    latencies are multiplied by, whether neighbours are felt, and whether its greedy is asked for."""

    kind: str
    gpus: int
    models_per_part: int
    sizes: tuple[int, ...] | None
    latency_ratio: float
    interference: bool
    greedy: bool


def read_settings(path: Path) -> Settings:
    """The settings in a file. `SLO Ratio`, `No Check`, `Residue`, `Force Part`, `Reserved_ratio` are not
    read, as in the prototype, nor is `Incremental`: GPUs are as few as do.

    Raises UsageError where it can't be read or understood.
    """
    content = read_object(path)
    gpus = [
        (word(entry, "Type", path), whole(entry, "Num", path)) for entry in objects(content, "GPUs", path)
    ]
    if len({kind for kind, _ in gpus}) > 1:
        raise UsageError(f"{path}: GPUs of several types, {' and '.join(kind for kind, _ in gpus)}: use one")
    parts = _switch(content.get("Part", 1), "Part", path)
    greedy = _switch(content.get("Self Tuning", 0), "Self Tuning", path)
    return Settings(
        gpus[0][0],
        sum(number for _, number in gpus),
        whole(content, "Max Model", path, 3),
        _sizes(content.get("Avail_Parts"), path) if parts else (WHOLE,),
        number(content, "Latency Ratio", path, 1.0),
        _switch(content.get("Interference", 0), "Interference", path) and not greedy,
        greedy,
    )


def _switch(value: object, key: str, path: Path) -> bool:
    if value not in (0, 1):
        raise UsageError(f"{path}: `{key}` is 0 or 1, not {value!r}")
    return bool(value)


def _sizes(listed: object, path: Path) -> tuple[int, ...] | None:
    if listed is None:
        return None
    sizes = listed if isinstance(listed, list) else []
    if not sizes or not all(type(size) is int and 1 <= size <= WHOLE for size in sizes):
        raise UsageError(f"{path}: `Avail_Parts` lists shares of 1 to 100, unlike {listed!r}")
    return tuple(sorted(set(sizes)))
