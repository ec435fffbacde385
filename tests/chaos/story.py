"""How a kill went: what is counted, and the line that is kept of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

AS_UNDISTURBED = "as undisturbed"


@dataclass(slots=True)
class Story:
    """`struck`: how often harm was done in time; `did`: what, a part for each strike. `tries`: how often it
    was played until its harm came in time. Lists are empty where all went well.

    `failed`: a program that ended with a traceback, never ended, or did not come to its end when it went on.
    """

    number: int
    scene: str
    struck: int = 0
    tries: int = 1
    did: list[str] = field(default_factory=list)
    kept: int = 0
    resumed: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    left_behind: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    took_s: float = 0.0

    @property
    def good(self) -> bool:
        """Whether nothing was lost, doubled or left behind, and no program failed."""
        return not (self.lost or self.doubled or self.left_behind or self.failed)

    def line(self) -> str:
        """One line, whatever it holds."""
        what = "; ".join(self.did) or "nothing"
        told = f"{self.number:4} {self.scene}: {what}; {self.kept} kept, resumed {self.resumed}x"
        told += f", try {self.tries}" if self.tries > 1 else ""
        verdicts = (
            ("LOST", self.lost),
            ("DOUBLED", self.doubled),
            ("LEFT", self.left_behind),
            ("FAILED", self.failed),
        )
        wrong = [f"{name} {' | '.join(found)}" for name, found in verdicts if found]
        right = AS_UNDISTURBED if self.struck or not self.number else "never struck"
        return " ".join(f"{told}: {'; '.join(wrong) or right} ({self.took_s:.1f} s)".split())


def counted(stories: Sequence[Story]) -> dict[str, int]:
    """The sums over all kills, for the last line."""
    return {
        "kills": sum(bool(each.struck) for each in stories),
        "lost": sum(len(each.lost) for each in stories),
        "doubled": sum(len(each.doubled) for each in stories),
        "left_behind": sum(len(each.left_behind) for each in stories),
        "failed": sum(len(each.failed) for each in stories),
    }
