"""The first of three steps: a plan and a bench -> results, all of them in a folder."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.base.errors import ExperimentError, UsageError
from experiments.bench import Bench
from experiments.bench.servers import servers_told
from experiments.ceilings.effort import Effort
from experiments.ceilings.measure import measure_ceilings
from experiments.checks.leftovers import clear_leftovers
from experiments.load import check_limits
from experiments.measure.campaign import carry_out
from experiments.measure.elsewhere import CLUSTER, Elsewhere
from experiments.measure.progress import Progress
from experiments.measure.resumed import device_in
from experiments.plan import Plan
from experiments.plan.starved import starved
from experiments.predict import predictor
from experiments.results import (
    Results,
    create,
    read,
    read_ceilings,
    read_environment,
    read_trials,
    write_environment,
)
from experiments.results.load_from import source_in
from experiments.search.kept import keep_predictions, kept_predictor
from experiments.serving.instances import FOLDER_NAME
from experiments.serving.shadows import refuse_shadowed
from experiments.serving.temporary import LEAST_BYTES, temporary_folder
from experiments.serving.torchserve.archives import unpacked_bytes
from experiments.watch import environment
from mps.card import alike

BESIDE_A_SWEEP = Effort(windows=1, bare_s=2.0, batch_sizes=())
"""Enough for a figure beside each cell, in a fraction of the sweep's time."""


def measure(
    plan: Plan,
    bench: Bench,
    folder: Path,
    progress: Progress | None = None,
    *,
    resume: bool = False,
    ceilings: Effort | None = BESIDE_A_SWEEP,
    sweep: bool = True,
    elsewhere: Elsewhere | None = None,
    command: Sequence[str] = tuple(sys.argv),
) -> Results:
    """Measures what `folder` doesn't hold yet of a plan: the ceilings, then every trial.

    Each finished trial is on disk before the next one starts. A folder that holds results already is refused,
    unless `resume` says to go on in it. `ceilings` None leaves these out, as does an archive of a kind that
    can't be run alone; without `sweep` nothing else is measured. A search begins with what the ceilings
    predict, where there are any. `elsewhere` carries out the plan in place of this machine, without ceilings.
    `command` is how the program was called, for the record.

    Raises UsageError for what can't be measured, ExperimentError where nothing works at all. A
    KeyboardInterrupt stops server and daemon first. What was measured stays, and `resume` goes on with it.
    """
    progress = progress or Progress()
    temporary_folder(FOLDER_NAME, LEAST_BYTES + unpacked_bytes(bench.archive))
    refuse_shadowed(bench.archive)
    clear_leftovers(bench.card)
    for cell in plan.cells():
        check_limits(plan.load_of(cell).connections, processes=plan.processes)
    here = environment.describe(list(command), plan.seed) | {
        **(elsewhere.told if elsewhere else {}),
        "archive": bench.archive_told(),
        "servers": servers_told(plan),
        "device": elsewhere.device if elsewhere else bench.device,
        "mps_options": {
            "keep_compute_mode": bench.mps.keep_compute_mode,
            "use_running_daemon": bench.mps.use_running_daemon,
        },
        "ceilings": ceilings is not None and elsewhere is None,
    }
    if resume:
        _note_resumption(folder, here, progress)
    else:
        create(folder, plan, here)
    progress.begun(folder)
    for line in alike(bench.card, plan.thread_percentage) if bench.card else ():
        progress.warn(line)
    if idle := starved(plan):
        progress.warn(idle)
    if (
        elsewhere is None
        and ceilings is not None
        and bench.provenance.kind != "unknown"
        and not read_ceilings(folder)
    ):
        progress.ceilings(measure_ceilings(plan, bench, folder, progress, ceilings))
    if plan.search:
        _predict(plan, folder, progress)
    if sweep:
        (elsewhere.carry_out if elsewhere else carry_out)(plan, bench, folder, progress)
    return read(folder)


def _note_resumption(folder: Path, here: dict[str, Any], progress: Progress) -> None:
    """Adds this start to environment.json; refuses another archive, device, server or source of loads, and
    warns of another machine."""
    before = read_environment(folder)
    if before.get("archive", {}).get("sha256") != here["archive"]["sha256"]:
        raise UsageError(f"the archive is not the one {folder} was measured with: start a new run")
    device = device_in(before)
    if device is None:
        progress.warn(f"{folder} does not tell its GPU: it goes on with {here['device']}")
    elif device != here["device"]:
        remedy = "leave out --gpu and --device"
        if device.startswith(CLUSTER) or here["device"].startswith(CLUSTER):
            remedy = "give --ray with such cards, or leave it out as then"
        raise UsageError(
            f"{folder} was measured on {device}, this would be {here['device']}: {remedy}, or start a new run"
        )
    came, comes = source_in(before), source_in(here)
    if came != comes:
        raise UsageError(
            f"the loads of {folder} came from {came}, these would from {comes}: give --load-from as then, or "
            "start a new run"
        )
    for server, told in (before.get("servers") or {}).items():
        if here.get("servers", {}).get(server, told) != told:
            raise UsageError(
                f"{folder} was measured with another {server} ({told.get('package')}), or other pins of it: "
                "start a new run"
            )
    for difference in environment.differences(before, here):
        progress.warn(f"not as at the start of this run: {difference}")
    before.setdefault("resumed", []).append(here)
    write_environment(folder, before)


def _predict(plan: Plan, folder: Path, progress: Progress) -> None:
    """Notes what a search begins with, unless it has begun, or there is nothing to predict from."""
    ceilings = read_ceilings(folder)
    if ceilings is None or kept_predictor(folder) or read_trials(folder):
        return
    try:
        keep_predictions(folder, plan.cells(), predictor(ceilings, plan))
    except ExperimentError as error:
        progress.warn(f"nothing is predicted, the search begins without: {error}")
