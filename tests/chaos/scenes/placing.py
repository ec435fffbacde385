"""A placement of two small models on this machine's cores, served and measured."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos.drawn import FRONTEND, PROGRAM, WORKER, Target
from tests.chaos.scenes.scene import Scene
from tests.chaos.stage import PYTHON, Stage


@dataclass(frozen=True, slots=True)
class Placing(Scene):
    """Nothing of it can be gone on with: its folder is removed, as it says, and it begins anew."""

    weight: int = 1

    @property
    def target(self) -> Target:
        # Twice the program: no sampler runs here, which was in its place when kills were first played.
        return Target("place", (FRONTEND, WORKER, PROGRAM), weight=self.weight)

    def environment(self, stage: Stage) -> dict[str, str]:
        share = 100 // len(os.sched_getaffinity(0))
        rows = [f"words,{share},{batch},{5 * batch}\n" for batch in (1, 2)]
        (stage.folder / "profile.csv").write_text("model,percent,batch,latency_ms\n" + "".join(rows), "utf-8")
        words = f"{{model: {stage.shared}/words.mar, rate_rps: 20, slo_ms: 200}}"
        (stage.folder / "demand.yaml").write_text(f"models:\n  - {words}\n", "utf-8")
        return stage.environment()

    def begins(self, stage: Stage) -> Sequence[str]:
        asked = [str(stage.folder / "demand.yaml"), "--profile", str(stage.folder / "profile.csv")]
        run = ["--run", "--seconds", "1", "--warm-up", "0.3", "--device", "cpu", "--out", str(stage.out)]
        return [PYTHON, "-m", "tests.chaos.programs.placed_quickly", *asked, *run]

    def goes_on(self, stage: Stage) -> Sequence[Sequence[str]]:
        return [["rm", "-rf", str(stage.out)], self.begins(stage)]

    def complaints(self, stage: Stage) -> list[str]:
        try:
            proof = json.loads((stage.out / "measured.json").read_text("utf-8"))
        except (OSError, ValueError) as error:
            return [f"measured.json: {error}"]
        return [] if proof["measured"] else ["measured.json holds nothing"]
