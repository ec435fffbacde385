"""The machines: what each makes of a command's environment, and what is wanted of the two jobs there."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.cgroups import a_quota

NOBODY = 65534


class NotHereError(Exception):
    """This machine can't be made so; the message says why."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """How commands are called there: words before them, variables set, or taken away where None."""

    prefix: tuple[str, ...] = ()
    env: Mapping[str, str | None] = field(default_factory=dict)
    folder: str = "clone"  # the name of the clone's folder, below a temporary one


@dataclass(frozen=True, slots=True)
class Host:
    """A kind of machine. `refuses` are the words of the one line that the jobs end with there; by default
    they do their work."""

    name: str
    made: Callable[[Path], AbstractContextManager[Surroundings]]
    run_refuses: str = ""
    start_refuses: str = ""


@contextmanager
def as_it_is(_: Path) -> Iterator[Surroundings]:
    yield Surroundings()


def with_env(**env: str | None) -> Callable[[Path], AbstractContextManager[Surroundings]]:
    """A machine with these variables, or without those that are None."""

    @contextmanager
    def made(_: Path) -> Iterator[Surroundings]:
        yield Surroundings(env=env)

    return made


@contextmanager
def a_strange_path(_: Path) -> Iterator[Surroundings]:
    yield Surroundings(folder="my models [v2] d'été")


@contextmanager
def another_user(folder: Path) -> Iterator[Surroundings]:
    """Not the clone's owner; allowed to read all, since this Python may lie in the owner's home."""
    if os.getuid() != 0:
        raise NotHereError("only root may become somebody else")
    folder.chmod(0o777)
    may_read = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")
    user = ("setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", *may_read)
    yield Surroundings(user, {"HOME": "/nonexistent"})


@contextmanager
def latin_1(folder: Path) -> Iterator[Surroundings]:
    locales = folder / "locales"
    locales.mkdir()
    made = ["localedef", "-c", "-i", "POSIX", "-f", "ISO-8859-1", str(locales / "xx_XX.ISO-8859-1")]
    try:
        subprocess.run(made, capture_output=True, check=False)
    except OSError as error:
        raise NotHereError(f"no localedef: {error}") from error
    if not (locales / "xx_XX.ISO-8859-1").is_dir():
        raise NotHereError("localedef makes no locale here")
    yield Surroundings(env={"LOCPATH": str(locales), "LC_ALL": "xx_XX.ISO-8859-1", "PYTHONUTF8": "0"})


@contextmanager
def a_tiny_tmpdir(folder: Path) -> Iterator[Surroundings]:
    tiny = folder / "tiny"
    tiny.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(tiny)]
    if subprocess.run(mounted, capture_output=True, check=False).returncode != 0:
        raise NotHereError("nothing can be mounted")
    try:
        yield Surroundings(env={"TMPDIR": str(tiny)})
    finally:
        subprocess.run(["umount", "-l", str(tiny)], check=True)


@contextmanager
def a_long_tmpdir(folder: Path) -> Iterator[Surroundings]:
    long = folder / ("x" * (100 - len(str(folder)) - 1))
    long.mkdir()
    yield Surroundings(env={"TMPDIR": str(long)})


@contextmanager
def half_a_core(_: Path) -> Iterator[Surroundings]:
    try:
        with a_quota(0.5) as procs:
            inside = ("sh", "-c", 'echo $$ > "$0"; exec "$@"', str(procs))
            yield Surroundings(inside)
    except pytest.skip.Exception as error:
        raise NotHereError(str(error)) from error


@contextmanager
def packages_of_our_names(folder: Path) -> Iterator[Surroundings]:
    """On PYTHONPATH; each stops whoever imports it."""
    for name in ("handlers", "mps", "experiments"):
        (folder / "theirs" / name).mkdir(parents=True)
        (folder / "theirs" / name / "__init__.py").write_text("raise ImportError('not ours')\n", "utf-8")
    yield Surroundings(env={"PYTHONPATH": str(folder / "theirs")})


MISSING = tempfile.gettempdir() + "/not-there"
HOSTS = (
    Host("as it is", as_it_is),
    Host("a path with blanks, brackets and more", a_strange_path),
    Host("another user than the owner", another_user),
    Host("HOME unset", with_env(HOME=None)),
    Host("the C locale", with_env(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")),
    Host("an ISO-8859-1 locale", latin_1),
    Host("TMPDIR of 16 MB", a_tiny_tmpdir, "MiB free", "MiB free"),
    Host("TMPDIR of 100 characters", a_long_tmpdir, "too long", "too long"),
    Host(
        "TMPDIR that is not there", with_env(TMPDIR=MISSING), "can't write to TMPDIR", "can't write to TMPDIR"
    ),
    Host("half a core", half_a_core),
    Host("PYTHONPATH with handlers, mps, experiments", packages_of_our_names, "PYTHONPATH", "PYTHONPATH"),
)
