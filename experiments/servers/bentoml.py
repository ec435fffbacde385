"""BentoML: a service in as many processes as it has workers, each of which batches alone.

There is no delay to set: it learns how long to wait from the first requests on (1.4.40).
"""

from experiments.servers.environments import Environment
from experiments.servers.lives import PROGRAMS, Recipe, Wanted
from experiments.servers.served import HOST

DELAY = "not heeded: how long a batch waits is learned"


def recipe(environment: Environment, wanted: Wanted) -> Recipe:
    """`bentoml serve` with bentoml_service.py: all models in each of the workers."""
    workers = max(model.workers for model in wanted.models)
    return Recipe(
        command=[
            *(environment.python, "-m", "bentoml", "serve", "bentoml_service:Classifiers"),
            *("--working-dir", PROGRAMS, "--host", HOST, "--port", str(wanted.port)),
        ],
        loads=workers * len(wanted.models),
        env={"BENTOML_HOME": str(wanted.folder / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"},
    )
