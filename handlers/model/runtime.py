"""TorchServe's context -> a model on this worker's device, with the settings of its archive and environment.

What BERT and ResNet50 have in common before the first request; during one it is batches.py. TorchServe's own
base handler is not imported: it touches CUDA before the share of the GPU can be set.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig
from transformers.utils import logging as transformers_logging

from handlers.engine.names import PACKAGES
from handlers.engine.reading import read_graph
from handlers.model.devices import (
    DeviceError,
    device_of,
    use_attention,
    use_cores,
    use_precision,
    use_share,
    use_threads,
)
from handlers.model.families import PLAIN
from handlers.model.memory import keep_freed_memory
from handlers.model.packed import can_pack
from handlers.model.settings import Settings, settings_of
from handlers.model.shapes import doubling
from handlers.request.batches import Context
from handlers.request.tally import Tally, open_tally, tell_multiprocessors
from handlers.request.turns import turns_of
from handlers.request.wire import go_faster


@dataclass(frozen=True, slots=True)
class Runtime:
    """A loaded model, ready for `torch.inference_mode`, and what it was loaded with: one of transformers, or
    what an engine made of the archive's file for it."""

    model: Any
    device: torch.device
    settings: Settings
    folder: Path
    batch_size: int
    tally: Tally
    turns: AbstractContextManager[None]

    @property
    def on_torch(self) -> bool:
        """Is the model torch's, and not another engine's?"""
        return self.settings.engine not in PACKAGES

    @property
    def compiles(self) -> bool:
        """Are batches padded to a set of shapes that were made ready at load?"""
        return self.settings.compile != "none"

    @property
    def packs(self) -> bool:
        """Should the weights be laid out for the CPU? A compiler or another engine does that itself."""
        on_cpu = self.device.type == "cpu" and self.on_torch and not self.compiles
        return self.settings.tuned and on_cpu and can_pack(self.model.dtype)

    def batch_sizes(self) -> tuple[int, ...]:
        """The batch sizes to make ready, ascending: those of the YAML, else 1, 2, 4 … the registered one."""
        return self.settings.shapes.batch_sizes or doubling(self.batch_size)


def start(context: Context, auto_class: Any, simplify: Callable[[Any], None]) -> Runtime:
    """Load the archive's checkpoint with one of transformers' Auto classes, onto this worker's device.

    `simplify` rewrites the model in place while it is still in fp32, unless handler.tuned is false; for a
    family that is served plain it is false whatever the YAML says.

    Raises SettingsError for a bad model-config.yaml, DeviceError where the device can't do what it asks for,
    EngineError where an engine can't, and OSError where there is no safetensors checkpoint.
    """
    settings = settings_of(context.model_yaml_config or {}, os.environ)
    go_faster(settings.limits.body_bytes)
    gpu_id = context.system_properties.get("gpu_id")
    if gpu_id is not None:
        use_share(settings.thread_percentage)  # first of all: any question to CUDA starts it
    device = device_of(gpu_id)
    if device.type == "cpu":
        keep_freed_memory()
    else:  # fewer than the card has where MPS holds this process to a share
        tell_multiprocessors(torch.cuda.get_device_properties(device).multi_processor_count)
    use_threads(settings.threads)
    use_cores(settings.cores)
    folder = Path(context.system_properties["model_dir"])
    if settings.engine in PACKAGES:
        model = _of_engine(folder, settings, device)
    else:
        model, settings = _of_torch(folder, settings, device, auto_class, simplify)
    batch_size = int(context.system_properties.get("batch_size") or 1)
    return Runtime(
        model,
        device,
        settings,
        folder,
        batch_size,
        open_tally(),
        turns_of(settings.turns),
    )


def _of_torch(
    folder: Path, settings: Settings, device: torch.device, auto_class: Any, simplify: Callable[[Any], None]
) -> tuple[Any, Settings]:
    """The checkpoint's model, and the settings, of which its family may allow less."""
    dtype = use_precision(settings.precision, device)
    use_attention(settings.compile, device)
    # Worth its time where shapes are few and made ready; else each new one would be tried out under load.
    torch.backends.cudnn.benchmark = settings.compile != "none"
    transformers_logging.disable_progress_bar()  # it would end up in TorchServe's log, line by line
    model = auto_class.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
    ).requires_grad_(False)
    if model.config.model_type in PLAIN:
        settings = replace(settings, tuned=False)
    if settings.tuned:
        simplify(model)
    return model.to(device, dtype).eval(), settings


def _of_engine(folder: Path, settings: Settings, device: torch.device) -> Any:
    """The archive's file for the engine, on as many threads as torch has here."""
    if device.type != "cpu":
        raise DeviceError(
            f"handler.engine: {settings.engine} runs on CPUs here, and TorchServe dealt this worker a GPU: "
            "set number_of_gpu=0 in config.properties, or choose torch"
        )
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return read_graph(folder, settings.engine, settings.precision, torch.get_num_threads(), config)
