"""Modules of the user's PYTHONPATH that TorchServe's workers would take for those of an archive.

A worker looks into PYTHONPATH first, then into the archive. A `handlers` of somebody's project, or a
`bert.py`, would be served in place of the archive's, or fail with a traceback about something else.
"""

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

from experiments.base.errors import UsageError
from experiments.base.paths import ROOT

VARIABLE = "PYTHONPATH"


def refuse_shadowed(archive: Path) -> None:
    """Raises UsageError where PYTHONPATH holds a module that `archive`, a file or a folder, has too."""
    if not (folders := _others()):
        return
    names = sorted(_modules(archive))
    for folder in folders:
        for name in names:
            for found in (folder / name / "__init__.py", folder / f"{name}.py"):
                if found.is_file():
                    raise UsageError(
                        f"{found}, on {VARIABLE}, would be taken for the {name} of {archive.name}: "
                        f"take {folder} out of {VARIABLE}"
                    )


def python_path_of_workers() -> dict[str, str]:
    """PYTHONPATH without this repository, whose handlers may be newer than an archive's; {} where unset."""
    return {VARIABLE: os.pathsep.join(map(str, _others()))} if VARIABLE in os.environ else {}


def _others() -> list[Path]:
    entries = [Path(entry) for entry in os.environ.get(VARIABLE, "").split(os.pathsep) if entry]
    return [entry for entry in entries if entry.resolve() != ROOT]


def _modules(archive: Path) -> set[str]:
    """The names that can be imported from an archive's top; none of what is no archive."""
    paths = [Path(name) for name in _names(archive)]
    modules = {path.stem for path in paths if len(path.parts) == 1 and path.suffix == ".py"}
    return modules | {path.parts[0] for path in paths if path.name == "__init__.py" and len(path.parts) == 2}


def _names(archive: Path) -> Iterator[str]:
    if archive.is_dir():
        yield from (str(path.relative_to(archive)) for path in archive.glob("*.py"))
        yield from (str(path.relative_to(archive)) for path in archive.glob("*/__init__.py"))
    elif zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as mar:
            yield from mar.namelist()
