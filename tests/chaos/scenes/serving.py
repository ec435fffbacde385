"""`torchserve --start --mps` in the background: after a kill it is stopped, started again, asked, stopped."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.serving.under_mps import COMMAND
from tests.chaos.drawn import DAEMON, FRONTEND, WORKER, Target
from tests.chaos.scenes.scene import Scene
from tests.chaos.scenes.sweeps import changed_mode, on_a_card
from tests.chaos.stage import PYTHON, Stage
from tests.support.served_folder import a_folder

STARTS = (PYTHON, "-m", "tests.chaos.programs.on_a_card", "mps.torchserve", "--start", "--mps", "--ncs")
SERVED = ("--models", "noop=noop.mar", "--ts-config", "config.properties")


@dataclass(frozen=True, slots=True)
class Serving(Scene):
    """What keeps its daemon is the program itself, gone on in the background."""

    weight: int = 1

    @property
    def target(self) -> Target:
        return Target("serve with MPS", (FRONTEND, WORKER, DAEMON), weight=self.weight)

    @property
    def ends_by_itself(self) -> bool:
        return False

    def cwd(self, stage: Stage) -> Path:
        return stage.out

    def environment(self, stage: Stage) -> dict[str, str]:
        if not stage.out.exists():
            stage.out.mkdir(parents=True)
            a_folder(stage.out)
        return on_a_card(stage)

    def begins(self, stage: Stage) -> Sequence[str]:
        return [*STARTS, *SERVED]

    def goes_on(self, stage: Stage) -> Sequence[Sequence[str]]:
        asks = [PYTHON, "-m", "tests.chaos.programs.asks", str(stage.out)]
        stops = [*COMMAND, "--stop"]
        return [stops, self.begins(stage), asks, stops]

    def complaints(self, stage: Stage) -> list[str]:
        return changed_mode(stage)
