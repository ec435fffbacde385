"""Which harm a kill does, to what and when: a function of the campaign's seed and the kill's number."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import count, islice
from random import Random

PROGRAM = "program"
FRONTEND = "frontend"
WORKER = "worker"
SAMPLER = "sampler"
GENERATOR = "load generator"
DAEMON = "daemon"

SIGNALS = {"SIGKILL": 9, "SIGTERM": 4, "SIGINT": 4, "SIGSTOP": 3}
SHORTAGES = {
    "results disk": 1,
    "temporary disk": 1,
    "file size": 1,
    "descriptors": 1,
    "memory": 1,
    "ports": 1,
}
DAMAGES = {"torn line": 2, "cut results": 2, "a zero byte": 1, "cut requests": 1, "cut environment": 1}
"""Of the files of a results folder, after a SIGKILL. The numbers are how often each is drawn."""

KINDS = {"signal": 12, "shortage": 3, "damage": 2}
TWICE = 0.25  # of the kills go on to a second one, of the run that goes on
IMPATIENT = 0.3  # of the Ctrl-C and SIGTERM come twice
LONGEST_PAUSE_S = 1.5
LONGEST_IMPATIENCE_S = 0.4
LONGEST_AFTER_TRIAL_S = 0.03


@dataclass(frozen=True, slots=True)
class Target:
    """What can be harmed: a scene, its processes by role, and how much of a results folder it has."""

    scene: str
    roles: tuple[str, ...]
    trials: int = 0
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Kill:
    """One harm. `at` is its moment as a share of the CPU time that the undisturbed program takes; with
    `after_trials` it is `delay_s` after so many lines are on disk instead. `pause_s`: of a SIGSTOP.
    `again_s`: the same signal once more, so much later. `strikes` 2: the run that goes on is harmed as well.
    `detail` in [0, 1) is for what else there is to choose.
    """

    number: int
    scene: str
    harm: str
    role: str
    at: float
    after_trials: int | None
    delay_s: float
    pause_s: float
    again_s: float | None
    strikes: int
    detail: float


def draw(seed: int, number: int, targets: Sequence[Target]) -> Kill:
    """The kill with that number, whichever others there are. `targets` are the scenes that can be played."""
    random = Random(f"{seed}-{number}")
    target = random.choices(targets, [each.weight for each in targets])[0]
    kinds = KINDS if target.trials else {"signal": 4, "shortage": 1}
    kind = _one_of(random, kinds)
    harm = _one_of(random, {"signal": SIGNALS, "shortage": SHORTAGES, "damage": DAMAGES}[kind])
    role = random.choice((PROGRAM, *target.roles)) if kind == "signal" else PROGRAM
    soon_after = target.trials > 0 and random.random() < 0.4
    return Kill(
        number=number,
        scene=target.scene,
        harm=harm,
        role=role,
        at=random.random(),
        after_trials=random.randrange(1, target.trials + 1) if soon_after else None,
        delay_s=random.random() * LONGEST_AFTER_TRIAL_S,
        pause_s=0.1 + random.random() * LONGEST_PAUSE_S,
        again_s=_impatience_s(random) if harm in ("SIGTERM", "SIGINT") and role == PROGRAM else None,
        strikes=2 if random.random() < TWICE else 1,
        detail=random.random(),
    )


def drawn(
    seed: int, which: int | Iterable[int], targets: Sequence[Target], scenes: Collection[str]
) -> list[Kill]:
    """The first so many kills of these scenes, or of these numbers those that are of them."""
    numbers = count(1) if isinstance(which, int) else which
    kills = (kill for number in numbers if (kill := draw(seed, number, targets)).scene in scenes)
    return list(islice(kills, which) if isinstance(which, int) else kills)


def numbers_in(told: str) -> list[int]:
    """`14,44-46` is 14, 44, 45, 46. Raises ValueError where it is something else."""
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", told):
        raise ValueError(f"{told}: numbers are told as in 14,44-54")
    ends = [[int(end) for end in part.split("-")] for part in told.split(",")]
    return [number for part in ends for number in range(part[0], part[-1] + 1)]


def _one_of(random: Random, weighted: dict[str, int]) -> str:
    return random.choices(list(weighted), list(weighted.values()))[0]


def _impatience_s(random: Random) -> float | None:
    return random.random() * LONGEST_IMPATIENCE_S if random.random() < IMPATIENT else None
