"""device-config.json -> what is known of a GPU: latencies, interference, memory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from experiments.base.errors import UsageError
from experiments.placement.interference import Linear, Use
from experiments.placement.latencies import LatencyTable
from experiments.placement.problem import Memory
from experiments.placement.prototype.files import (
    count,
    figure,
    number,
    objects,
    read_object,
    rows,
    whole,
    word,
)
from experiments.placement.readers import read_latencies

MEMORY = "mem-config.json"
"""Lies beside the devices' file."""
MEMORY_USED, PROCESS_BYTES = 0.9, 1230 * 10**6
"""What the prototype takes of a GPU's memory at most, and what it counts for a process."""
LENETS = tuple(f"lenet{number}" for number in range(1, 7))
"""Its file of utilisation has one `lenet` for all six."""


@dataclass(frozen=True, slots=True)
class Device:
    """A kind of GPU. `memory`: None where mem-config.json is missing, and memory isn't looked at."""

    kind: str
    table: LatencyTable
    interference: Linear
    memory: Memory | None


def read_device(path: Path, kind: str | None = None, warn: Callable[[str], None] = lambda _: None) -> Device:
    """The device of this kind in a device-config.json, by default the first. Files that it names lie below
    its folder.

    Raises UsageError where one of them can't be read or understood, or there is no such device.
    """
    devices = objects(read_object(path), "device_specs", path)
    kinds = [word(device, "type", path) for device in devices]
    if kind is not None and kind not in kinds:
        raise UsageError(f"{path} has no device {kind}, only {', '.join(kinds)}")
    device = devices[kinds.index(kind) if kind is not None else 0]
    folder = path.parent
    return Device(
        word(device, "type", path),
        read_latencies(folder / word(device, "latency_prof_file", path), warn),
        _interference(
            folder / word(device, "interference_const_file", path),
            folder / word(device, "interference_util_file", path),
        ),
        _memory(folder / MEMORY, whole(device, "mem_mb", path)),
    )


def _interference(constants: Path, utilisation: Path) -> Linear:
    lines = rows(constants, 5)
    if len(lines) != 2:
        raise UsageError(f"{constants}: needs a heading and one line of five numbers, has {len(lines)} lines")
    line, values = lines[1]
    l2_own, l2_other, dram_own, dram_other, constant = (
        figure(value, f"{constants}, line {line}") for value in values[:5]
    )
    return Linear(l2_own, l2_other, dram_own, dram_other, constant, _uses(utilisation))


def _uses(path: Path) -> dict[str, Use]:
    """L2 and memory utilisation (percent in the file) by model and batch; the heading is the first line."""
    found: dict[str, dict[int, tuple[float, float]]] = {}
    for line, (model, batch, _, _, l2, memory, *_) in rows(path, 6)[1:]:
        where = f"{path}, line {line}"
        at = count(batch, where)
        if at < 1 or at in found.setdefault(model, {}):
            raise UsageError(f"{where}: a batch of {at} of {model} is there twice, or is none")
        used = figure(l2, where) / 100, figure(memory, where) / 100
        if not all(0 <= fraction <= 1 for fraction in used):
            raise UsageError(f"{where}: utilisation is 0 to 100 %, unlike {l2} or {memory}")
        found[model][at] = used
    return {
        name: _use(by) for model, by in found.items() for name in (LENETS if model == "lenet" else (model,))
    }


def _use(by_batch: Mapping[int, tuple[float, float]]) -> Use:
    batches = tuple(sorted(by_batch))
    return Use(batches, tuple(by_batch[at][0] for at in batches), tuple(by_batch[at][1] for at in batches))


def _memory(path: Path, gpu_mb: int) -> Memory | None:
    if not path.exists():
        return None
    models = {
        word(model, "name", path): int(1e6 * number(model, "mem", path))
        for model in objects(read_object(path), "models", path)
    }
    return Memory(int(MEMORY_USED * gpu_mb * 1e6), PROCESS_BYTES, models)
