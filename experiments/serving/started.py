"""Whether a TorchServe that was just started serves: both APIs answer and its models are loaded."""

import json
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import requests
from urllib3.exceptions import InsecureRequestWarning

from experiments.base.errors import ServerError, waited_out
from experiments.serving.configured import url_of
from experiments.serving.instances import is_alive
from experiments.serving.torchserve.printed import last_error, settled
from experiments.serving.torchserve.running import call

LONGEST_S = 600.0  # TorchServe gives a worker two minutes to start and its model two to load
PERIOD_S = 0.2
FAILED_LOADS = 2  # the first can be bad luck, and TorchServe tries again; then it will be so for ever
LOAD_FAILED = "Load model failed"
PORT_TAKEN = "Address already in use"


def wait_until_serving(
    pid: int, settings: Mapping[str, str], archives: Sequence[str], log: Path, keys: Path | None
) -> list[str]:
    """Returns the names of the models once the server `pid` serves all of `archives`.

    `log` is what it prints, `keys` its file of tokens, None where it wants none. Raises ServerError, with the
    cause that it logged, when it ends, can't load a model, or takes longer than LONGEST_S; ExperimentError
    where this machine has run out of what asking takes.
    """
    deadline = time.monotonic() + LONGEST_S
    while True:
        names = _serving(settings, archives, keys, log)
        if names is not None:
            return names
        printed = log.read_text("utf-8", errors="replace")
        if not is_alive(pid):
            raise _failure("it ended at its start", log)
        if printed.count(LOAD_FAILED) >= FAILED_LOADS:
            raise _failure("a model could not be loaded", log)
        if PORT_TAKEN in printed:
            raise _failure("one of its ports is taken", log)
        if time.monotonic() > deadline:
            raise _failure(f"it does not serve after {LONGEST_S:.0f} s", log)
        time.sleep(PERIOD_S)


def _serving(
    settings: Mapping[str, str], archives: Sequence[str], keys: Path | None, log: Path
) -> list[str] | None:
    """The models' names if all of them can answer, None for not yet. Raises ServerError if one never will:
    TorchServe registers them all before its APIs answer."""
    with waited_out(requests.RequestException, OSError, ValueError, KeyError):
        told = json.loads(keys.read_text("utf-8")) if keys else None
        inference, management = (told[api]["key"] if told else "" for api in ("inference", "management"))
        ping = _get(url_of(settings, "inference_address") + "/ping", inference)
        models_url = url_of(settings, "management_address") + "/models"
        listed = _get(models_url + "?limit=10000", management)
        if listed.status_code == 405:  # the model API is off: nobody tells, but that it is healthy
            return list(archives) if ping.status_code == 200 else None
        if listed.status_code != 200:
            return None
        models = listed.json()["models"]
        loaded = {model["modelUrl"] for model in models}
        if lacking := [archive for archive in archives if archive not in loaded]:
            raise _failure(f"it did not load {', '.join(lacking)}", log)
        names = list(dict.fromkeys(str(model["modelName"]) for model in models))
        versions = [
            version for name in names for version in _get(f"{models_url}/{name}/all", management).json()
        ]
        return names if ping.status_code == 200 and all(map(_is_ready, versions)) else None
    return None


def _is_ready(version: Mapping[str, Any]) -> bool:
    ready = [worker for worker in version["workers"] if worker["status"] == "READY"]
    return len(ready) >= int(version["minWorkers"])


def _get(url: str, token: str) -> requests.Response:
    with warnings.catch_warnings(action="ignore", category=InsecureRequestWarning):
        return call("GET", url, token, timeout_s=5, verify=False)  # its own certificate, on this machine


def _failure(what: str, log: Path) -> ServerError:
    printed = settled(lambda: log.read_text("utf-8", errors="replace"))
    cause = last_error(printed) or "it logged no reason"
    return ServerError(f"TorchServe does not serve: {what}: {cause} (all that it printed: {log})")
