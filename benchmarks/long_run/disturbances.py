"""What is done to the server meanwhile: workers are killed, a model comes and goes, tokens are renewed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from benchmarks.long_run.answers import Model
from benchmarks.long_run.served import Served
from benchmarks.long_run.traffic import Killed, Tally, ask_once
from experiments.base.errors import ExperimentError

VISITOR = "visitor"
ASKED_OF_A_VISITOR = 20
SETTLED_S = 1.0  # an answer that failed is on its way until then


@dataclass(slots=True)
class Disturbed:
    """How often, and how long each took in seconds."""

    restarts_s: list[float] = field(default_factory=list)
    registrations_s: list[float] = field(default_factory=list)
    removals: int = 0
    renewals: int = 0


def kill_now_and_then(
    served: Served,
    models: Sequence[Model],
    every_s: float,
    killed: Killed,
    done: Disturbed,
    tally: Tally,
    stop: threading.Event,
) -> None:
    """Kills the worker of each model in turn, and waits until TorchServe has started another."""
    turn = 0
    while not stop.wait(every_s):
        name = models[turn % len(models)].name
        turn += 1
        try:
            with killed.span(name):
                begun_s = time.monotonic()
                old = [pid for pid in served.workers(name) if pid > 0]
                for pid in old:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                served.wait_for_workers(name, old)
                done.restarts_s.append(time.monotonic() - begun_s)
                time.sleep(SETTLED_S)
        except ExperimentError as error:
            tally.fail(f"a killed worker of {name}: {error}")


def come_and_go(
    served: Served, model: Model, every_s: float, done: Disturbed, tally: Tally, stop: threading.Event
) -> None:
    """Registers the archive of `model` under another name, asks it, and removes it again."""
    while not stop.wait(every_s):
        try:
            begun_s = time.monotonic()
            served.register(f"{model.name}.mar", VISITOR)
            done.registrations_s.append(time.monotonic() - begun_s)
            for number in range(ASKED_OF_A_VISITOR):
                ask_once(served, VISITOR, model, number, tally)
            served.unregister(VISITOR)
            done.removals += 1
        except ExperimentError as error:
            tally.fail(f"the model that comes and goes: {error}")


def renew_tokens(
    served: Served, every_s: float, done: Disturbed, tally: Tally, stop: threading.Event
) -> None:
    """Before they expire: in the shipped configuration that is an hour after they were made."""
    while not stop.wait(every_s):
        try:
            served.renew_tokens()
            done.renewals += 1
        except (ExperimentError, OSError, ValueError, KeyError) as error:
            tally.fail(f"tokens could not be renewed: {error}")
