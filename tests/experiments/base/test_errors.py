"""What a machine has run out of is said in a line; a mistake of ours stays one."""

import errno
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from experiments.base.errors import ExperimentError, shortage_behind, shortages_told, waited_out
from experiments.base.paths import ROOT


def test_a_full_disk_is_told_with_its_file() -> None:
    with (
        pytest.raises(ExperimentError, match=r"^the disk is full: make room$"),
        shortages_told(),
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        full.write(b"x")


LIMITED = """
import resource, socket, sys
from pathlib import Path
from experiments.base.errors import ExperimentError, shortage_behind, shortages_told, waited_out
which, most, code = sys.argv[1:]
resource.setrlimit(getattr(resource, which), (int(most), int(most)))
try:
    with shortages_told():
        exec(code)
except ExperimentError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("limit", "most", "code", "said"),
    [
        ("RLIMIT_NOFILE", 8, "[socket.socket() for _ in range(9)]", "too many files are open: raise"),
        ("RLIMIT_FSIZE", 10, "Path('large').write_text('x' * 11)", "a file would be larger than is allowed"),
        ("RLIMIT_AS", 2**28, "bytearray(2**29)", "no memory is left"),
    ],
)
def test_limits_are_told(tmp_path: Path, limit: str, most: int, code: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, limit, str(most), code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith(said), done.stderr


def test_a_mistake_of_ours_is_no_shortage() -> None:
    with pytest.raises(FileNotFoundError), shortages_told():
        Path("/nowhere/at/all").read_bytes()


def chain(*errors: BaseException) -> BaseException:
    """The last of them, which came of the one before, and so on."""
    for cause, error in pairwise(errors):
        error.__cause__ = cause
    return errors[-1]


def test_what_a_servers_silence_came_of_is_found() -> None:
    no_file, silence = (
        OSError(errno.EMFILE, "Too many open files"),
        ExperimentError("TorchServe did not answer"),
    )
    assert "too many files are open" in str(shortage_behind(chain(no_file, ConnectionError(), silence)))
    assert shortage_behind(ExceptionGroup("of sockets", [ValueError(), no_file]))
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    assert shortage_behind(chain(refused, ExperimentError("TorchServe did not answer"))) is None


def test_who_waits_for_an_answer_waits_no_longer_where_nothing_can_be_asked() -> None:
    with waited_out(ConnectionError):
        raise ConnectionRefusedError(errno.ECONNREFUSED, "not up yet")
    no_port = OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
    with pytest.raises(ExperimentError, match="no port is free: end what has"), waited_out(ConnectionError):
        raise chain(no_port, ConnectionError())
    with pytest.raises(ValueError, match="a mistake"), waited_out(ConnectionError):
        raise ValueError("a mistake of ours")
