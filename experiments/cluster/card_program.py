"""The program on a card's machine: measures the cells that it is given, and hands over each trial at once.

`python -m experiments.cluster.card_program FD DEVICE`; FD is its end of a pipe to whoever started it
(program.py), DEVICE `cpu` or `gpu`. When that pipe ends, because the other side has ended or was killed, it
stops its servers and ends too.
"""

import platform
import shutil
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from experiments.base.errors import ExperimentError, UsageError
from experiments.checks import card_for, choose
from experiments.cluster.dealt import LoadSeat
from experiments.cluster.messages import (
    Again,
    Doing,
    Done,
    Equip,
    Event,
    Failed,
    Finished,
    Hello,
    Loaded,
    Measure,
    NotLoaded,
    Send,
    Warned,
)
from experiments.cluster.program import listen
from experiments.load import LimitError, LoadError, Sending
from experiments.load.sources import Sent
from experiments.measure import Progress
from experiments.measure.campaign import carry_out
from experiments.plan import Plan, Trial
from experiments.results import TrialResult, create
from experiments.results.folder import append, open_for_append, read_trials
from experiments.results.load_from import LoadFrom
from experiments.servers.guard import guarded
from experiments.serving.instances import FOLDER_NAME, instance_folder
from experiments.serving.temporary import LEAST_BYTES, temporary_folder
from experiments.serving.torchserve.archives import unpacked_bytes
from experiments.watch import environment


class Handing(Progress):
    """Tells the driver what happens, each finished trial with its requests."""

    def __init__(self, to: Connection, folder: Path) -> None:
        self._to, self._folder = to, folder

    def loading(self, trial: Trial) -> None:
        self._tell(Doing(trial, "loading the model"))

    def measuring(self, trial: Trial) -> None:
        self._tell(Doing(trial, f"run {trial.run}"))

    def note(self, trial: Trial, line: str) -> None:
        self._tell(Doing(trial, line))

    def planned(self, todo: Sequence[Trial], done: int, at_once: int = 1) -> None:
        for trial in todo:
            if trial.attempt:
                self.again(trial)

    def again(self, trial: Trial) -> None:
        self._tell(Again(trial))

    def finished(self, result: TrialResult) -> None:
        requests = None
        with suppress(FileNotFoundError):  # of a trial that could not be measured there are none
            requests = (self._folder / "requests" / f"{result.trial.position:04}.npz").read_bytes()
        self._tell(Finished(result, requests))

    def warn(self, message: str) -> None:
        if str(self._folder) not in message:  # how to go on here is nothing for the driver
            self._tell(Warned(message))

    def _tell(self, event: Event) -> None:
        self._to.send(event)


class Afar:
    """Loads come from the program on another node, by way of whoever is at the other end of the pipe. See
    load/sources.py."""

    is_here = False

    def __init__(self, to: Connection, answers: "SimpleQueue[Loaded | NotLoaded]", seat: LoadSeat) -> None:
        self._to, self._answers, self._seat = to, answers, seat
        self.listens_on = seat.listens_on

    def send(self, sending: Sending, *, processes: int = 1, keep_answers: bool = False) -> Sent:
        asked_s = time.perf_counter()
        self._to.send(Send(sending, processes, keep_answers))
        answer = self._answers.get()
        if isinstance(answer, NotLoaded):
            of_usage = answer.exit_code == LimitError.exit_code
            raise (LimitError if of_usage else LoadError)(f"{self._seat.name}: {answer.message}")
        return brought_over(answer, asked_s, time.perf_counter(), self._seat)


def brought_over(loaded: Loaded, asked_s: float, back_s: float, seat: LoadSeat) -> Sent:
    """What another node told, on the clock of this one. That is later by an amount with two bounds, as it
    heard of the load after `asked_s` of this clock and told of it before `back_s`: the middle is taken."""
    least_s, most_s = asked_s - loaded.heard_s, back_s - loaded.told_s
    later_s, error_s = (least_s + most_s) / 2, (most_s - least_s) / 2
    result = replace(loaded.result, begin_s=loaded.result.begin_s + later_s)
    told = loaded.network_ms, error_s * 1e3, loaded.cpu_cores_used, loaded.other_cpu_cores
    return Sent(result, LoadFrom(seat.name, seat.listens_on, *told), loaded.disturbed)


@dataclass(slots=True)
class OnCard:
    """A card at work: its folder holds what it has measured, as a results folder of its own. `loaded` is what
    comes of loads from another node."""

    to: Connection
    device: str
    folder: Path
    loaded: "SimpleQueue[Loaded | NotLoaded]" = field(default_factory=SimpleQueue)
    equipped: Equip | None = None

    def hello(self) -> Hello:
        card, _ = choose(self.device)
        return Hello({"host": platform.node(), **environment.describe(sys.argv, 0)}, card)

    def carry_out(self, asked: Equip | Measure) -> None:
        """Does what it is asked; what goes wrong is told, and it waits for what comes next."""
        try:
            if isinstance(asked, Equip):
                self._equip(asked)
            else:
                self._measure(asked)
            self.to.send(Done())
        except ExperimentError as error:
            self.to.send(Failed(str(error), error.details, error.exit_code))

    def _equip(self, asked: Equip) -> None:
        """Looks whether it can measure the plan at all. Raises UsageError where it can't."""
        plan, bench = asked.plan, asked.bench
        if asked.takes_archive:
            taken = Path(shutil.move(bench.archive, self.folder / bench.archive.name))
            bench.archive.parent.rmdir()
            bench = replace(bench, archive=taken)
        temporary_folder(FOLDER_NAME, LEAST_BYTES + unpacked_bytes(bench.archive))
        card, _ = card_for(plan, self.device, None, bench.mps)
        bench = replace(bench, card=card)
        if asked.load_seat is not None:
            bench = replace(bench, source=Afar(self.to, self.loaded, asked.load_seat))
        self.equipped = Equip(plan, bench)
        create(self.folder / "cells", plan, {})
        create(self.folder / "check", plan, {})

    def _measure(self, asked: Measure) -> None:
        if self.equipped is None:
            raise UsageError("a card has to be equipped before it measures")
        check = all(cell.twin for cell in asked.cells)
        folder = self.folder / ("check" if check else "cells")
        plan = replace(self.equipped.plan, budget_s=asked.budget_s)
        _take_over(folder, plan, asked.earlier)
        carry_out(plan, self.equipped.bench, folder, Handing(self.to, folder), cells=asked.cells)


def _take_over(folder: Path, plan: Plan, earlier: tuple[TrialResult, ...]) -> None:
    """Puts what is known of the cells from before where the campaign looks for it."""
    if not earlier:
        return
    known = {(each.trial.cell, each.trial.run, each.trial.attempt) for each in read_trials(folder, plan)}
    with open_for_append(folder) as file:
        for each in earlier:
            if (each.trial.cell, each.trial.run, each.trial.attempt) not in known:
                append(folder, file, each, None)


def main(descriptor: int, device: str) -> None:
    """Until the pipe ends."""
    connection = Connection(descriptor)
    asked: SimpleQueue[Equip | Measure] = SimpleQueue()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with instance_folder() as folder, guarded():
        card = OnCard(connection, device, folder)
        sort = partial(_sort, asked, card.loaded)
        threading.Thread(target=listen, args=(connection, sort), daemon=True).start()
        try:
            connection.send(card.hello())
            while True:
                card.carry_out(asked.get())
        except (KeyboardInterrupt, BrokenPipeError):
            return
        except ExperimentError as error:
            connection.send(Failed(str(error), error.details, error.exit_code))


def _sort(asked: "SimpleQueue[Any]", loaded: "SimpleQueue[Any]", came: Any) -> None:
    (loaded if isinstance(came, Loaded | NotLoaded) else asked).put(came)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
