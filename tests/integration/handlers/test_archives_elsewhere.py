"""An archive needs neither this repository nor any path to it."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from handlers.archive.archives import NAMES, Kind, build
from tests.support.checkpoints import tiny_bert, tiny_encoder, tiny_resnet
from tests.support.forked_trials import forked_trials

CHECKPOINTS: dict[Kind, Callable[[Path], Path]] = {
    "text": tiny_bert,
    "image": tiny_resnet,
    "embedding": tiny_encoder,
}

# In the folder of each archive, named by an argument, in a process of its own. What takes long to import, and
# is not the archive's, is imported once, before these processes part.
LOAD = """
import json, os, sys
from pathlib import Path
from transformers import AutoModelForImageClassification, AutoModelForSequenceClassification, AutoTokenizer
from ts.model_loader import TsModelLoader

for name in sys.argv[1:]:
    if os.fork() == 0:
        os.chdir(name)
        TsModelLoader().load(name, ".", name + ".py", None, 8)
        Path("loaded.json").write_text(json.dumps(sys.modules["handlers"].__file__))
        os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the unpacked archive of each kind, once TorchServe's loader was at all of them."""
    folder = tmp_path_factory.mktemp("served")
    for kind, name in NAMES.items():
        with forked_trials():
            archive = build(kind, CHECKPOINTS[kind](folder / f"{name}-checkpoint"), folder)
        with zipfile.ZipFile(archive) as mar:
            mar.extractall(folder / name)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-c", LOAD, *NAMES.values()]
    with (folder / "stderr").open("w") as stderr:
        subprocess.run(command, cwd=folder, env=environment, stderr=stderr, check=True)
    return folder


@pytest.mark.wide
@pytest.mark.integration
@pytest.mark.parametrize("name", NAMES.values())
def test_torchserves_loader_finds_everything_in_the_archive(served: Path, name: str) -> None:
    assert (served / name / "loaded.json").exists(), (served / "stderr").read_text()
    loaded_from = Path(json.loads((served / name / "loaded.json").read_text()))
    assert loaded_from.resolve() == (served / name / "handlers/__init__.py").resolve()
