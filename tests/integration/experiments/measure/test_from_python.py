"""The sweep from Python: three steps that hand values on, without a terminal, from any thread."""

import json
import runpy
import signal
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from experiments.results import read
from tests.support.small_archives import NOOP, archive

pytestmark = pytest.mark.integration

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def text_archive(folder: Path) -> Path:
    """An archive that says it takes texts, so that it is fed ours."""
    path = archive(folder, "noop", NOOP)
    with zipfile.ZipFile(path, "a") as mar:
        mar.writestr("provenance.json", json.dumps({"kind": "text"}))
    return path


def test_the_example_measures_judges_and_shows(
    tmp_path: Path, own_tmp: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "results"
    monkeypatch.setattr(sys, "argv", ["example", str(text_archive(tmp_path)), str(folder)])
    before = [signal.getsignal(number) for number in SIGNALS]
    with ThreadPoolExecutor(1) as thread:  # no signal handler can be set in there
        thread.submit(runpy.run_module, "examples.sweep_from_python", run_name="__main__").result()
    assert [signal.getsignal(number) for number in SIGNALS] == before
    printed = capsys.readouterr().out
    assert printed.count("requests/s\n") == 9
    assert "Use batch size" in printed
    assert [trial.problems for trial in read(folder).trials] == [[]] * 9
    assert {"summary.csv", "report.html", "advice"} <= {path.name for path in folder.iterdir()}
    assert list(own_tmp.iterdir()) == []
