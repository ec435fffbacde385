"""The processes of a kill, by what they do."""

import subprocess
from contextlib import suppress

import psutil

from tests.chaos.drawn import DAEMON, FRONTEND, GENERATOR, PROGRAM, SAMPLER, WORKER
from tests.chaos.stage import Stage

WORDS = {
    FRONTEND: "org.pytorch.serve.ModelServer",
    WORKER: "model_service_worker",
    SAMPLER: "experiments.watch.sampler",
    GENERATOR: "experiments.load.clients",
    DAEMON: "nvidia-cuda-mps-control",
}


def found(stage: Stage, run: "subprocess.Popen[bytes]", role: str) -> psutil.Process | None:
    """A process with that role, the oldest; None where there is none now.

    The program that has gone on in the background is it still.
    """
    if role == PROGRAM and run.poll() is None:
        return _process(run.pid)
    named = []
    for process in stage.processes():
        with suppress(psutil.Error):
            line = process.cmdline()
            same = line[1:] == run.args[1:] if isinstance(run.args, list) else False
            if same if role == PROGRAM else WORDS[role] in " ".join(line):
                named.append((process.create_time(), process.pid))
    return _process(min(named)[1]) if named else None


def _process(pid: int) -> psutil.Process | None:
    with suppress(psutil.Error):
        return psutil.Process(pid)
    return None
