"""A list of services in YAML, as people write it and as this project's own commands leave it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml

from experiments.base.errors import UsageError
from experiments.base.yaml_files import read_yaml
from experiments.fleet.service import Service, Sharing

_HINTS = get_type_hints(Service)


def read_services(file: Path) -> tuple[Service, ...]:
    """The services under the key `services`, each with the fields of `Service` as its keys.

    Raises UsageError for a file that can't be read, an unknown or missing key, a value of another type, a
    name that is there twice.
    """
    read = read_yaml(file, "services")
    entries = read.get("services") if isinstance(read, dict) else None
    if not isinstance(entries, list) or not entries:
        raise UsageError(f"{file} holds no list `services`")
    services = tuple(_service(entry, f"{file}, service {n}") for n, entry in enumerate(entries, 1))
    names = [service.name for service in services]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{file} has two services {name!r}: give each a name of its own")
    return services


def write_services(file: Path, services: Sequence[Service], about: str) -> None:
    """The list that `read_services` reads, `about` as its first line, a comment. Raises OSError."""
    entries = [asdict(service) for service in services]
    file.write_text(f"# {about}\n{yaml.safe_dump({'services': entries}, sort_keys=False)}", "utf-8")


def _service(entry: Any, where: str) -> Service:
    if not isinstance(entry, Mapping):
        raise UsageError(f"{where} is no mapping of keys to values")
    if unknown := [str(key) for key in entry if key not in _HINTS]:
        raise UsageError(f"{where}: unknown key {unknown[0]!r}; the keys are {', '.join(_HINTS)}")
    for field in fields(Service):
        if field.default is MISSING and field.name not in entry:
            raise UsageError(f"{where} has no {field.name}")
    return Service(**{key: _value(key, value, where) for key, value in entry.items()})


def _value(key: str, value: Any, where: str) -> Any:
    """As the field has it: whole numbers are taken for others, true and false for no numbers."""
    hint = _HINTS[key]
    kinds = get_args(hint) or (hint,)
    if value is None and type(None) in kinds:
        return None
    if hint == Sharing:
        if value in get_args(Sharing):
            return value
        raise UsageError(f"{where}: {key} is one of {', '.join(get_args(Sharing))}, not {value!r}")
    if float in kinds and isinstance(value, (int, float)) and not isinstance(value, bool):
        if math.isfinite(value):
            return float(value)
    elif isinstance(value, kinds) and not isinstance(value, bool):
        return value
    wanted = " or ".join(
        {int: "a whole number", float: "a number", str: "a text"}.get(k, "null") for k in kinds
    )
    raise UsageError(f"{where}: {key} is {wanted}, not {value!r}")
