"""A fleet's files in a folder."""

import os
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path

from experiments.base.errors import ExperimentError, UsageError
from experiments.fleet.manifests.cluster import File, ecs_files, kubernetes_files
from experiments.fleet.manifests.host import compose_files, systemd_files
from experiments.fleet.manifests.pods import pods_of
from experiments.fleet.manifests.site import Site, Target
from experiments.fleet.service import Service, Sharing

TOKEN_BYTES = 32


def write(
    services: Sequence[Service],
    folder: Path,
    target: Target,
    sharing: Sharing | None = None,
    site: Site | None = None,
) -> list[Path]:
    """Writes what `target` needs to run `services`, and returns the files; `sharing`, where given, stands in
    place of each GPU service's own.

    Files with tokens have mode 0600, and are kept where they are there already. Raises UsageError for
    services that the target can't run as asked, ExperimentError where the folder can't be written.
    """
    if not services:
        raise UsageError("no service to write files for: give one or more")
    where = site or Site()
    fleet = [pods_of(service, target, sharing) for service in services]
    files: Iterable[File]
    if target == "kubernetes":
        files = kubernetes_files(fleet, where, (_token(), _token()))
    elif target == "ecs":
        files = ecs_files(fleet, where)
    elif target == "compose":
        files = compose_files(fleet, where, _token())
    else:
        files = systemd_files(fleet, where, _token())
    written = []
    for file in files:
        path = folder / file.path
        try:
            _put(path, file)
        except OSError as error:
            raise ExperimentError(f"can't write {path}: {error.strerror}; give another folder") from error
        written.append(path)
    return written


def _put(path: Path, file: File) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not file.secret:
        path.write_text(file.text, "utf-8")
    elif not path.exists():
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(opened, "w", encoding="utf-8") as secret:
            secret.write(file.text)


def _token() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)
