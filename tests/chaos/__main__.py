"""Kills programs of this project at random moments, brings each to its end, and counts what that cost.

The same seed and number are the same kill: `python -m tests.chaos --seed 1 --numbers 17`. With --log each
story is kept as it ends, and the same command goes on with what is left. The last line is JSON: `kills`, and
how many trials were `lost` or `doubled`, things `left_behind`, and programs `failed`.
"""

import argparse
import ctypes
import json
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from experiments.base.errors import INTERRUPTED, UsageError
from tests.chaos.course import Usual, play_until_struck, undisturbed
from tests.chaos.drawn import Kill, drawn, numbers_in
from tests.chaos.harms import room
from tests.chaos.harms.strike import can_be_done
from tests.chaos.log import Log
from tests.chaos.scenes import SCENES, prepare
from tests.chaos.story import Story, counted
from tests.support import shared_classes

DIES_WITH_PARENT = 1  # of <sys/prctl.h>
_own_room = False
_over = False
_campaign = os.getpid()


def main() -> int:
    """Plays the campaign; 1 where a kill cost something, 2 where a scene does not work undisturbed."""
    # A shell's `&` has Ctrl-C ignored, and so would all that we start. SIGTERM clears the stages as well.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    options = _options()
    stories: list[Story] = []
    try:
        log = Log(options.log, options.seed) if options.log else None
        for story in _played(options, log.good() if log else set()):
            print(story.line(), flush=True)
            if log:
                log.add(story)
            stories.append(story)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; with --log the same command goes on with what is left", file=sys.stderr)
        return INTERRUPTED
    print(json.dumps(counted(stories)))
    wrong = [story.number for story in stories if not story.good]
    return 2 if 0 in wrong else 1 if wrong else 0


def _played(options: argparse.Namespace, done: set[int]) -> Iterator[Story]:
    """The scenes' stories undisturbed; then those of the kills, as they end, where that came to its end."""
    targets = [each.target for each in SCENES.values()]
    kills = drawn(options.seed, options.numbers or options.kills, targets, options.scene or SCENES)
    kills = [kill for kill in kills if kill.number not in done]
    names = sorted({kill.scene for kill in kills})
    shared_classes.make()
    with tempfile.TemporaryDirectory(prefix="chaos-", dir="/tmp") as folder, _pool(options.jobs) as pool:
        shared = Path(folder)
        prepare(shared, names)
        usual: dict[str, Usual] = {}
        for found, story in pool.map(partial(_undisturbed, shared=shared), names):
            yield story
            if story.good:
                usual[story.scene] = found
        playable = [(kill, usual[kill.scene]) for kill in kills if kill.scene in usual]
        for ended in as_completed(pool.submit(_play, *each, shared) for each in playable):
            if (story := ended.result()) is not None:
                yield story


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
    """A killed campaign takes its processes with it, as Ctrl-C does: each clears its stage first."""
    global _own_room
    ctypes.CDLL(None).prctl(DIES_WITH_PARENT, signal.SIGINT)
    _own_room = room.enter()


def _undisturbed(name: str, shared: Path) -> tuple[Usual, Story]:
    with _unless_over():
        return undisturbed(name, shared, own_room=_own_room)


def _play(kill: Kill, usual: Usual, shared: Path) -> Story | None:
    """None where this machine does not let us."""
    if not can_be_done(kill, own_room=_own_room):
        return None
    with _unless_over():
        return play_until_struck(kill, usual, shared, own_room=_own_room)


@contextmanager
def _unless_over() -> Iterator[None]:
    """What the pool still has to play once it was interrupted isn't begun."""
    global _over
    if _over:
        raise KeyboardInterrupt
    try:
        yield
    except KeyboardInterrupt:
        _over = True
        if os.getppid() != _campaign:
            os._exit(INTERRUPTED)  # else it would wait for a dead campaign's next one
        raise


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="how many, from number 1 on (100)")
    parser.add_argument("--numbers", type=numbers_in, help="these in place of --kills: 14,44-54")
    parser.add_argument("--seed", type=int, default=1, help="which kills are drawn (1)")
    parser.add_argument("--scene", choices=tuple(SCENES), action="append", help="these scenes alone (all)")
    parser.add_argument("--jobs", type=int, default=2, help="kills at a time (2)")
    parser.add_argument(
        "--log", type=Path, help="a file of this seed's stories; what is good there isn't played"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
