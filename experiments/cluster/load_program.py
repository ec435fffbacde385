"""The program that sends the loads of a card from another node, and tells what each of them found.

`python -m experiments.cluster.load_program FD`; FD is its end of a pipe to whoever started it (program.py).
When that pipe ends, because the other side has ended or was killed, it stops its load and ends too.
"""

import os
import platform
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue
from statistics import median

from experiments.base.cores import allowed_cores
from experiments.base.errors import ExperimentError
from experiments.cluster.messages import Hello, Loaded, NotLoaded, Send
from experiments.cluster.program import listen
from experiments.load.before.target import parse_target
from experiments.load.sources import HERE
from experiments.results.telemetry import LOAD_GENERATOR
from experiments.watch import environment
from experiments.watch.flags import others_too_busy
from experiments.watch.telemetry import sampling

HANDSHAKES = 11
REACH_S = 5.0


def sent(asked: Send) -> Loaded | NotLoaded:
    """Sends a load from this process, and watches itself meanwhile."""
    heard_s = time.perf_counter()
    network_ms = handshake_ms(asked.sending.url)
    try:
        with sampling({LOAD_GENERATOR: [os.getpid()]}) as recorder:
            found = HERE.send(asked.sending, processes=asked.processes, keep_answers=asked.keep_answers)
    except ExperimentError as error:
        return NotLoaded(str(error), error.exit_code)
    result = found.result
    telemetry = recorder.summary(result.requests, (result.begin_s, result.begin_s + result.window_s))
    busy = others_too_busy(telemetry, allowed_cores())
    return Loaded(
        result,
        heard_s,
        time.perf_counter(),
        network_ms,
        telemetry.cpu_cores_used.get(LOAD_GENERATOR),
        telemetry.other_cpu_cores,
        busy and f"where the load came from, {busy}",
    )


def handshake_ms(url: str) -> float | None:
    """The median of what TCP handshakes with a URL's host take: its kernel answers, whatever the server does.
    None where it can't be reached."""
    target, taken_s = parse_target(url), []
    with suppress(OSError):
        for _ in range(HANDSHAKES):
            begin_s = time.perf_counter()
            socket.create_connection((target.host, target.port), REACH_S).close()
            taken_s.append(time.perf_counter() - begin_s)
    return median(taken_s) * 1e3 if taken_s else None


def main(descriptor: int) -> None:
    """Until the pipe ends."""
    connection = Connection(descriptor)
    asked: SimpleQueue[Send] = SimpleQueue()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(target=listen, args=(connection, asked.put), daemon=True).start()
    with suppress(KeyboardInterrupt, BrokenPipeError):
        connection.send(Hello({"host": platform.node(), **environment.describe(sys.argv, 0)}, None))
        while True:
            connection.send(sent(asked.get()))


if __name__ == "__main__":
    main(int(sys.argv[1]))
