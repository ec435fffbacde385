"""An archive needs neither this repository nor any path to it."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from handlers.archive.archives import NAMES, Kind, build
from tests.support.checkpoints import tiny_bert, tiny_encoder, tiny_resnet

CHECKPOINTS: dict[Kind, Callable[[Path], Path]] = {
    "text": tiny_bert,
    "image": tiny_resnet,
    "embedding": tiny_encoder,
}

LOAD = """
import sys
from ts.model_loader import TsModelLoader
TsModelLoader().load(sys.argv[1], ".", sys.argv[1] + ".py", None, 8)
print(sys.modules["handlers"].__file__)
"""


@pytest.mark.integration
@pytest.mark.parametrize(("kind", "name"), NAMES.items())
def test_torchserves_loader_finds_everything_in_the_archive(tmp_path: Path, kind: Kind, name: str) -> None:
    archive = build(kind, CHECKPOINTS[kind](tmp_path / "checkpoint"), tmp_path / "store")
    with zipfile.ZipFile(archive) as mar:
        mar.extractall(tmp_path / "served")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, name],
        cwd=tmp_path / "served",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded_from = Path(done.stdout.splitlines()[-1])
    assert loaded_from.resolve() == (tmp_path / "served/handlers/__init__.py").resolve()
