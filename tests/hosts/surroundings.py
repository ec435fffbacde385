"""Kinds of hosts: what a program finds around it, and what it should say where it can't work."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from experiments.base.paths import ROOT
from tests.support.cgroups import a_quota
from tests.support.served_folder import a_folder

ODD = "clone [v2] d'été"
ANOTHER_USER = 65534
ADDRESSES = (
    "inference_address",
    "management_address",
    "metrics_address",
    "grpc_inference_port",
    "grpc_management_port",
)


@dataclass(frozen=True, slots=True)
class Host:
    """`command` stands before every program. `refuses` is what it says, in one line, where it can't serve;
    `measures` is false where only that is tried."""

    name: str
    clone: Path = ROOT
    environment: Mapping[str, str | None] = field(default_factory=dict)
    command: Sequence[str] = ()
    refuses: str | None = None
    measures: bool = True
    taken: str | None = None
    """The address that somebody else listens on."""
    owner: int | None = None


@contextmanager
def hosts(folder: Path) -> Iterator[list[Host]]:
    """All kinds of hosts that this machine can be; their files are in `folder`."""
    clone = folder / ODD
    subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
    (clone / ".venv").symlink_to(Path(sys.executable).parent.parent)
    theirs = folder / "theirs"
    for package in ("handlers", "experiments", "mps", "benchmarks"):
        (theirs / package).mkdir(parents=True)
        (theirs / package / "__init__.py").write_text("raise ImportError('theirs')", "utf-8")
    long = folder / ("x" * 100)
    long.mkdir()
    found = [
        Host("as it is"),
        Host("a path with blanks, brackets, quotes and accents", clone=clone),
        Host("HOME unset", environment={"HOME": None}),
        Host("the C locale, no UTF-8 mode", environment={"LC_ALL": "C", "PYTHONUTF8": "0"}),
        Host("packages of our names on PYTHONPATH", environment={"PYTHONPATH": str(theirs)}),
        Host("a dead proxy", environment={"http_proxy": "http://127.0.0.1:9", "no_proxy": None}),
        Host("TMPDIR of 100 characters", environment={"TMPDIR": str(long)}, refuses="too long"),
        Host("TMPDIR missing", environment={"TMPDIR": str(folder / "none")}, refuses="TMPDIR"),
    ]
    found += [
        Host(f"{key} taken", taken=key, measures=False, refuses="Address already in use") for key in ADDRESSES
    ]
    with _latin(folder) as latin, _tiny(folder) as tiny, a_quota(0.5) as procs:
        found.append(Host("an ISO-8859-1 locale", environment=latin))
        found.append(Host("TMPDIR of 16 MiB", environment={"TMPDIR": str(tiny)}, refuses="MiB free"))
        join = f'echo $$ > {procs}; exec "$@"'
        found.append(Host("a quota of half a core", command=["sh", "-c", join, "sh"]))
        found.append(_another_user(folder))
        yield found


def _another_user(folder: Path) -> Host:
    """Who may read everything (below root's home nobody else could even run Python), but write nothing."""
    command = ["setpriv", f"--reuid={ANOTHER_USER}", f"--regid={ANOTHER_USER}", "--clear-groups"]
    command += ["--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search"]
    own = folder / "another"
    own.mkdir()
    os.chown(own, ANOTHER_USER, ANOTHER_USER)
    environment = {"HOME": str(own), "TMPDIR": str(own), "PYTHONDONTWRITEBYTECODE": "1"}
    return Host("another user than the owner", environment=environment, command=command, owner=ANOTHER_USER)


@contextmanager
def _latin(folder: Path) -> Iterator[dict[str, str | None]]:
    """A locale in which an é is one byte, compiled here."""
    locales = folder / "locales"
    locales.mkdir()
    compiled = ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(locales / "en_US.ISO-8859-1")]
    subprocess.run(compiled, check=True, capture_output=True)
    yield {"LOCPATH": str(locales), "LC_ALL": "en_US.ISO-8859-1", "PYTHONUTF8": "0"}


@contextmanager
def _tiny(folder: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    tiny = folder / "tiny"
    tiny.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", tiny], check=True)
    try:
        yield tiny
    finally:
        subprocess.run(["umount", tiny], check=True)


@contextmanager
def a_served_folder(host: Host, folder: Path) -> Iterator[tuple[Path, dict[str, int]]]:
    """A folder to start `torchserve` in, and its ports, one of which somebody may listen on already."""
    served = folder / ODD
    served.mkdir(parents=True)
    ports = a_folder(served)
    if host.owner is not None:
        for each in (folder, *folder.rglob("*")):
            os.chown(each, host.owner, host.owner)
    try:
        if host.taken is None:
            yield served, ports
        else:
            port = ports[host.taken.removesuffix("_address").removesuffix("_port")]
            with socket.create_server(("127.0.0.1", port)):
                yield served, ports
    finally:
        shutil.rmtree(folder, ignore_errors=True)
