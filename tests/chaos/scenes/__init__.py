"""What is played: a program, how it goes on after a kill, and what of it may not be lost."""

import shutil
from collections.abc import Mapping, Sequence
from compileall import compile_dir
from importlib.util import find_spec
from pathlib import Path

from experiments.base.paths import ROOT
from tests.chaos.scenes.placing import Placing
from tests.chaos.scenes.reporting import Reporting
from tests.chaos.scenes.scene import Scene
from tests.chaos.scenes.serving import Serving
from tests.chaos.scenes.sweeps import FEW, Sweep, SweepOnACard
from tests.support.small_archives import NOOP, SLEEPS, archive

ALL: tuple[Scene, ...] = (
    Sweep("sweep", ("--batch-size", "4", "--concurrency", "1,4", "--runs", "2", *FEW), trials=4, weight=6),
    Sweep(
        "sweep by two clients",
        ("--batch-size", "1", "--runs", "2", "--processes", "2", "--duration", "1"),
        trials=2,
        weight=3,
    ),
    SweepOnACard(weight=4),
    Reporting(weight=1),
    Serving(weight=2),
    Placing(weight=1),
)
SCENES: Mapping[str, Scene] = {each.target.scene: each for each in ALL}


def prepare(shared: Path, scenes: Sequence[str]) -> None:
    """Makes what all kills of these scenes share: compiled modules, a light torch, archives, inputs."""
    for name in ("experiments", "handlers", "mps", "scripts", "tests"):
        compile_dir(ROOT / name, quiet=1)
    _make_light_torch(shared / "light" / "torch")
    (shared / "input.txt").write_text("hello", "utf-8")
    archive(shared, "small", SLEEPS)
    archive(shared, "noop", NOOP)
    if "place" in scenes:
        from handlers.archive.archives import build  # they take seconds to import
        from tests.support.checkpoints import tiny_bert

        build("text", tiny_bert(shared / "tiny-text"), shared, name="words", trial=False)


def _make_light_torch(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("class Tensor: ...\n", "utf-8")
    spec = find_spec("torch")
    assert spec
    assert spec.origin
    shutil.copy(Path(spec.origin).with_name("version.py"), folder)
