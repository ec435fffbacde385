"""A report of a results folder, made anew."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from experiments.base.paths import ROOT
from tests.chaos.drawn import Target
from tests.chaos.scenes.scene import Scene
from tests.chaos.stage import PYTHON, Stage

PUBLISHED = ROOT / "results" / "published" / "cpu-epyc-2-cores"
MADE = ("report.html", "report.md", "report.png", "summary.csv")


@dataclass(frozen=True, slots=True)
class Reporting(Scene):
    """Its results are published ones: they may not change."""

    weight: int = 1

    @property
    def target(self) -> Target:
        return Target("report", (), weight=self.weight)

    def environment(self, stage: Stage) -> dict[str, str]:
        if not stage.out.exists():
            shutil.copytree(PUBLISHED, stage.out, ignore=shutil.ignore_patterns(*MADE, "figures", "advice"))
        return stage.environment()

    def begins(self, stage: Stage) -> Sequence[str]:
        return [PYTHON, "-m", "mps.report", str(stage.out)]

    def goes_on(self, stage: Stage) -> Sequence[Sequence[str]]:
        return [self.begins(stage)]

    def complaints(self, stage: Stage) -> list[str]:
        missing = [f"no {name}" for name in ("report.html", "report.md") if not (stage.out / name).exists()]
        names = ("trials.jsonl", "plan.json", "environment.json", "ceilings.json")
        changed = [
            f"{name} has changed"
            for name in names
            if (stage.out / name).read_bytes() != (PUBLISHED / name).read_bytes()
        ]
        return missing + changed
