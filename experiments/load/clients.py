"""Who sends a load: this process, or several where one core is not enough, merged from raw samples.

Here: dealing a load out, starting the processes at one instant, bringing their recordings together; and
`python -m experiments.load.clients`, such a process. Not here: how a load is sent (closed_loop.py,
open_loop.py).

A client process hears and answers over a socket that is its standard input, and ends when that does: it never
outlives who started it. A message is JSON with a list of `blobs` behind it, both with their length.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import socket
import struct
import subprocess
import sys
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.base.paths import ROOT
from experiments.load.before.target import Target
from experiments.load.closed_loop import ClosedLoop, drive_closed
from experiments.load.interruptible import new_event_loop
from experiments.load.kept import heard, together, told
from experiments.load.open_loop import OpenLoop, drive_open
from experiments.load.traffic import WHOLE, LoadError, Pace, Part, Progress, Ready, Recording, at_once

Load = ClosedLoop | OpenLoop

_WITHOUT_A_WARNING = (
    "-W",
    "ignore::RuntimeWarning:runpy",
)  # that the package has imported this module already
_LEAD_S = 0.05  # for the start's instant to reach every process before it comes
_LENGTH = struct.Struct("!I")

_Message = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """All that a client must know: `requests` are rendered, `seed` is that of the arrivals."""

    target: Target
    requests: Sequence[bytes]
    load: Load
    seed: int
    timeout_s: float
    keep_answers: bool = False


async def drive(
    task: Task, *, progress: Progress | None = None, ready: Ready = at_once, part: Part = WHOLE
) -> Recording:
    """Put the load, or a part of it, on the target from this process.

    Raises LoadError when the target cannot be reached.
    """
    target, requests, load = task.target, task.requests, task.load
    how: dict[str, Any] = {"timeout_s": task.timeout_s, "keep_answers": task.keep_answers}
    how |= {"progress": progress, "ready": ready, "part": part}
    if isinstance(load, ClosedLoop):
        return await drive_closed(target, requests, load, **how)
    return await drive_open(target, requests, load, seed=task.seed, **how)


async def drive_together(task: Task, processes: int, *, progress: Progress | None = None) -> Recording:
    """Put the load on the target from several processes that begin at the same instant.

    Connections, or the schedule's requests, are dealt out; raises ValueError where that cannot be done, and
    LoadError when the target cannot be reached or a process ends before it should.
    """
    _check(task.load, processes)
    answers = [0] * processes

    def note(number: int, count: int) -> None:
        answers[number] = count
        if progress is not None and number == 0:
            progress(sum(answers), perf_counter() - start_s)

    clients: list[_Client] = []
    try:
        for number in range(processes):
            clients.append(await _Client.start(number))
        for client in clients:
            client.give(task, Part(client.number, processes))
        await asyncio.gather(*(client.connected() for client in clients))
        start_s = perf_counter() + _LEAD_S
        recordings = await asyncio.gather(*(client.measure(task, start_s, note) for client in clients))
    finally:
        for client in clients:
            client.end()
    return merged(recordings)


def _check(load: Load, processes: int) -> None:
    if processes < 1:
        raise ValueError(f"{processes} processes send nothing: give at least 1")
    connections = load.connections if isinstance(load, ClosedLoop) else load.max_in_flight
    if connections < processes:
        raise ValueError(
            f"{connections} connections are too few for {processes} processes: give each its own"
        )
    if isinstance(load, ClosedLoop) and load.requests is not None and processes > 1:
        raise ValueError("several processes measure for a time: give a duration, not a number of requests")


def merged(recordings: Sequence[Recording]) -> Recording:
    """One recording of the parts of a load: every answer of each, in the order of the answers.

    What counts is the time in which all parts counted.
    """
    ends_s = np.concatenate([_array(each.ends_s) for each in recordings])
    order = np.argsort(ends_s, kind="stable")
    starts_s = np.concatenate([_array(each.starts_s) for each in recordings])
    statuses = np.concatenate([np.array(each.statuses, dtype=np.int16) for each in recordings])
    return Recording(
        starts_s=array("d", starts_s[order].tobytes()),
        ends_s=array("d", ends_s[order].tobytes()),
        statuses=array("h", statuses[order].tobytes()),
        first_send_s=min(each.first_send_s for each in recordings),
        opens_s=max(each.opens_s for each in recordings),
        closes_s=min(each.closes_s for each in recordings),
        cpu_s=sum(each.cpu_s for each in recordings),
        lost_connections=sum(each.lost_connections for each in recordings),
        first_error=next((each.first_error for each in recordings if each.first_error), None),
        pace=_merged_pace([each.pace for each in recordings if each.pace is not None], order),
        kept=together(kept) if (kept := [each.kept for each in recordings if each.kept]) else None,
    )


def _merged_pace(paces: Sequence[Pace], order: NDArray[np.int64]) -> Pace | None:
    """The parts' schedules as one, for answers that are brought into `order`."""
    if not paces:
        return None
    due_s = np.concatenate([pace.due_s for pace in paces])
    by_due = np.argsort(due_s, kind="stable")
    place = np.empty_like(by_due)
    place[by_due] = np.arange(len(by_due))
    firsts = np.cumsum([0, *(len(pace.due_s) for pace in paces)])
    numbers = np.concatenate([_whole(pace.numbers) + firsts[i] for i, pace in enumerate(paces)])
    return Pace(
        due_s=due_s[by_due],
        lateness_s=np.concatenate([pace.lateness_s for pace in paces])[by_due],
        sent=np.concatenate([pace.sent for pace in paces])[by_due],
        numbers=array("l", place[numbers][order].tobytes()),
        busy_s=max(pace.busy_s for pace in paces),
    )


def _array(values: array[float]) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64)


def _whole(values: array[int]) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


# This side: a handle on each process.


@dataclasses.dataclass(frozen=True, slots=True)
class _Client:
    """A running client process."""

    number: int
    process: subprocess.Popen[bytes]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def start(cls, number: int) -> _Client:
        ours, its = socket.socketpair()
        with its:
            command = [sys.executable, *_WITHOUT_A_WARNING, "-m", "experiments.load.clients"]
            # In a group of its own: Ctrl-C is for us, who then end it.
            process = subprocess.Popen(command, cwd=ROOT, stdin=its.fileno(), process_group=0)
        try:
            reader, writer = await asyncio.open_connection(sock=ours)
        except BaseException:
            process.kill()
            process.wait()
            raise
        return cls(number, process, reader, writer)

    def give(self, task: Task, part: Part) -> None:
        message = {
            "target": dataclasses.asdict(task.target),
            "open": isinstance(task.load, OpenLoop),
            "load": dataclasses.asdict(task.load),
            "seed": task.seed,
            "timeout_s": task.timeout_s,
            "keep_answers": task.keep_answers,
            "part": dataclasses.astuple(part),
        }
        _send(self.writer, message, task.requests)

    async def connected(self) -> None:
        """Returns when its connections are open."""
        await self._receive()

    async def measure(self, task: Task, start_s: float, note: Callable[[int, int], None]) -> Recording:
        """Lets it begin at an instant of `perf_counter`, which is the same clock in every process."""
        _send(self.writer, {"start_s": start_s})
        while True:
            message, blobs = await self._receive()
            if "answers" not in message:
                return _recording_from(message, blobs, task.requests)
            note(self.number, message["answers"])

    def end(self) -> None:
        self.writer.close()
        self.process.kill()
        self.process.wait()

    async def _receive(self) -> tuple[_Message, list[bytes]]:
        try:
            message, blobs = await _receive(self.reader)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            code = self.process.wait()
            why = f"killed by signal {-code}" if code < 0 else "its error is above"
            raise LoadError(f"a client process ended before the load did: {why}") from error
        if "error" in message:
            raise LoadError(message["error"])
        return message, blobs


# The other side.


def main() -> None:
    gone = (asyncio.CancelledError, ConnectionError)  # who started us
    with asyncio.Runner(loop_factory=new_event_loop) as runner, suppress(*gone):
        runner.run(_be_a_client())


async def _be_a_client() -> None:
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=0))
    given, requests = await _receive(reader)
    task = Task(
        target=Target(**given["target"]),
        requests=requests,
        load=(OpenLoop if given["open"] else ClosedLoop)(**given["load"]),
        seed=given["seed"],
        timeout_s=given["timeout_s"],
        keep_answers=given["keep_answers"],
    )
    begin: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    listening = asyncio.create_task(_listen(reader, begin, asyncio.current_task()))

    async def ready() -> float:
        _send(writer, {"connected": True})
        return await begin

    try:
        recording = await drive(
            task,
            progress=lambda answers, _: _send(writer, {"answers": answers}),
            ready=ready,
            part=Part(*given["part"]),
        )
    except LoadError as error:
        _send(writer, {"error": str(error)})
    else:
        _send(writer, *_message_from(recording, requests))
    await writer.drain()
    listening.cancel()
    writer.close()
    await writer.wait_closed()


async def _listen(
    reader: asyncio.StreamReader, begin: asyncio.Future[float], task: asyncio.Task[Any] | None
) -> None:
    """Passes on when to begin, and cancels the task once who started us is gone, whatever it is at."""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        message, _ = await _receive(reader)
        begin.set_result(float(message["start_s"]))
        await reader.read()
    assert task is not None
    task.cancel()


# What goes between the two.


def _send(writer: asyncio.StreamWriter, message: _Message, blobs: Sequence[bytes] = ()) -> None:
    text = json.dumps(message | {"blobs": [len(blob) for blob in blobs]}).encode()
    writer.write(_LENGTH.pack(len(text)) + text)
    for blob in blobs:
        writer.write(blob)


async def _receive(reader: asyncio.StreamReader) -> tuple[_Message, list[bytes]]:
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    message = json.loads(await reader.readexactly(length))
    return message, [await reader.readexactly(size) for size in message.pop("blobs")]


_SCALARS = ("first_send_s", "opens_s", "closes_s", "settled", "cpu_s", "lost_connections", "first_error")


def _message_from(recording: Recording, requests: Sequence[bytes]) -> tuple[_Message, list[bytes]]:
    message: _Message = {name: getattr(recording, name) for name in _SCALARS}
    message |= {"busy_s": None, "kept": None}
    blobs = [recording.starts_s.tobytes(), recording.ends_s.tobytes(), recording.statuses.tobytes(), b""]
    if recording.kept:
        message["kept"], blobs[-1] = told(recording.kept, requests)
        message["unkept"] = recording.kept.unkept
    if pace := recording.pace:
        message["busy_s"] = pace.busy_s
        arrays = (pace.due_s, pace.lateness_s, pace.sent, pace.numbers)
        blobs += [values.tobytes() for values in arrays]
    return message, blobs


def _recording_from(message: _Message, blobs: Sequence[bytes], requests: Sequence[bytes]) -> Recording:
    starts, ends, statuses, answers, *paced = blobs
    kept = message["kept"] and heard(message["kept"], answers, message["unkept"], requests)
    pace = None
    if paced:
        due, lateness, sent, numbers = paced
        pace = Pace(
            due_s=np.frombuffer(due),
            lateness_s=np.frombuffer(lateness),
            sent=np.frombuffer(sent, dtype=np.bool_),
            numbers=array("l", numbers),
            busy_s=message["busy_s"],
        )
    return Recording(
        starts_s=array("d", starts),
        ends_s=array("d", ends),
        statuses=array("h", statuses),
        pace=pace,
        kept=kept,
        **{name: message[name] for name in _SCALARS},
    )


if __name__ == "__main__":
    main()
