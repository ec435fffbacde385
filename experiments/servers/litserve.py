"""LitServe: worker processes behind uvicorn, batches of what arrives in a window.

SIGTERM to its first process leaves all others; it ends on SIGINT (0.2.19).
"""

import os
import signal

from experiments.base.errors import UsageError
from experiments.servers.environments import Environment
from experiments.servers.lives import PROGRAMS, Recipe, Wanted
from experiments.serving.temporary import LONGEST_SOCKET

DELAY = "a window that runs freely, opened when a worker became idle: half of it is waited on average"
SOCKET = f"zmq-{'0' * 32}.ipc"  # as ZeroMQ's are named


def recipe(environment: Environment, wanted: Wanted) -> Recipe:
    """The program litserve_server.py. Raises UsageError where its sockets would have no room."""
    longest = len(os.fsencode(wanted.folder / SOCKET))
    if (too_many := longest - LONGEST_SOCKET) > 0:
        raise UsageError(
            f"the temporary folder {wanted.folder.parent} is {too_many} characters too long for the sockets "
            "of LitServe: set TMPDIR to another folder, e.g. TMPDIR=/var/tmp"
        )
    return Recipe(
        command=[environment.python, PROGRAMS / "litserve_server.py"],
        loads=sum(model.workers for model in wanted.models),
        end=signal.SIGINT,
    )
