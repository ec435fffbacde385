"""TorchServe's classes, kept ready by Java for its next start (CDS): the JVM takes 0.6 s of CPU, not 1.0.

Made once, in .build/, by a TorchServe that serves a model and ends. Where Java can't, tests do without.
"""

import hashlib
import os
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from subprocess import TimeoutExpired

from experiments.base.errors import ExperimentError
from experiments.base.paths import ROOT
from experiments.serving.java import find_java, major_version
from experiments.serving.registration import Registration
from experiments.serving.torchserve.start import JVM_OPTIONS, torchserve
from tests.support.small_archives import NOOP, archive

FIRST_JAVA = 13  # with -XX:ArchiveClassesAtExit


def options() -> list[str]:
    """What a JVM is told to take the classes from there; nothing where there are none of it."""
    classes = _path()
    return [f"-XX:SharedArchiveFile={classes}", "-Xlog:cds=off"] if classes and classes.exists() else []


def make() -> None:
    """Makes the file, unless it is there."""
    classes = _path()
    if classes is None or classes.exists() or (major_version(find_java()) or 0) < FIRST_JAVA:
        return
    classes.parent.mkdir(exist_ok=True)
    unfinished = classes.with_suffix(f".{os.getpid()}")
    options = [*JVM_OPTIONS, f"-XX:ArchiveClassesAtExit={unfinished}"]
    with (
        suppress(ExperimentError, TimeoutExpired),
        tempfile.TemporaryDirectory() as name,
        torchserve(jvm_options=options) as server,
    ):
        server.register(Registration(archive(Path(name), "noop", NOOP), 1, 1))
        server.workers()
        server.process.terminate()
        server.process.wait(60)
    if unfinished.exists():
        unfinished.rename(classes)


def _path() -> Path | None:
    """A name for each Java and TorchServe: of another one the file would be of no use."""
    with suppress(ExperimentError):
        spec, java = find_spec("ts"), find_java().resolve()
        told = f"{java} {java.stat().st_mtime_ns} {spec and spec.origin}"
        return ROOT / ".build" / f"torchserve-{hashlib.sha256(told.encode()).hexdigest()[:12]}.jsa"
    return None
