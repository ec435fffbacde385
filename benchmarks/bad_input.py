"""What malformed requests do to good ones: a load at full speed, without and with them.

`python -m benchmarks --only bad_input`. Each malformed request must get its 4xx, every good one its answer;
no worker may die and memory must stay bounded, or there is no result. What is malformed is in malformed.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.parts import models
from benchmarks.parts.interleaved import BenchmarkError, Comparison, Effort, Tell, compare
from benchmarks.parts.malformed import Sent, sending
from benchmarks.parts.served import Setup, host, settle, throughput_rps
from experiments.base.cores import usable_cores
from experiments.load import Body
from experiments.results.telemetry import FRONTEND, WORKERS
from experiments.serving.torchserve.running import TorchServe
from experiments.watch.telemetry import sampling

SHARE = 0.01  # malformed requests for each good one
# The PNG of 30,000 x 30,000 pixels would take 2.7 GB in each worker that decoded it to RGB.
MOST_GROWTH_BYTES = 500 * 10**6
IMAGES_TAKE = 1.5  # times as long: at tens of requests/s a hundredth must still be several


@dataclass(frozen=True, slots=True)
class Case:
    """A good load and the kind of malformed requests beside it."""

    name: str
    kind: str
    setup: Setup
    pool: Sequence[Body]


@dataclass(slots=True)
class Run:
    """What a run saw besides its throughput: the most memory of each group of processes, and the answers to
    malformed requests where it sent some."""

    rss_bytes: dict[str, int] = field(default_factory=dict)
    sent: Sent = field(default_factory=Sent)


def measure(folder: Path, effort: Effort, tell: Tell) -> dict[str, Comparison]:
    """Good throughput beside malformed requests over that without, for texts and for images."""
    cores = usable_cores()
    minilm = models.minilm_archive(folder)
    # A run with texts is noisier than what is asked for, so there are about twice as many.
    more = replace(effort, rounds=2 * effort.rounds - 1)
    texts = Case("bad_text_over_good", "text", Setup(minilm, cores, 16), models.texts(minilm, 15))
    resnet50 = models.resnet50_archive(folder)
    photos = Case("bad_image_over_good", "image", Setup(resnet50, cores, 4), models.photographs(500, 375))
    longer = replace(effort, duration_s=IMAGES_TAKE * effort.duration_s)
    return {
        texts.name: beside_malformed(texts, more, tell),
        photos.name: beside_malformed(photos, longer, tell),
    }


def beside_malformed(case: Case, effort: Effort, tell: Tell) -> Comparison:
    """The good load with and without malformed requests, in turns.

    Raises BenchmarkError when a good request failed, a malformed one got another answer than it deserves, a
    worker died, or memory grew by more than MOST_GROWTH_BYTES.
    """
    tell(f"{case.name}: {case.setup}, every {1 / SHARE:.0f}th request malformed")
    plain: list[Run] = []
    mixed: list[Run] = []
    with host() as ours:
        server = ours.serve(case.setup)
        pids = [worker.pid for worker in server.workers()]
        malformed_rps = SHARE * throughput_rps(server, case.setup, case.pool, effort)

        with sending(server, case.kind, malformed_rps):
            settle(server, case.setup, case.pool, effort)

        def alone() -> float:
            plain.append(Run())
            with _watching(server, pids, plain[-1]):
                return throughput_rps(server, case.setup, case.pool, effort)

        def beside() -> float:
            with sending(server, case.kind, malformed_rps) as sent:
                mixed.append(Run(sent=sent))
                with _watching(server, pids, mixed[-1]):
                    return throughput_rps(server, case.setup, case.pool, effort)

        comparison = compare(beside, alone, effort.rounds)
        problems = [*_wrong_answers(case, mixed), *_deaths(server, pids), *_growth(plain, mixed)]
        if problems:
            raise BenchmarkError(f"{case.name}: {'; '.join(problems)}", details=server.log_since(0))
    tell(f"{case.name}: {comparison}; {_told_of(plain, mixed)}")
    return comparison


@contextmanager
def _watching(server: TorchServe, pids: Sequence[int], run: Run) -> Iterator[None]:
    groups = {WORKERS: pids, FRONTEND: [server.process.pid]}
    with sampling(groups) as recorder:
        yield
    told = recorder.summary(0)
    run.rss_bytes = {name: told.rss_bytes.get(name) or 0 for name in groups}


def _wrong_answers(case: Case, mixed: Sequence[Run]) -> Iterator[str]:
    for run in mixed:
        yield from run.sent.problems(case.kind)
    if not any(run.sent.count for run in mixed):
        yield "no malformed request was sent: measure longer"


def _deaths(server: TorchServe, pids: Sequence[int]) -> Iterator[str]:
    left = {worker.pid for worker in server.workers()}
    if died := set(pids) - left:
        yield f"{len(died)} of {len(pids)} workers died"


def _growth(plain: Sequence[Run], mixed: Sequence[Run]) -> Iterator[str]:
    for group in (WORKERS, FRONTEND):
        without, with_ = (_most(runs, group) for runs in (plain, mixed))
        if with_ - without > MOST_GROWTH_BYTES:
            yield f"memory of the {group} grew from {without / 1e6:,.0f} to {with_ / 1e6:,.0f} MB"


def _most(runs: Sequence[Run], group: str) -> int:
    return max(run.rss_bytes[group] for run in runs)


def _told_of(plain: Sequence[Run], mixed: Sequence[Run]) -> str:
    memory = ", ".join(
        f"{group} {_most(plain, group) / 1e6:,.0f} MB without and {_most(mixed, group) / 1e6:,.0f} MB with"
        for group in (WORKERS, FRONTEND)
    )
    return f"{sum(run.sent.count for run in mixed)} malformed requests got their 4xx; most memory: {memory}"
