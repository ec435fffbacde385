"""model-config.yaml and TorchServe's context -> a model on its device; a batch of rows -> a list of answers.

What BERT and ResNet50 have in common. No tokenizing, no pixels (bert.py, resnet50.py), no reading of bodies
(payload.py). TorchServe's own base handler is not imported: it touches CUDA before MPS settings can be made.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from http import HTTPStatus
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from transformers.utils import logging as transformers_logging

from handlers.payload import Limits, Payload, PayloadError, read

Item = TypeVar("Item")
Row = Mapping[str, object]

# What `precision` in model-config.yaml may say.
PRECISIONS = {"fp32": torch.float32}


class Context(Protocol):
    """What the handlers use of `ts.context.Context`."""

    model_yaml_config: dict[str, Any] | None

    @property
    def system_properties(self) -> dict[str, Any]: ...
    def get_all_request_header(self, idx: int) -> dict[str, Any]: ...
    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None: ...
    def set_response_content_type(self, idx: int, value: str) -> None: ...


class SettingsError(ValueError):
    """model-config.yaml asks for something that isn't there. TorchServe logs it and the load fails."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The `handler:` section of model-config.yaml. Each key is explained in that file."""

    precision: str = "fp32"
    threads: int | None = None
    top_k: int = 5
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Runtime:
    """A loaded model, ready for `torch.inference_mode`, and what it was loaded with."""

    model: Any
    device: torch.device
    settings: Settings
    folder: Path


def start(context: Context, auto_class: Any) -> Runtime:
    """Load the archive's checkpoint with one of transformers' Auto classes, onto this worker's device.

    Raises SettingsError for a bad model-config.yaml and OSError where there is no safetensors checkpoint.
    """
    settings = settings_of(context.model_yaml_config or {})
    use_threads(settings.threads)
    transformers_logging.disable_progress_bar()  # it would end up in TorchServe's log, line by line
    folder = Path(context.system_properties["model_dir"])
    device = device_of(context.system_properties.get("gpu_id"))
    model = auto_class.from_pretrained(
        folder,
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
        dtype=PRECISIONS[settings.precision],
    )
    return Runtime(model.to(device).eval(), device, settings, folder)


def settings_of(config: Mapping[str, Any]) -> Settings:
    """The parsed YAML -> Settings. Raises SettingsError for unknown keys, which else do nothing."""
    section = dict(config.get("handler") or {})
    limits = Limits(**_known(section.pop("limits", None) or {}, Limits, "handler.limits"))
    settings = Settings(**_known(section, Settings, "handler"), limits=limits)
    if settings.precision not in PRECISIONS:
        raise SettingsError(f"handler.precision: {settings.precision}: choose one of {', '.join(PRECISIONS)}")
    return settings


def device_of(gpu_id: int | None) -> torch.device:
    """The GPU that TorchServe dealt to this worker; the CPU where it dealt none or CUDA isn't there."""
    if gpu_id is not None and torch.cuda.is_available():
        return torch.device("cuda", gpu_id)
    return torch.device("cpu")


def use_threads(threads: int | None) -> None:
    """Set torch's threads, unless who started the server has said so in OMP_NUM_THREADS: torch obeys that."""
    if threads is not None and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads)


def answer(
    rows: Sequence[Row],
    context: Context,
    read_item: Callable[[object], Item],
    predict: Callable[[list[Item]], Sequence[object]],
    max_instances: int,
) -> list[object]:
    """Read every row, predict all good inputs of the batch in one call, and hand each row its own answer.

    A row that can't be read gets its own status and a body with the reason; the others don't notice.
    An exception of `predict` propagates: TorchServe then answers 503 to the whole batch.
    """
    payloads = [
        _read_or_refuse(row, read_item, max_instances, _content_types(context, index))
        for index, row in enumerate(rows)
    ]
    items = [item for payload in payloads if isinstance(payload, Payload) for item in payload.items]
    predictions = iter(predict(items) if items else ())
    return [
        _refusal(payload, context, index)
        if isinstance(payload, PayloadError)
        else _acceptance(payload.answer(list(islice(predictions, len(payload.items)))), context, index)
        for index, payload in enumerate(payloads)
    ]


def _read_or_refuse(
    row: Row, read_item: Callable[[object], Item], max_instances: int, content_types: Mapping[str, str]
) -> Payload[Item] | PayloadError:
    try:
        return read(row, read_item, max_instances, content_types)
    except PayloadError as error:
        return error


def _acceptance(body: object, context: Context, index: int) -> object:
    context.set_response_content_type(index, "application/json")
    return body


def _refusal(error: PayloadError, context: Context, index: int) -> dict[str, object]:
    """The same shape as TorchServe's own errors. The phrase is HTTP's: nothing of the client's goes there."""
    context.set_response_status(code=error.status, phrase=HTTPStatus(error.status).phrase, idx=index)
    context.set_response_content_type(index, "application/json")
    return {"code": error.status, "type": type(error).__name__, "message": error.reason}


def _content_types(context: Context, index: int) -> dict[str, str]:
    """Part name -> declared type. TorchServe keeps these among the request's headers, as small dicts."""
    headers = context.get_all_request_header(index)
    return {name: value["content-type"] for name, value in headers.items() if isinstance(value, dict)}


def _known(section: Mapping[str, Any], target: type[Any], where: str) -> dict[str, Any]:
    allowed = [item.name for item in fields(target)]
    unknown = sorted(set(section) - set(allowed))
    if unknown:
        raise SettingsError(
            f"model-config.yaml: {where} has no {', '.join(unknown)}; it has {', '.join(allowed)}"
        )
    return dict(section)
