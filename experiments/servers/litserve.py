"""LitServe: worker processes behind uvicorn, batches of what arrives in a window.

SIGTERM to its first process leaves all others; it ends on SIGINT (0.2.19).
"""

import signal

from experiments.servers.environments import Environment
from experiments.servers.lives import PROGRAMS, Recipe, Wanted

DELAY = "a window that runs freely, opened when a worker became idle: half of it is waited on average"


def recipe(environment: Environment, wanted: Wanted) -> Recipe:
    """The program litserve_server.py."""
    return Recipe(
        command=[environment.python, PROGRAMS / "litserve_server.py"],
        loads=sum(model.workers for model in wanted.models),
        end=signal.SIGINT,
    )
