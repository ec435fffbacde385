"""Our handlers against re-created stock ones: same weights, same inputs, same server settings, in turns.

`python -m benchmarks --only stock`. Each handler gets the setup that is best for it among those of one grid,
with the same torch threads to a worker. What the stock handlers do is in stock_text.py and stock_image.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import models
from benchmarks.interleaved import Comparison, Effort, Tell, compare
from benchmarks.served import Setup, best_setup, grid, serving, throughput_rps
from experiments.environment import usable_cores
from experiments.load import Body

HERE = Path(__file__).parent
TEXT_BATCHES = (8, 16, 32)
IMAGE_BATCHES = (4, 8)


@dataclass(frozen=True, slots=True)
class Case:
    """What is sent to both handlers, `name` being that of the ratio."""

    name: str
    pool: Sequence[Body]
    batch_sizes: Sequence[int]


def text_cases(archive: Path) -> list[Case]:
    """Texts of 15, 60 and 150 tokens; the stock handler pads them all to 150."""
    return [Case(f"stock_text_{n}", models.texts(archive, n), TEXT_BATCHES) for n in (15, 60, 150)]


def image_cases() -> list[Case]:
    """Photographs as a web page has them, and as a phone sends them."""
    sizes = ((500, 375), (2000, 1500))
    return [Case(f"stock_image_{w}", models.photographs(w, h), IMAGE_BATCHES) for w, h in sizes]


def measure(folder: Path, effort: Effort, tell: Tell) -> dict[str, Comparison]:
    """Ours against stock for every case, by the ratio's name. The archives are built in `folder`."""
    minilm = models.minilm_archive(folder)
    resnet50 = models.resnet50_archive(folder)
    found = {}
    for case in text_cases(minilm):
        found[case.name] = against_stock(minilm, HERE / "stock_text.py", case, effort, tell)
    for case in image_cases():
        found[case.name] = against_stock(resnet50, HERE / "stock_image.py", case, effort, tell)
    return found


def against_stock(ours: Path, handler: Path, case: Case, effort: Effort, tell: Tell) -> Comparison:
    """Our archive against the same weights under a stock handler, each at its best."""
    tell(f"{case.name}: {ours.stem} against {handler.stem}")
    stock = models.with_handler(ours, handler)
    best = [best_of(archive, case, effort, tell) for archive in (ours, stock)]
    with ExitStack() as servers:
        ours_run, stock_run = (_run_of(setup, case, effort, servers) for setup in best)
        comparison = compare(ours_run, stock_run, effort.rounds)
    tell(f"{case.name}: {comparison}")
    return comparison


def best_of(archive: Path, case: Case, effort: Effort, tell: Tell) -> Setup:
    """The best setup of an archive, with one worker for all cores or one for each."""
    workers = sorted({1, usable_cores()})
    return best_setup(grid(archive, workers, case.batch_sizes), case.pool, effort, tell)


def _run_of(setup: Setup, case: Case, effort: Effort, servers: ExitStack) -> Callable[[], float]:
    server = servers.enter_context(serving(setup))
    return partial(throughput_rps, server, setup, case.pool, effort)
