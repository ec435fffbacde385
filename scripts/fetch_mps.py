"""Fetches NVIDIA's own MPS programs and nvidia-smi from Debian's non-free component, to test against.

They run without a GPU up to the point where one is needed. The machine's package sources stay as they
are: apt gets a private copy with that component, and holds what it fetches against the checksums of the
signed index. Nothing is installed, and what this unpacks is never committed:  python scripts/fetch_mps.py

There are two versions of the control program: that of the machine's own Debian (535 in bookworm), and that of
trixie (550), which knows more.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".build" / "nvidia"
NEWER_FOLDER = ROOT / ".build" / "nvidia-trixie"
NEWER_SUITE = "trixie"
CONTROL = "nvidia-cuda-mps-control"
PACKAGES = ("nvidia-cuda-mps", "nvidia-smi", "libnvidia-ml1")
NEWER_PACKAGES = ("nvidia-cuda-mps",)
COMPONENTS = "non-free"  # only it: the list of `main` is a hundred times as long
APT = Path("/etc/apt")
NETWORK_TIMEOUT_S = 120


class FetchError(Exception):
    """The programs cannot be had here. The message fits one line."""


@dataclass(frozen=True, slots=True)
class NvidiaPrograms:
    """Where the programs lie. nvidia-smi needs `libraries` in its LD_LIBRARY_PATH."""

    control: Path
    server: Path
    smi: Path
    libraries: Path


def main() -> None:
    try:
        fetch()
        print(FOLDER)
    except FetchError as error:
        sys.exit(f"{CONTROL} can't be fetched: {error}")
    try:
        fetch_newer()
        print(NEWER_FOLDER)
    except FetchError as error:  # the tests against the older one are what must not be skipped
        print(f"that of {NEWER_SUITE} can't be fetched: {error}", file=sys.stderr)


def fetched() -> NvidiaPrograms | None:
    """The programs where an earlier fetch put them, None where none did. Uses no network."""
    # Folders of documentation carry the same names as the programs: those alone are executable files.
    files = [path for path in FOLDER.rglob("*nvidia*") if path.is_file()]
    found = {path.name: path for path in files if os.access(path, os.X_OK) or ".so" in path.name}
    try:
        return NvidiaPrograms(
            control=found[CONTROL],
            server=found["nvidia-cuda-mps-server"],
            smi=found["nvidia-smi"],
            libraries=found["libnvidia-ml.so.1"].parent,
        )
    except KeyError:
        return None


def fetch() -> NvidiaPrograms:
    """The programs, fetched first if they are not there. Raises FetchError where that is impossible."""
    if programs := fetched():
        return programs
    with _alone():
        if fetched() is None:
            _download(FOLDER, PACKAGES, None)
    if programs := fetched():
        return programs
    raise FetchError(f"the packages {', '.join(PACKAGES)} do not hold the programs that were expected")


def fetch_newer() -> Path:
    """The control program of trixie, fetched first if it is not there. Raises FetchError as `fetch` does."""
    program = NEWER_FOLDER / "usr" / "bin" / CONTROL
    if not program.exists():
        with _alone():
            if not program.exists():
                _download(NEWER_FOLDER, NEWER_PACKAGES, NEWER_SUITE)
    if program.exists():
        return program
    raise FetchError(f"the package {NEWER_PACKAGES[0]} of {NEWER_SUITE} does not hold {CONTROL}")


def _download(folder: Path, packages: tuple[str, ...], suite: str | None) -> None:
    """Puts what the packages of a suite hold, by default of the machine's own, into a folder."""
    for tool in ("apt-get", "dpkg"):
        if not shutil.which(tool):
            raise FetchError(f"it comes as a Debian package, and there is no {tool} here")
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        work = Path(name)
        options = _private_apt(work, suite)
        _run(["apt-get", "-q", *options, "update"], work)
        _run(["apt-get", "-q", *options, "download", *packages], work)
        for package in work.glob("*.deb"):
            _run(["dpkg", "-x", str(package), str(work / "unpacked")], work)
        shutil.rmtree(folder, ignore_errors=True)
        (work / "unpacked").rename(folder)


def _private_apt(work: Path, suite: str | None) -> list[str]:
    """Options that make apt read `sources` and write nowhere but in `work`; no root needed."""
    for folder in ("sources", "lists/partial", "cache/archives/partial"):
        (work / folder).mkdir(parents=True)
    copies = 0
    for path in [APT / "sources.list", *sorted((APT / "sources.list.d").glob("*"))]:
        if path.suffix in (".list", ".sources") and path.is_file():
            text = _with_non_free(path.read_text("utf-8"), suite, deb822=path.suffix == ".sources")
            (work / "sources" / path.name).write_text(text, "utf-8")
            copies += bool(text.strip())
    if not copies:
        raise FetchError(f"no Debian mirror is configured in {APT}")
    options = {
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": str(work / "sources"),
        "Dir::State::Lists": str(work / "lists"),
        "Dir::Cache": str(work / "cache"),
        "Acquire::Languages": "none",
        "Acquire::Retries": "1",
        "Acquire::http::Timeout": "20",
        "APT::Update::Error-Mode": "any",
        # As root apt would fetch as the user _apt, who may not write here.
        "APT::Sandbox::User": "root",
    }
    return [word for key, value in options.items() for word in ("-o", f"{key}={value}")]


def _with_non_free(text: str, suite: str | None, *, deb822: bool) -> str:
    """The sources of a Debian mirror with their components replaced by non-free; others are left out. With a
    suite, the mirror's main archive has that one alone."""
    archive = "debian/?" if suite else r"debian\S*"
    if deb822:
        stanzas = [s for s in re.split(r"\n\s*\n", text) if re.search(rf"^URIs:.*{archive}\s*$", s, re.M)]
        replaced = {"Components": COMPONENTS} | ({"Suites": suite} if suite else {})
        for key, value in replaced.items():
            stanzas = [re.sub(rf"^{key}:.*$", f"{key}: {value}", s, flags=re.M) for s in stanzas]
        return "\n\n".join(stanzas)
    lines = re.findall(rf"^deb (?:\[[^]]*\] )?\S*{archive} \S+ .*$", text, re.M)
    there = f"{suite} {COMPONENTS}" if suite else rf"\2 {COMPONENTS}"
    return "".join(
        dict.fromkeys(re.sub(rf"({archive}) (\S+) .*", rf"\1 {there}", line) + "\n" for line in lines)
    )


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | {"LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=NETWORK_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"{command[0]} took longer than {NETWORK_TIMEOUT_S} s") from error
    if done.returncode != 0:
        complaints = [line for line in done.stderr.splitlines() if line.startswith(("E:", "W:", "dpkg"))]
        raise FetchError(complaints[0] if complaints else f"{command[0]} ended with code {done.returncode}")


@contextmanager
def _alone() -> Iterator[None]:
    """One fetch at a time: others wait and then find it done."""
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    with (FOLDER.parent / "nvidia.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    main()
