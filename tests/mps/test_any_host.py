"""The doors on hosts of all kinds: odd paths, other locales, temporary folders that will not do."""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from experiments.base.paths import ROOT
from experiments.results import read
from experiments.verdict import judge
from experiments.verdict.sentence import banners
from mps.run import app
from tests.support.report_folders import a_folder
from tests.support.small_archives import NOOP, archive

ODD = "out [v2] d'été"


def refused(folder: Path) -> str:
    """The one line in which `mps.run` ends before it measures anything."""
    noop, text = archive(folder, "noop", NOOP), folder / "input.txt"
    text.write_text("hello")
    out = folder / "out"
    result = CliRunner().invoke(app, ["--model", str(noop), "--input", str(text), "--out", str(out)])
    assert result.exit_code == 2, result.output
    assert not out.exists()
    (line,) = result.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    ("name", "said"), [("not there", "can't write to TMPDIR"), ("x" * 100, "too long for the sockets")]
)
def test_a_temporary_folder_that_will_not_do_is_said_before_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    if "x" in name:
        (tmp_path / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / name))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert said in refused(tmp_path)


def test_a_temporary_folder_that_is_too_small_is_said_before_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=16 * 2**20))
    assert "has 16 MiB free, 64 are needed: set TMPDIR to another folder" in refused(tmp_path)


def test_a_module_of_the_users_that_a_worker_would_take_for_the_archives_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "service.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "theirs"))
    assert "would be taken for the service of noop.mar" in refused(tmp_path)


def test_the_command_to_go_on_with_can_be_pasted(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / ODD, trials=3)
    (line,) = (each for each in banners(judge(read(folder))) if "Go on with" in each)
    words = shlex.split(line.partition("Go on with ")[2])
    assert words == ["python", "-m", "mps.run", "--resume", str(folder)]


@pytest.mark.thorough
def test_a_report_below_an_odd_path_in_another_locale_without_a_home(tmp_path: Path) -> None:
    """In the C locale Python opens files as ASCII; in any, a console may be of another encoding."""
    folder = a_folder(tmp_path / ODD)
    environment = {key: value for key, value in os.environ.items() if key != "HOME"}
    environment |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "iso-8859-1"}
    command = [sys.executable, "-m", "mps.report", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    assert b"out [v2] d'" in done.stdout
    assert "été" in (folder / "report.html").read_text("utf-8")


@pytest.mark.thorough
def test_packages_of_the_users_that_are_named_as_ours_are_not_imported(tmp_path: Path) -> None:
    for name in ("handlers", "experiments", "mps"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('theirs')")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "experiments.load", "--help"]
    subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=60, check=True)
    script = [sys.executable, str(ROOT / "scripts" / "torchserve.py"), "--version"]
    done = subprocess.run(script, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == "TorchServe Version is 0.12.0\n", done.stderr
