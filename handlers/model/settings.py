"""The `handler:` section of model-config.yaml, overridden by the environment -> Settings, or a refusal.

Names and numbers only: what they do to torch is said in devices.py and shapes.py, what a client may send in
payload.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from handlers.engine.names import (
    ENGINES,
    NO_TENSORRT,
    OF_TORCH,
    PACKAGES,
    TENSORRT,
    TORCH_COMPILE,
    why_no_such_precision,
)
from handlers.request.payload import Limits

PRECISIONS = (*OF_TORCH, "int8")
COMPILERS = ("none", "torch_compile", "cuda_graphs")
POOLINGS = ("mean", "cls", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")

# Settings that the server's environment decides where it names them, so that a sweep can vary them without
# building archives anew. `threads` and `thread_percentage` yield in the same way to the variables that torch
# and CUDA read themselves: OMP_NUM_THREADS and CUDA_MPS_ACTIVE_THREAD_PERCENTAGE.
OVERRIDES = {"precision": "HANDLER_PRECISION", "compile": "HANDLER_COMPILE", "engine": "HANDLER_ENGINE"}


class SettingsError(ValueError):
    """What is asked for isn't there: one line with the remedy. TorchServe logs it and the load fails."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """The shapes of batches that are made ready at load; None leaves the choice to the handler."""

    batch_sizes: tuple[int, ...] | None = None
    lengths: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """The `handler:` section of model-config.yaml. Each key is explained in that file."""

    precision: str = "fp32"
    engine: str = "torch"
    compile: str = "none"
    tuned: bool = True
    shapes: Shapes = field(default_factory=Shapes)
    pad_to_multiple_of: int = 1
    threads: int | None = None
    thread_percentage: int | None = None
    cores: tuple[int, ...] | None = None
    turns: str | None = None
    top_k: int = 5
    pooling: str = "mean"
    limits: Limits = field(default_factory=Limits)


def settings_of(config: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Settings:
    """The parsed YAML, and the environment variables in OVERRIDES -> Settings.

    Raises SettingsError for values out of range, and for unknown keys, which else would do nothing.
    """
    section = _known(config.get("handler") or {}, Settings, "handler")
    section["limits"] = _limits(section.get("limits") or {})
    section["shapes"] = _shapes(section.get("shapes") or {})
    if section.get("cores") is not None:
        section["cores"] = _cores(section["cores"])
    settings = Settings(**section)
    _check(settings, {})
    asked: dict[str, Any] = {key: (environment or {}).get(name) for key, name in OVERRIDES.items()}
    overridden = replace(settings, **{key: value for key, value in asked.items() if value})
    _check(overridden, OVERRIDES)
    return _with_engine(overridden)


def _with_engine(settings: Settings) -> Settings:
    """`torch-compile` says in one word what `compile` says beside `torch`: the rest knows only the latter.
    Raises SettingsError where an engine can't do what other settings ask for."""
    engine, compiled = settings.engine, settings.compile
    if engine == TENSORRT:
        raise SettingsError(f"handler.engine: {NO_TENSORRT}")
    if why := why_no_such_precision(engine, settings.precision):
        raise SettingsError(f"handler.precision: {why}")
    if engine in PACKAGES and compiled != "none":
        raise SettingsError(f"handler.compile: {compiled} is for torch, not {engine}: leave it none")
    if engine == TORCH_COMPILE:
        if compiled == "cuda_graphs":
            raise SettingsError(f"handler.compile: cuda_graphs or handler.engine: {engine}: choose one")
        return replace(settings, compile="torch_compile")
    return settings


def _check(settings: Settings, names: Mapping[str, str]) -> None:
    """`names`: what the user calls a setting, where that is not handler.<key>."""
    named = (
        ("precision", PRECISIONS),
        ("engine", ENGINES),
        ("compile", COMPILERS),
        ("pooling", POOLINGS),
    )
    for key, choices in named:
        if (value := getattr(settings, key)) not in choices:
            where = names.get(key, f"handler.{key}")
            raise SettingsError(f"{where}: {value}: choose one of {', '.join(choices)}")
    if not isinstance(settings.tuned, bool):
        raise SettingsError(f"handler.tuned: {settings.tuned}: say true or false")
    _whole("pad_to_multiple_of", settings.pad_to_multiple_of)
    _whole("top_k", settings.top_k)
    if settings.threads is not None:
        _whole("threads", settings.threads)
    if settings.thread_percentage is not None:
        _whole("thread_percentage", settings.thread_percentage, most=100)
    if settings.turns is not None and not isinstance(settings.turns, str):
        raise SettingsError(f"handler.turns: {settings.turns}: give the path of a file")


def _limits(section: Any) -> Limits:
    known = _known(section, Limits, "handler.limits")
    return Limits(**{key: _whole(f"limits.{key}", value) for key, value in known.items()})


def _shapes(section: Any) -> Shapes:
    known = _known(section, Shapes, "handler.shapes")
    return Shapes(**{key: _ascending(f"shapes.{key}", value) for key, value in known.items()})


def _cores(values: Any) -> tuple[int, ...]:
    listed = values if isinstance(values, list) and values else [None]
    if not all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in listed):
        raise SettingsError(f"handler.cores: {values}: list the numbers of cores, from 0 on")
    return tuple(sorted(set(listed)))


def _ascending(key: str, values: Any) -> tuple[int, ...] | None:
    """A list of whole numbers, or one of them, smallest first; null stays None."""
    if values is None:
        return None
    listed = values if isinstance(values, Sequence) and not isinstance(values, str) else [values]
    if not listed:
        raise SettingsError(f"handler.{key} is empty: list whole numbers, or say null for the default")
    return tuple(sorted({_whole(key, value) for value in listed}))


def _whole(key: str, value: Any, *, most: int | None = None) -> int:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < 1 or (most is not None and value > most):
        span = f"from 1 to {most}" if most else "of 1 or more"
        raise SettingsError(f"handler.{key}: {value}: give a whole number {span}")
    return int(value)


def _known(section: Any, target: type[Any], where: str) -> dict[str, Any]:
    """The section's keys and values. A misspelt key would do nothing, so it is refused."""
    if not isinstance(section, Mapping):
        raise SettingsError(f"model-config.yaml: {where} must hold keys with values, not {section!r}")
    allowed = [item.name for item in fields(target)]
    unknown = sorted(set(map(str, section)) - set(allowed))
    if unknown:
        raise SettingsError(
            f"model-config.yaml: {where} has no {', '.join(unknown)}; it has {', '.join(allowed)}"
        )
    return dict(section)
