"""`python -m mps.series`: what it hands on to the sweeps."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mps.series import app


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--device", "tpu"], "--device is cpu or gpu, not 'tpu'"),
        (["--device", "cpu", "--gpu", "0"], "--device cpu and --gpu 0: give one of them"),
    ],
)
def test_the_device_is_that_of_every_sweep(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    (tmp_path / "one.yaml").write_text("runs: 1\n")
    done = CliRunner().invoke(app, [str(tmp_path), "--out", str(tmp_path / "out"), *options])
    assert done.exit_code == 1
    assert "one ended with exit code 2" in done.stderr
    assert said in capfd.readouterr().err
