"""The pod of a plan that comes as JSON: starts its containers, waits for their probes, asks, and ends them.

Run by itself, on a network of its own (bubbles.network); it needs Python alone. Prints [answers, exit codes].
"""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any

LONGEST_S = 120.0
STOP_S = 60.0


def main() -> None:
    plan = json.load(sys.stdin)
    logs = Path(plan["logs"])
    pod = {name: started(command, logs / name) for name, command in plan["containers"].items()}
    for name, probe in plan["probes"].items():
        deadline = time.monotonic() + LONGEST_S
        while not passes(probe):
            if time.monotonic() > deadline or any(each.poll() is not None for each in pod.values()):
                sys.exit("\n".join([f"the {name} probe fails", *(log.read_text() for log in logs.iterdir())]))
            time.sleep(0.2)
    answers = [asked(**question) for question in plan["questions"]]
    print(json.dumps([answers, [ended(each) for each in reversed(pod.values())]]))


def started(command: list[str], log: Path) -> "subprocess.Popen[bytes]":
    output: IO[bytes]
    with log.open("wb") as output:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)


def passes(probe: list[str]) -> bool:
    try:
        done = subprocess.run(probe, stdin=subprocess.DEVNULL, capture_output=True, timeout=LONGEST_S)
    except subprocess.TimeoutExpired:  # a unit's own waits for all that it was told
        return False
    return done.returncode == 0


def asked(path: str, token: str | None = None, port: int = 8000, body: str | None = None) -> list[Any]:
    """Status and text of an answer."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body.encode() if body else None)
    request.add_header("Content-Type", "text/plain")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request) as answer:
            return [answer.status, answer.read().decode()]
    except urllib.error.HTTPError as error:
        return [error.code, error.read().decode()]


def ended(container: "subprocess.Popen[bytes]") -> int:
    """As a kubelet does it: SIGTERM to the first process in it, which bubblewrap waits for."""
    first = Path(f"/proc/{container.pid}/task/{container.pid}/children").read_text("utf-8").split()[0]
    subprocess.run(["kill", f"-{signal.SIGTERM}", first], check=True)
    return container.wait(STOP_S)


if __name__ == "__main__":
    main()
