"""What is measured on, chosen and said in a line: a GPU, or the CPU with the reason why it is no GPU."""

import os
from dataclasses import replace

from experiments.base.cores import core_limit
from experiments.base.errors import UsageError
from experiments.base.numbers import plain
from experiments.base.torch_build import torch_build
from experiments.checks.torch_build import torch_misfit
from experiments.watch.environment import cpu_model
from mps.card import Gpu, GpuError, NoGpuError, gpu

CPU, GPU = "cpu", "gpu"
FROM_AMPERE = (8, 0)


def choose(device: str | None = None, which: str | None = None) -> tuple[Gpu | None, str]:
    """The card to measure on, None for the CPU, and the line that says so.

    `device` is "cpu", "gpu" or None: the GPU where there is one. `which` is a card's index or UUID. Raises
    UsageError or GpuError where what is asked for can't be had, or where torch can't use the card.
    """
    if device not in (None, CPU, GPU):
        raise UsageError(f"--device is {CPU} or {GPU}, not {device!r}")
    if device == CPU:
        if which is not None:
            raise UsageError(f"--device {CPU} and --gpu {which}: give one of them")
        return None, measured_on(None, "as --device cpu asks")
    try:
        card = gpu(which)
    except (NoGpuError, GpuError) as error:
        if device == GPU or which is not None or _names_an_instance():
            raise
        return None, measured_on(None, f"no GPU: {_cause(error)}")
    if reason := torch_misfit(card):
        raise UsageError(f"{reason}; or measure the CPU with --device {CPU}")
    return as_measured(card), measured_on(as_measured(card))


def as_measured(card: Gpu) -> Gpu:
    """With MIG it is the card's first instance: under a name of its own, without the whole's size."""
    if not card.mig:
        return card
    return replace(card, name=f"{card.name}, its first MIG instance", memory_bytes=None, multiprocessors=None)


def measured_on(card: Gpu | None, why: str = "") -> str:
    """'NVIDIA H200 (GPU 0, driver 580.159.04, torch 2.13.0 for CUDA 13.0)'."""
    if card is None:
        return f"the CPU, {plain(core_limit(), 3)} cores of {cpu_model() or 'an unknown CPU'}; {why}"
    whole = "; power, energy and memory in use are the whole card's" if card.mig else ""
    return f"{card.name} (GPU {card.index}, driver {card.driver}, {torch_build() or 'no torch'}){whole}"


def faster_precision(card: Gpu | None, precisions: tuple[str | None, ...]) -> list[str]:
    """A line of advice where only fp32, the default, is measured on a card that is made for less."""
    if card is None or card.compute_capability < FROM_AMPERE or not set(precisions) <= {None, "fp32"}:
        return []
    return [f"fp32 leaves the fastest units of {card.name} unused: --precision fp16 may be worth a run"]


def _names_an_instance() -> bool:
    return os.environ.get("CUDA_VISIBLE_DEVICES", "").strip().startswith("MIG-")


def _cause(error: Exception) -> str:
    return str(error).partition(": ")[0]
