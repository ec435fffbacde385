"""Whether TorchServe can work in a temporary folder, and that it is our own."""

import os
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from experiments.base.errors import UsageError
from experiments.serving.instances import FOLDER_NAME
from experiments.serving.temporary import private_folder, temporary_folder


def with_tmpdir(monkeypatch: pytest.MonkeyPatch, folder: Path | str) -> None:
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)


def test_the_usual_one_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_tmpdir(monkeypatch, tmp_path)
    assert temporary_folder("name", need_bytes=1) == tmp_path
    assert list(tmp_path.iterdir()) == []
    monkeypatch.delenv("TMPDIR")
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert temporary_folder(FOLDER_NAME, need_bytes=1) == Path(tempfile.gettempdir())


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("/not/there", "No such file"),
        ("/etc/passwd", "Not a directory"),
        ("/proc", "No such file|not permitted|denied"),
    ],
)
def test_one_that_cannot_be_written_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch, folder: str, why: str
) -> None:
    with_tmpdir(monkeypatch, folder)
    with pytest.raises(UsageError, match=rf"can't write to TMPDIR {folder} \(.*({why}).*\): set TMPDIR to"):
        temporary_folder("name")


def test_one_that_is_too_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_tmpdir(monkeypatch, tmp_path)
    with pytest.raises(UsageError, match=r"has \d+ MiB free, \d+ are needed: set TMPDIR to another folder"):
        temporary_folder("name", need_bytes=2**60)


def test_one_whose_path_leaves_no_room_for_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest that is taken is one in which a worker's socket can be bound."""
    longest = 107 - len(f"/{FOLDER_NAME}/.ts.sock.65535")
    fits = tmp_path / ("x" * (longest - len(str(tmp_path)) - 1))
    too_long = fits.with_name(fits.name + "x")
    for folder in (fits, too_long):
        folder.mkdir()
    with_tmpdir(monkeypatch, fits)
    assert temporary_folder(FOLDER_NAME, need_bytes=1) == fits
    (fits / FOLDER_NAME).mkdir()
    with socket.socket(socket.AF_UNIX) as worker:
        worker.bind(f"{fits}/{FOLDER_NAME}/.ts.sock.65535")
    with_tmpdir(monkeypatch, too_long)
    with pytest.raises(UsageError, match="is 1 characters too long for the sockets of TorchServe's workers"):
        temporary_folder(FOLDER_NAME, need_bytes=1)


def test_a_private_folder_is_for_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_tmpdir(monkeypatch, tmp_path)
    monkeypatch.delenv("HOME", raising=False)
    own = private_folder("torchserve", need_bytes=1)
    assert own == tmp_path / f"torchserve-{os.getuid()}"
    own.chmod(0o777)
    assert private_folder("torchserve", need_bytes=1) == own
    assert stat.S_IMODE(own.stat().st_mode) == 0o700


@pytest.mark.parametrize("kind", ["link", "file", "another user's"])
def test_what_somebody_else_put_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    with_tmpdir(monkeypatch, tmp_path)
    own = tmp_path / f"torchserve-{os.getuid()}"
    if kind == "link":
        own.symlink_to(tmp_path)
    elif kind == "file":
        own.touch()
    else:
        own.mkdir()
        uid = os.getuid()
        monkeypatch.setattr("os.getuid", lambda: uid + 1)
        own.rename(tmp_path / f"torchserve-{uid + 1}")
    with pytest.raises(UsageError, match="is not a folder of your own: remove it, or set TMPDIR"):
        private_folder("torchserve", need_bytes=1)
