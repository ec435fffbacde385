"""Kills programs of this project at random moments, brings each to its end, and counts what that cost.

The same seed and number are the same kill: `python -m tests.chaos --seed 1 --only 17`. The last line is JSON:
`kills`, and how many trials were `lost` or `doubled`, things `left_behind`, and programs `failed`.
"""

import argparse
import json
import multiprocessing
import signal
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.chaos.course import Usual, play_until_struck, undisturbed
from tests.chaos.drawn import Kill, draw
from tests.chaos.harms import room
from tests.chaos.harms.strike import can_be_done
from tests.chaos.scenes import SCENES, prepare
from tests.chaos.story import Story, counted
from tests.support import shared_classes

_own_room = False


def main() -> int:
    """Plays the campaign; 1 where a kill cost something, 2 where a scene does not work undisturbed."""
    options = _options()
    # A shell's `&` has Ctrl-C ignored, and so would all that we start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    targets = [SCENES[name].target for name in options.scene or SCENES]
    numbers = options.only or range(1, options.kills + 1)
    kills = [draw(options.seed, number, targets) for number in numbers]
    names = sorted({kill.scene for kill in kills})
    shared_classes.make()
    with tempfile.TemporaryDirectory(prefix="chaos-", dir="/tmp") as folder, _pool(options.jobs) as pool:
        shared = Path(folder)
        prepare(shared, names)
        usual: dict[str, Usual] = {}
        for found, story in pool.map(partial(_undisturbed, shared=shared), names):
            usual[story.scene] = found
            _tell(story, options.log)
            if not story.good:
                return 2
        stories = []
        for done in as_completed(pool.submit(_play, kill, usual[kill.scene], shared) for kill in kills):
            if (story := done.result()) is not None:
                stories.append(story)
                _tell(story, options.log)
    print(json.dumps(counted(stories)))
    return 0 if all(story.good for story in stories) else 1


@contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes, each in a room of its own where that can be had."""
    forked = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(jobs, mp_context=forked, initializer=_enter) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _enter() -> None:
    global _own_room
    _own_room = room.enter()


def _undisturbed(name: str, shared: Path) -> tuple[Usual, Story]:
    return undisturbed(name, shared, own_room=_own_room)


def _play(kill: Kill, usual: Usual, shared: Path) -> Story | None:
    """None where this machine does not let us."""
    if not can_be_done(kill, own_room=_own_room):
        return None
    return play_until_struck(kill, usual, shared, own_room=_own_room)


def _tell(story: Story, log: Path | None) -> None:
    print(story.line(), flush=True)
    if log:
        with log.open("a", encoding="utf-8") as file:
            file.write(story.line() + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="how many (100)")
    parser.add_argument("--seed", type=int, default=1, help="which kills are drawn (1)")
    parser.add_argument("--only", type=int, action="append", help="this kill alone; may be repeated")
    parser.add_argument("--scene", choices=tuple(SCENES), action="append", help="these scenes alone (all)")
    parser.add_argument("--jobs", type=int, default=2, help="kills at a time (2)")
    parser.add_argument("--log", type=Path, help="a file to add each kill's line to")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
