"""The Python environments of the other servers: where they lie, their pins, whether they are whole.

Each is a venv of its own, since what the servers need clashes; torch and transformers are those of the
environment that this program runs in, found through a .pth file. Making one is added.py's business.
"""

import hashlib
import json
import os
import re
import shutil
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from experiments.base.errors import UsageError
from experiments.base.paths import ROOT

FOLDER = ROOT / ".build" / "servers"
REQUIREMENTS = Path(__file__).parent / "requirements"
NOTE = "made.json"  # written last: without it an environment is half made
NAMES = tuple(sorted(path.stem for path in REQUIREMENTS.glob("*.txt")))

ABSENT, HALF, OTHER, WHOLE = "absent", "half made", "of other pins", "whole"


@dataclass(frozen=True, slots=True)
class Environment:
    """A server's environment in `folder`, there or not."""

    name: str
    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def site(self) -> Path:
        """Where its packages are."""
        return Path(sysconfig.get_path("purelib", vars={"base": str(self.folder)}))

    @property
    def state(self) -> str:
        """ABSENT, HALF made, made of OTHER pins than today's or beside another torch, or WHOLE."""
        if not self.folder.exists():
            return HALF if list(half_made(self.folder)) else ABSENT
        try:
            made_of = json.loads((self.folder / NOTE).read_text("utf-8"))
        except (OSError, ValueError):
            return HALF
        return WHOLE if made_of == ingredients(self.name) and self.python.exists() else OTHER

    def size_bytes(self) -> int:
        """The disk space that it takes, without what it shares."""
        files = (path for path in self.folder.rglob("*") if path.is_file() and not path.is_symlink())
        return sum(path.stat().st_size for path in files)


def environment_of(name: str) -> Environment:
    """Where the environment of a server is, or would be. Raises UsageError for a server that has none."""
    if name not in NAMES:
        raise UsageError(f"no server {name!r} to be added: choose among {', '.join(NAMES)}")
    return Environment(name, FOLDER / name)


def whole(name: str) -> Environment:
    """The environment, ready to be used. Raises UsageError with the command that makes it where it is not."""
    found = environment_of(name)
    if (state := found.state) != WHOLE:
        raise UsageError(f"the environment of {name} is {state}: run `python -m mps.servers add {name}`")
    return found


def requirements_of(name: str) -> Path:
    """The file of pins."""
    return REQUIREMENTS / f"{name}.txt"


def package_of(name: str) -> str:
    """The server's own package and its version: the first line of the pins says which of them it is."""
    first, *pins = requirements_of(name).read_text("utf-8").splitlines()
    package = first.removeprefix("# ").partition(":")[0]
    (found,) = (line for line in pins if re.match(rf"{re.escape(package)}==", line))
    return found.replace("==", " ")


def ingredients(name: str) -> dict[str, str]:
    """What an environment is made of: its pins, and the packages that it shares."""
    pins = hashlib.sha256(requirements_of(name).read_bytes()).hexdigest()
    return {"pins_sha256": pins, "shared": str(shared_packages())}


def shared_packages() -> Path:
    """Where torch and transformers are: the packages of the environment that this program runs in."""
    return Path(sysconfig.get_path("purelib")).resolve()


def half_made(folder: Path) -> Iterator[Path]:
    """What broken-off makings of the environment at `folder` left: folders of processes that are gone."""
    for path in folder.parent.glob(f".{folder.name}-*"):
        with suppress(ValueError):
            if not psutil.pid_exists(int(path.name.rpartition("-")[2])):
                yield path


def being_made(folder: Path) -> Path:
    """Where this process makes the environment that will be at `folder`."""
    return folder.with_name(f".{folder.name}-{os.getpid()}")


def remove(environment: Environment) -> bool:
    """Removes the environment, and what is half made of it; tells whether there was any."""
    found = [path for path in (environment.folder, *half_made(environment.folder)) if path.exists()]
    for path in found:
        shutil.rmtree(path)
    return bool(found)
