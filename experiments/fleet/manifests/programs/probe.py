"""Whether an instance is healthy, for a probe: exit code 0 or 1, with a line that says why.

With TorchServe's tokens (--keys) it asks TorchServe, on loopback; with the fleet's (--tokens) the gateway, as
a client does. Only Python's own modules: it runs every few seconds.
"""

import argparse
import json
import os
import sys
import urllib.request
from pathlib import Path
from typing import Any

TIMEOUT_S = 4.0
VARIABLE = "GATEWAY_TOKENS"


def main() -> None:
    """Asks what the options say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=Path, help="TorchServe's key_file.json")
    parser.add_argument("--loaded", help="the model whose workers must all be ready")
    parser.add_argument("--tokens", type=Path, help=f"the fleet's, one a line; else ${VARIABLE}")
    parser.add_argument("--port", type=int, default=8080, help="of TorchServe or the gateway")
    parser.add_argument("--management-port", type=int, default=8081)
    options = parser.parse_args()
    try:
        problem = _torchserve(options) if options.keys else _ping(options.port, _token(options.tokens))
    except (OSError, ValueError, LookupError) as error:
        problem = f"{type(error).__name__}: {error}"
    if problem:
        sys.exit(problem)


def _torchserve(options: argparse.Namespace) -> str:
    keys = json.loads(options.keys.read_text("utf-8"))
    if problem := _ping(options.port, keys["inference"]["key"]):
        return problem
    # TorchServe asks nvidia-smi whenever it lists a model on a GPU: once a start is enough.
    mark, start = options.keys.with_name("loaded"), str(options.keys.stat().st_mtime_ns)
    if not options.loaded or (mark.exists() and mark.read_text("utf-8") == start):
        return ""
    url = f"http://127.0.0.1:{options.management_port}/models/{options.loaded}"
    (model,) = _asked(url, keys["management"]["key"])
    ready = [worker for worker in model["workers"] if worker["status"] == "READY"]
    wanted = int(model["minWorkers"])
    if len(ready) < wanted:
        return f"{len(ready)} of {wanted} workers are ready"
    mark.write_text(start, "utf-8")
    return ""


def _ping(port: int, token: str) -> str:
    status = _asked(f"http://127.0.0.1:{port}/ping", token)["status"]
    return "" if status == "Healthy" else f"it says it is {status}"


def _asked(url: str, token: str) -> Any:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310 - http
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=TIMEOUT_S) as answer:
        return json.load(answer)


def _token(file: Path) -> str:
    text = file.read_text("utf-8") if file.exists() else os.environ.get(VARIABLE, "")
    return text.split()[0]


if __name__ == "__main__":
    main()
