"""Sweeps of a handler that sleeps, of seconds: on this machine's cores, and in both arms on a stand-in."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.base.paths import ROOT
from scripts.fetch_mps import fetch
from tests.chaos.drawn import DAEMON, FRONTEND, GENERATOR, SAMPLER, WORKER, Target
from tests.chaos.scenes.scene import Scene
from tests.chaos.stage import PYTHON, Stage
from tests.stand_ins import FOLDER, VARIABLE, a_card, facts_of

TINY = ("--workers", "1", "--warm-up", "0.1", "--no-noise-floor", "--no-ceilings")
FEW = ("--requests", "20")  # however long a busy machine takes; two clients need a duration


@dataclass(frozen=True, slots=True)
class Sweep(Scene):
    """`trials` are those of its plan."""

    name: str
    options: tuple[str, ...]
    trials: int
    weight: int = 1
    door: tuple[str, ...] = (PYTHON, "-m", "tests.chaos.programs.on_a_busy_machine", "mps.run")

    @property
    def target(self) -> Target:
        generators = (GENERATOR,) if "--processes" in self.options else ()
        return Target(self.name, (FRONTEND, WORKER, SAMPLER, *generators), self.trials, self.weight)

    def environment(self, stage: Stage) -> dict[str, str]:
        return stage.environment(PYTHONPATH=stage.light)

    def begins(self, stage: Stage) -> Sequence[str]:
        model, text = stage.shared / "small.mar", stage.shared / "input.txt"
        out = ("--model", str(model), "--input", str(text), "--out", str(stage.out))
        return [*self.door, *out, *TINY, *self.options]

    def goes_on(self, stage: Stage) -> Sequence[Sequence[str]]:
        begun = (stage.out / "plan.json").exists()
        return [[*self.door, "--resume", str(stage.out)] if begun else self.begins(stage)]

    def complaints(self, stage: Stage) -> list[str]:
        made = ("summary.csv", "report.html", "report.md")
        return [f"no {name}" for name in made if not (stage.out / name).exists()]


@dataclass(frozen=True, slots=True)
class SweepOnACard(Sweep):
    """Without and with MPS, under NVIDIA's own control daemon."""

    name: str = "sweep with MPS"
    options: tuple[str, ...] = ("--batch-size", "4", "--runs", "2", "--with-mps", *FEW)
    trials: int = 4
    door: tuple[str, ...] = (PYTHON, "-m", "tests.chaos.programs.on_a_card", "mps.run")

    @property
    def target(self) -> Target:
        return Target(self.name, (FRONTEND, WORKER, SAMPLER, DAEMON), self.trials, self.weight)

    def environment(self, stage: Stage) -> dict[str, str]:
        return on_a_card(stage)

    def complaints(self, stage: Stage) -> list[str]:
        return [*Sweep.complaints(self, stage), *changed_mode(stage)]


def on_a_card(stage: Stage) -> dict[str, str]:
    """The environment of a machine with NVIDIA's programs and a stand-in card, which is made where there is
    none. Raises FetchError where the programs can't be had."""
    programs = fetch()
    binaries = stage.folder / "bin"
    if not binaries.exists():
        binaries.mkdir()
        (binaries / "nvidia-smi").symlink_to(FOLDER / "nvidia-smi")
        (binaries / "python3").symlink_to(PYTHON)  # for nvidia-smi: a shim of pyenv takes four times as long
        (binaries / programs.control.name).symlink_to(programs.control)
        a_card(stage.card)
    path = os.pathsep.join([str(binaries), str(programs.control.parent), os.environ["PATH"]])
    modules = os.pathsep.join([stage.light, str(FOLDER), str(ROOT)])
    return stage.environment(**{"PATH": path, "PYTHONPATH": modules, VARIABLE: str(stage.card)})


def changed_mode(stage: Stage) -> list[str]:
    """Whether the compute mode of the card is another than it was."""
    mode = facts_of(stage.card)["compute_mode"] if Path(stage.card / "card.json").exists() else 0
    return [f"compute mode {mode}"] if mode else []
