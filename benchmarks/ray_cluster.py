"""A sweep over the nodes of a Ray cluster beside the same sweep without Ray, and what dies in the middle of
it.

`python -m benchmarks.ray_cluster`, with the Python that has the extra `ray`. Two nodes on this machine, of
one core each; without Ray the sweep gets one core. The last line is one JSON object: wall times and their
ratio, whether both decide the same, what was lost and left (0) when a node and when the driver was killed,
and what a driver of a thousand cards, which take no time here, costs.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer

from benchmarks.parts import models
from benchmarks.parts.many_cards import driver_costs
from benchmarks.parts.ray_nodes import ray_nodes
from experiments.base.errors import ExperimentError
from experiments.base.paths import ROOT
from experiments.results import read, read_trials
from experiments.verdict import judge
from mps.door import one_line_errors

PATIENCE_S = 900.0
PARTS = ("many", "beside", "driver", "node")
DYING = ["--batch-size", "1,2,4", "--runs", "2", "--duration", "1"]  # where only what is kept matters
MARK = "RAY_CLUSTER_BENCHMARK"  # in the environment of all that is started here


def main(
    batch_sizes: Annotated[str, typer.Option(help="Of the sweep.")] = "1,2,3,4,6,8,12,16",
    runs: Annotated[int, typer.Option(min=2, help="Of each cell.")] = 3,
    duration: Annotated[float, typer.Option(help="Seconds of a run.")] = 3.0,
    cards: Annotated[int, typer.Option(help="Of the driver that is only simulated.")] = 1000,
    cells: Annotated[int, typer.Option(help="Of its plan, with five runs each.")] = 2000,
    only: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(PARTS)}. [all]")] = None,
) -> None:
    """See the module's docstring."""
    asked = only or PARTS
    os.environ[MARK] = str(os.getpid())
    with one_line_errors(lambda: "all is stopped"), tempfile.TemporaryDirectory(prefix="rc-") as name:
        folder = Path(name)
        plan = ["--model", str(models.minilm_archive(folder)), "--workers", "1"]
        full = [*plan, "--batch-size", batch_sizes, "--runs", str(runs), "--duration", f"{duration:g}"]
        found: dict[str, Any] = {}
        if "many" in asked:
            found["driver_of_many"] = _told(driver_costs(folder / "many", cards, cells))
        with ray_nodes(folder / "r", 1, 1) as nodes:
            if "beside" in asked:
                found |= _told(_beside_each_other(folder, full, nodes.address))
            if "driver" in asked:
                found["driver_killed"] = _told(
                    _driver_killed(folder / "driver", [*plan, *DYING], nodes.address)
                )
            if "node" in asked:
                dying = _node_killed(folder / "node", [*plan, *DYING], nodes.address, nodes.kill_last)
                found["node_killed"] = _told(dying)
        found["left"] = len(_left())
    typer.echo(json.dumps(found))


def _told(found: dict[str, Any]) -> dict[str, Any]:
    """What a part has found, said as soon as it is known."""
    typer.echo(json.dumps(found), err=True)
    return found


def _beside_each_other(folder: Path, plan: Sequence[str], address: str) -> dict[str, Any]:
    core = str(min(os.sched_getaffinity(0)))
    alone_s = _timed(["taskset", "-c", core, *_run(plan, folder / "alone"), "--no-ceilings"])
    ray_s = _timed([*_run(plan, folder / "ray"), "--ray", address])
    alone, spread = judge(read(folder / "alone")), judge(read(folder / "ray"))
    best = [str(each.advice.best.cell) if each.advice else each.no_advice for each in (alone, spread)]
    near = [
        {str(rated.cell) for rated in (each.advice.best, *each.advice.rivals)} if each.advice else set()
        for each in (alone, spread)
    ]
    return {
        "without_ray_s": round(alone_s, 1),
        "with_ray_s": round(ray_s, 1),
        "ratio": round(ray_s / alone_s, 3),
        "decisions": best,
        "same_decision": best[0] == best[1],
        "each_among_the_others_rivals": best[0] in near[1] and best[1] in near[0],
        "noise_floors": [alone.floor, spread.floor],
        "card_spread": spread.card_spread,
        "disturbed": [len(alone.disturbed), len(spread.disturbed)],
    }


def _driver_killed(folder: Path, plan: Sequence[str], address: str) -> dict[str, Any]:
    driver = _started([*_run(plan, folder), "--ray", address])
    _wait_for_trials(folder, 2, driver)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    kept = _keys(folder)
    deadline = time.monotonic() + 60
    while (left := _left(but=("ray::IDLE", "site-packages/ray/"))) and time.monotonic() < deadline:
        time.sleep(0.5)
    _timed(_resumed(folder, address))
    return {
        "kept": len(kept),
        "lost": len(kept - _keys(folder)),
        "left": len(left),
        "complete": _complete(folder),
    }


def _node_killed(folder: Path, plan: Sequence[str], address: str, kill: Any) -> dict[str, Any]:
    driver = _started([*_run(plan, folder), "--ray", address])
    _wait_for_trials(folder, 2, driver)
    kept = _keys(folder)
    kill()
    code = driver.wait(PATIENCE_S)
    return {
        "exit_code": code,
        "kept": len(kept),
        "lost": len(kept - _keys(folder)),
        "complete": _complete(folder),
        "cards": len({each.card for each in read_trials(folder)}),
    }


def _run(plan: Sequence[str], out: Path) -> list[str]:
    return [sys.executable, "-m", "mps.run", *plan, "--out", str(out)]


def _resumed(folder: Path, address: str) -> list[str]:
    return [sys.executable, "-m", "mps.run", "--resume", str(folder), "--ray", address]


def _started(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, cwd=ROOT, stdout=sys.stderr)


def _timed(command: Sequence[str]) -> float:
    begin_s = time.perf_counter()
    process = _started(command)
    try:
        code = process.wait(PATIENCE_S)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if code:
        raise ExperimentError(f"{' '.join(command)} ended with exit code {code}: see above")
    return time.perf_counter() - begin_s


def _wait_for_trials(folder: Path, count: int, driver: subprocess.Popen[bytes]) -> None:
    """Until so many are on disk, from whichever card."""
    deadline = time.monotonic() + PATIENCE_S
    while len(read_trials(folder)) < count:
        if driver.poll() is not None or time.monotonic() > deadline:
            raise ExperimentError(f"the driver brought no {count} trials to {folder}")
        time.sleep(0.2)


def _keys(folder: Path) -> set[tuple[Any, ...]]:
    return {
        (each.trial.cell, each.trial.run, each.trial.attempt, each.card, each.throughput_rps)
        for each in read_trials(folder)
    }


def _complete(folder: Path) -> bool:
    return not judge(read(folder)).left


def _left(but: Sequence[str] = ()) -> list[str]:
    """Processes that were started from here, other than those whose command holds one of `but`."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            told = " ".join(process.cmdline()) or process.name()
            mine = process.environ().get(MARK) == str(os.getpid()) and process.pid != os.getpid()
            if mine and process.status() != psutil.STATUS_ZOMBIE and not any(each in told for each in but):
                found.append(told)
    return found


if __name__ == "__main__":
    typer.run(main)
