"""Model archives as folders: TorchServe links a folder, where it unpacks a .mar at every registration."""

import shutil
import zipfile
import zlib
from pathlib import Path

from experiments.base.errors import ExperimentError, UsageError
from experiments.base.files import bytes_of
from experiments.base.yaml_files import parsed_yaml
from experiments.results.typed import strictly_parsed


def unpacked_into(archive: Path, store: Path) -> Path:
    """The archive as a folder of the store, unpacked once: TorchServe links a folder but unpacks a .mar
    at every registration, which for BERT-base costs seconds a cell."""
    target = store / archive.stem
    if not target.exists():
        unpack(archive, target)
        _refuse_fixed_workers(target, archive)
    return target


def unpacked_bytes(archive: Path) -> int:
    """The disk space that an archive takes where it is unpacked; 0 of what is no archive."""
    if not zipfile.is_zipfile(archive):
        return 0
    with zipfile.ZipFile(archive) as mar:
        return sum(entry.file_size for entry in mar.infolist())


def unpack(archive: Path, folder: Path) -> None:
    """An archive's content into `folder`, and nowhere else: names that lead out of it lose what leads out.

    Raises UsageError where there is no archive to unpack, or it would fill the disk.
    """
    needed, room = unpacked_bytes(archive), next(each for each in folder.absolute().parents if each.exists())
    if needed and (free := shutil.disk_usage(room).free) < needed:
        raise UsageError(
            f"{archive} takes {needed / 2**20:,.0f} MiB unpacked, {room} has {free / 2**20:,.0f} MiB free: "
            "make room, or set TMPDIR"
        )
    try:
        with zipfile.ZipFile(archive) as mar:
            mar.extractall(folder)
    except FileNotFoundError as error:
        raise UsageError(f"no archive {archive}: `make mar` builds the ones in model_store/") from error
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:  # encrypted; unknown
        raise UsageError(f"{archive} is not a model archive (.mar): {error}") from error


def _refuse_fixed_workers(folder: Path, archive: Path) -> None:
    manifest = folder / "MAR-INF" / "MANIFEST.json"
    if not manifest.is_file():
        raise UsageError(f"{archive} is not a model archive: it has no MAR-INF/MANIFEST.json")
    try:
        config = strictly_parsed(bytes_of(manifest)).get("model", {}).get("configFile")
        path = (folder / config).resolve() if config else None
        if path and not path.is_relative_to(folder.resolve()):
            raise ValueError(f"its configFile {config} leads out of it")
        settings = parsed_yaml(bytes_of(path).decode(), Path(config)) if path else None
        fixed = {"minWorkers", "maxWorkers"} & set(settings or {})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ExperimentError) as error:
        raise UsageError(
            f"{archive} is not a model archive: its manifest can't be followed: {error}"
        ) from error
    if fixed:
        raise UsageError(
            f"{archive} sets {' and '.join(sorted(fixed))} in its {config}, which overrides the workers of "
            "a registration: remove it and archive again"
        )
