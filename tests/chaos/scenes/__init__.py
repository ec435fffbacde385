"""What is played: a program, how it goes on after a kill, and what of it may not be lost."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tests.chaos.drawn import Target
from tests.chaos.scenes.placing import Placing
from tests.chaos.scenes.reporting import Reporting
from tests.chaos.scenes.serving import Serving
from tests.chaos.scenes.sweeps import Sweep, SweepOnACard
from tests.chaos.stage import Stage
from tests.support.small_archives import NOOP, SLEEPS, archive


class Scene(Protocol):
    """A kind of program. All paths are those of the stage."""

    @property
    def target(self) -> Target:
        """What of it can be harmed."""
        ...

    @property
    def ends_by_itself(self) -> bool:
        """Whether nothing runs any more once its command has ended."""
        ...

    def cwd(self, stage: Stage) -> Path:
        """The folder that its commands are called in."""
        ...

    def environment(self, stage: Stage) -> dict[str, str]:
        """For all of its programs; puts down what they need."""
        ...

    def begins(self, stage: Stage) -> Sequence[str]:
        """The command that is harmed."""
        ...

    def goes_on(self, stage: Stage) -> Sequence[Sequence[str]]:
        """The commands that bring it to its end after that, the last of which ends with 0."""
        ...

    def complaints(self, stage: Stage) -> list[str]:
        """What is not as it should be in the end, beside trials."""
        ...


ALL: tuple[Scene, ...] = (
    Sweep("sweep", ("--batch-size", "4", "--concurrency", "1,4", "--runs", "2"), trials=4, weight=6),
    Sweep(
        "sweep by two clients", ("--batch-size", "1", "--runs", "2", "--processes", "2"), trials=2, weight=3
    ),
    SweepOnACard(weight=4),
    Reporting(weight=1),
    Serving(weight=2),
    Placing(weight=1),
)
SCENES: Mapping[str, Scene] = {each.target.scene: each for each in ALL}


def prepare(shared: Path, scenes: Sequence[str]) -> None:
    """Makes what all kills of these scenes share: archives, inputs, a folder to report of."""
    (shared / "input.txt").write_text("hello", "utf-8")
    archive(shared, "small", SLEEPS)
    archive(shared, "noop", NOOP)
    if "place" in scenes:
        from handlers.archive.archives import build  # they take seconds to import
        from tests.support.checkpoints import tiny_bert

        build("text", tiny_bert(shared / "tiny-text"), shared, name="words", trial=False)
