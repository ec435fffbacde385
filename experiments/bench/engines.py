"""Which of a plan's engines can serve its archive here: asked before anything starts."""

import os
import zipfile
from dataclasses import replace
from pathlib import Path

from experiments.base.errors import UsageError
from experiments.bench.archive import archive_handler, archive_of, provenance_of
from experiments.plan import Plan
from experiments.plan.engines import pairs
from experiments.serving.workers import ENGINE_VARIABLE, PRECISION_VARIABLE
from handlers.engine.names import PACKAGES, why_no_file, why_no_such_precision, why_not_installed
from mps.card import Gpu


def engine_served(archive: Path, asked: str | None) -> str:
    """What an archive is served on: what is asked for, else the environment's, else its own."""
    return str(asked or os.environ.get(ENGINE_VARIABLE) or archive_handler(archive).get("engine", "torch"))


def possible(plan: Plan, card: Gpu | None) -> tuple[Plan, list[str]]:
    """The plan without the engines that can't serve its archive on `card`, and the precisions that no other
    has, and a line about each engine.

    Raises UsageError where none is left, or where the archive isn't one of ours and heeds no engine.
    """
    archive = archive_of(plan.model)
    if provenance_of(archive).kind == "unknown":
        if any(plan.engine):
            raise UsageError(f"{archive} is not built by make mar: its handler heeds no --engine")
        return plan, []
    with zipfile.ZipFile(archive) as mar:
        held = mar.namelist()
    settings = archive_handler(archive)
    default = os.environ.get(PRECISION_VARIABLE) or settings.get("precision", "fp32")
    refused: dict[str | None, str] = {}
    for engine, precision in pairs(plan.engine, plan.precision):
        asked = engine_served(archive, engine), precision or default
        if why := _why_not(*asked, held, card):
            refused.setdefault(engine, why)
    left = tuple(engine for engine in plan.engine if engine not in refused)
    if not left or None in refused:
        raise UsageError(next(iter(refused.values())))
    if not refused:
        return plan, []
    had = {precision for _, precision in pairs(left, plan.precision)}
    precisions = tuple(precision for precision in plan.precision if precision in had)
    lines = [f"without {engine}: {why}" for engine, why in refused.items()]
    return replace(plan, engine=left, precision=precisions), lines


def _why_not(engine: str, precision: str, held: list[str], card: Gpu | None) -> str | None:
    if why := why_not_installed(engine):
        return why
    if card is not None and engine in PACKAGES:
        return f"{engine} runs on CPUs here, and {card.name} is measured: --device cpu"
    return why_no_such_precision(engine, precision) or why_no_file(engine, precision, held)
