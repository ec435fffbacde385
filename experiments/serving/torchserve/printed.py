"""What TorchServe says: the cause in its log, the counters of its metrics page, an answer's message."""

import re
import time
from collections.abc import Callable
from contextlib import suppress

import requests

LOOK_S, LOOKS = 0.3, 10  # at a log, until it has grown no more for that long
MODEL_LOG = " MODEL_LOG - "  # what log4j2.xml puts before a line that a worker printed
EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(:|$)")  # the end of a traceback; not a line of another worker
TS_HANDLERS = "No module named 'ts.torch_handler."
ENDED = ("Worker died.", "Backend stream closed")  # how the frontend tells that a worker is gone
NO_GPU = 'Cannot run program "nvidia-smi"'  # what it says at each start where there is none: no cause
JAVA_SIGNS = ("Invalid configuration", "Exception", "Error")  # how the frontend begins a complaint


def parse_counters(page: str) -> dict[str, float]:
    """The `ts_*` samples of a Prometheus page, summed over their labels."""
    counters: dict[str, float] = {}
    for line in page.splitlines():
        if line.startswith("ts_"):
            name = line.split("{")[0].split(" ")[0]
            with suppress(ValueError):
                counters[name] = counters.get(name, 0.0) + float(line.rsplit(" ", 1)[1])
    return counters


def settled(read: Callable[[], str]) -> str:
    """What `read` tells of a log that grows no more: a worker's last words come after what they explain."""
    said = read()
    for _ in range(LOOKS):
        time.sleep(LOOK_S)
        before, said = said, read()
        if said == before:
            break
    return said


def message_of(answer: requests.Response) -> str:
    with suppress(ValueError, KeyError, TypeError):
        return str(answer.json()["message"])
    return f"status {answer.status_code}: {answer.text[:200]}"


def tells_of_a_kill(log: str) -> bool:
    """Whether a worker ended without an error of its own: Ctrl-C is none."""
    return _raised(log) in ("", "KeyboardInterrupt") and any(sign in log for sign in ENDED)


def _raised(log: str) -> str:
    """The end of the last worker's traceback in a log; nothing where there is none."""
    printed_by_workers = [line.split(MODEL_LOG, 1)[1] for line in log.splitlines() if MODEL_LOG in line]
    cause = ""
    in_traceback = False
    for line in printed_by_workers:
        if line.startswith("Traceback (most recent call last)"):
            in_traceback = True
        elif in_traceback and EXCEPTION.match(line):
            in_traceback = False
            # Where a handler can't be imported, TorchServe looks for one of its own of that name.
            if not (cause and TS_HANDLERS in line):
                cause = line
    return cause.strip()


def last_error(log: str) -> str:
    """The line of a log that most likely names the cause: the end of the last worker's traceback, else the
    first complaint of the frontend. The two are written by different threads, so their lines interleave."""
    if cause := _raised(log):
        return cause
    said = (line for line in log.splitlines() if NO_GPU not in line)
    complaints = (line for line in said if any(sign in line for sign in JAVA_SIGNS))
    return next(complaints, "").strip()
