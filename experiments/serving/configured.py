"""What a config.properties makes TorchServe do: where it listens, and which archives it loads."""

import os
import re
import socket
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from experiments.base.errors import UsageError
from experiments.base.paths import ROOT

ADDRESSES = {  # TorchServe's own defaults
    "inference_address": "http://127.0.0.1:8080",
    "management_address": "http://127.0.0.1:8081",
    "metrics_address": "http://127.0.0.1:8082",
}
SCHEMES = {"http": "80", "https": "443"}
GRPC_PORTS = {"grpc_inference": "7070", "grpc_management": "7071"}
ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - told where one reaches what listens everywhere


@dataclass(frozen=True, slots=True)
class Listener:
    """A place where TorchServe will listen: the key that says so, its value as shown, host and port."""

    key: str
    value: str
    host: str
    port: int


def settings_of(config: Path | None) -> dict[str, str]:
    """A config.properties as TorchServe's launcher reads it, with its TS_ variables where it heeds them.

    Empty without one. Raises UsageError when it can't be read.
    """
    try:
        lines = config.read_text("utf-8", errors="replace").splitlines() if config else []
    except OSError as error:
        raise UsageError(f"can't read {config}: {error.strerror}") from error
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.lstrip().startswith("#"))
    settings = {key.strip(): value.strip() for key, value in pairs}
    if settings.get("enable_envvars_config", "").lower() == "true":
        heeded = {
            *settings,
            *ADDRESSES,
            *(f"{api}_{what}" for api in GRPC_PORTS for what in ("address", "port")),
        }
        settings |= {
            key: os.environ[f"TS_{key.upper()}"] for key in heeded if f"TS_{key.upper()}" in os.environ
        }
    return settings


def shipped_with(changes: Mapping[str, str], about: str) -> str:
    """This project's config.properties with these values in place of its own, `about` as its first line."""
    left = dict(changes)
    lines = [f"# {about}", ""]
    for line in (ROOT / "config.properties").read_text("utf-8").splitlines():
        key = line.partition("=")[0]
        lines.append(f"{key}={left.pop(key)}" if key in left else line)
    return "\n".join([*lines, *(f"{key}={value}" for key, value in left.items())]) + "\n"


def listeners(settings: Mapping[str, str]) -> list[Listener]:
    """All five, defaults included; without those that are Unix sockets. Raises UsageError for no address."""
    found = []
    for key, default in ADDRESSES.items():
        value = settings.get(key, default)
        if not value.startswith("unix:"):
            address = urlsplit(value)
            if address.scheme not in SCHEMES:
                raise UsageError(f"{key} {value} in the configuration is no http:// or https:// address")
            written = re.search(r":([^:\]/]*)/?$", address.netloc)
            number = _port(key, written[1] if written else SCHEMES[address.scheme])
            found.append(Listener(key, value, address.hostname or "127.0.0.1", number))
    for api, default in GRPC_PORTS.items():
        key = f"{api}_port"
        value = settings.get(key, default)
        host = settings.get(f"{api}_address", "127.0.0.1")
        found.append(Listener(key, value, host, _port(key, value)))
    return found


def refuse_taken_ports(settings: Mapping[str, str], told_by: str) -> None:
    """Raises UsageError for the first port where something listens; `told_by` names the configuration."""
    for each in listeners(settings):
        family = socket.AF_INET6 if ":" in each.host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as TorchServe does
            try:
                probe.bind((each.host, each.port))
            except OSError as error:
                raise UsageError(
                    f"{each.key} {each.value} in {told_by}: {error.strerror}; stop what listens there "
                    "(a running TorchServe: torchserve --stop) or give another port"
                ) from error


def archives_to_load(settings: Mapping[str, str], models: Sequence[str] | None, store: Path) -> list[str]:
    """The archives that are loaded at the start, as `GET /models` names them in modelUrl: files of the store.

    `models` are those of the command line, which replace `load_models`.
    """
    named = list(models or settings.get("load_models", "").split(","))
    urls = [name.rpartition("=")[2].strip() for name in named]
    if [url.lower() for url in urls] == ["all"]:
        return sorted(each.name for each in store.glob("*.mar") if not each.name.startswith("."))
    return [url for url in urls if url and url.lower() != "none"]


def refuse_broken_archives(archives: Sequence[str], store: Path) -> None:
    """Raises UsageError for an archive that is not in the store or is damaged: TorchServe would start its
    workers on what there is of it, and they tell nothing of use."""
    for name in archives:
        archive = store / name
        if "://" in name or archive.is_dir():
            continue
        if not archive.is_file():
            raise UsageError(f"no archive {archive} to load: `make mar` builds the ones in model_store/")
        if not zipfile.is_zipfile(archive):
            raise UsageError(f"{archive} is damaged, or no model archive: remove it, or archive it again")


def url_of(settings: Mapping[str, str], key: str) -> str:
    """Where an API of `listeners` is asked from this machine."""
    value = settings.get(key, ADDRESSES[key])
    address = urlsplit(value)
    host = ANY_HOST.get(address.hostname or "", address.hostname or "127.0.0.1")
    (port,) = (each.port for each in listeners(settings) if each.key == key)
    return f"{address.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _port(key: str, value: str) -> int:
    if not value.isdigit() or not 0 < int(value) < 2**16:
        raise UsageError(f"{key} {value!r} in the configuration holds no port: give one of 1 to 65535")
    return int(value)
