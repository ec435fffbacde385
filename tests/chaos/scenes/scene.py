"""What each kind of program says of itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from experiments.base.paths import ROOT
from tests.chaos.drawn import Target
from tests.chaos.stage import Stage


class Scene(Protocol):
    """A kind of program, in the foreground if it doesn't say otherwise. All paths are those of the stage."""

    @property
    def target(self) -> Target:
        """What of it can be harmed."""
        ...

    @property
    def ends_by_itself(self) -> bool:
        """Whether nothing runs any more once its command has ended."""
        return True

    def cwd(self, stage: Stage) -> Path:
        """The folder that its commands are called in."""
        return ROOT

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
