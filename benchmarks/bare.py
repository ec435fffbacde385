"""Served against bare: our handlers behind TorchServe, and the same forward pass in a loop without it.

`python -m benchmarks --only bare`. Both at their best: the setup that serves most, and the number of
processes and the batch size at which the model alone reaches most with all cores. Bare ResNet50 decodes no
images, so what that costs shows in its ratio.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.parts import models
from benchmarks.parts.interleaved import Comparison, Effort, Tell, compare
from benchmarks.parts.served import WORKERS, Host, grid, host, settle, throughput_rps
from experiments.ceilings.bare import BareModel, bare_model
from experiments.load import Body
from experiments.serving.workers import torch_threads


@dataclass(frozen=True, slots=True)
class Case:
    """A model, what it is sent, and the settings among which served and bare have their best."""

    name: str
    archive: Path
    pool: Sequence[Body]
    served_batches: Sequence[int]
    bare_batches: Sequence[int]
    takes: float = 1.0  # times as long as others: where a target is near, seconds of a run say little


def cases(folder: Path) -> Iterator[Case]:
    """The models, each built in `folder` when its turn comes."""
    minilm = models.minilm_archive(folder)
    texts = models.texts(minilm, 15)
    yield Case("minilm_served_over_bare", minilm, texts, (64, 128), (8, 32, 64, 128), takes=2.0)
    bert_base = models.bert_base_archive(folder)
    texts = models.texts(bert_base, 60)
    yield Case("bert_base_served_over_bare", bert_base, texts, (4, 8), (2, 4, 8, 16), takes=2.0)
    resnet50 = models.resnet50_archive(folder)
    images = models.photographs(500, 375)
    yield Case("resnet50_served_over_bare", resnet50, images, (4, 8), (1, 2, 4, 8))


def measure(folder: Path, effort: Effort, tell: Tell) -> dict[str, Comparison]:
    """Served against bare for every model, by the ratio's name."""
    with host() as server:
        return {case.name: served_against_bare(case, server, effort, tell) for case in cases(folder)}


def served_against_bare(case: Case, server: Host, effort: Effort, tell: Tell) -> Comparison:
    """One model served at its best against the same model alone at its best."""
    tell(f"{case.name}: {case.archive.stem} served and alone")
    effort = replace(effort, duration_s=case.takes * effort.duration_s)
    setups = grid(case.archive, WORKERS, case.served_batches)
    setup = server.best(setups, case.pool, effort, tell)
    with best_bare(case, effort, tell) as bare:
        running = server.serve(setup)
        served = partial(throughput_rps, running, setup, case.pool, effort)
        settle(running, setup, case.pool, effort)
        comparison = compare(served, bare, effort.rounds)
    tell(f"{case.name}: {comparison}")
    return comparison


@contextmanager
def best_bare(case: Case, effort: Effort, tell: Tell) -> Iterator[Callable[[], float]]:
    """Measures the model alone in its best setting: one process for all cores or one for each, and a batch
    size. Yields what measures it again, in fresh processes that wait while nothing is asked of them."""
    found: dict[tuple[int, int], float] = {}
    for processes in WORKERS:
        with _alone(case, processes) as model:
            for size in case.bare_batches:
                found[processes, size] = model.throughput(size, effort.trial_s).throughput_rps
                tell(f"  tried alone, {processes} process(es), batch {size}: {found[processes, size]:,.1f}/s")
    processes, size = max(found, key=found.__getitem__)
    with _alone(case, processes) as model:
        yield lambda: model.throughput(size, effort.duration_s).throughput_rps


@contextmanager
def _alone(case: Case, processes: int) -> Iterator[BareModel]:
    threads = torch_threads(processes)
    with bare_model(case.archive, processes=processes, threads=threads, pool=case.pool) as model:
        yield model
