"""Our handlers against re-created stock ones: same weights, same inputs, same server settings, in turns.

`python -m benchmarks --only stock`. Each handler gets the setup that is best for it among those of one grid,
with the same torch threads to a worker. What the stock handlers do is in stock_text.py and stock_image.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import models
from benchmarks.interleaved import Comparison, Effort, Measure, Tell, compare
from benchmarks.served import Host, grid, host, throughput_rps
from experiments.environment import usable_cores
from experiments.load import Body

HERE = Path(__file__).parent
# Tokens -> the batch sizes that are tried with them, by both handlers.
TEXTS = {15: (16, 64), 60: (8, 32), 150: (8, 16)}
IMAGES = {(500, 375): (4, 8), (2000, 1500): (4, 8)}


@dataclass(frozen=True, slots=True)
class Case:
    """What is sent to both handlers, `name` being that of the ratio."""

    name: str
    pool: Sequence[Body]
    batch_sizes: Sequence[int]


def text_cases(archive: Path) -> list[Case]:
    """Texts of 15, 60 and 150 tokens; the stock handler pads them all to 150."""
    return [
        Case(f"stock_text_{tokens}", models.texts(archive, tokens), batch_sizes)
        for tokens, batch_sizes in TEXTS.items()
    ]


def image_cases() -> list[Case]:
    """Photographs as a web page has them, and as a phone sends them."""
    return [
        Case(f"stock_image_{width}", models.photographs(width, height), batch_sizes)
        for (width, height), batch_sizes in IMAGES.items()
    ]


def measure(folder: Path, effort: Effort, tell: Tell) -> dict[str, Comparison]:
    """Ours against stock for every case, by the ratio's name. The archives are built in `folder`."""
    minilm = models.minilm_archive(folder)
    resnet50 = models.resnet50_archive(folder)
    with host() as first, host() as second:
        match = Match(first, second, effort, tell)
        texts = match.measure(minilm, HERE / "stock_text.py", text_cases(minilm))
        images = match.measure(resnet50, HERE / "stock_image.py", image_cases())
    return texts | images


@dataclass(frozen=True, slots=True)
class Match:
    """Where our archive and the stock one are served side by side, and with how much effort."""

    ours: Host
    stock: Host
    effort: Effort
    tell: Tell

    def measure(self, archive: Path, handler: Path, cases: Sequence[Case]) -> dict[str, Comparison]:
        """Our archive against the same weights under a stock handler, each at its best in every case."""
        stock = models.with_handler(archive, handler)
        found = {}
        for case in cases:
            self.tell(f"{case.name}: {archive.stem} against {stock.stem}")
            ours_run = self._at_its_best(self.ours, archive, case)
            stock_run = self._at_its_best(self.stock, stock, case)
            found[case.name] = compare(ours_run, stock_run, self.effort.rounds)
            self.tell(f"{case.name}: {found[case.name]}")
        return found

    def _at_its_best(self, host: Host, archive: Path, case: Case) -> Measure:
        """Serves an archive in its best setup, one worker for all cores or one for each, to be measured."""
        setups = grid(archive, sorted({1, usable_cores()}), case.batch_sizes)
        setup = host.best(setups, case.pool, self.effort, self.tell)
        return partial(throughput_rps, host.serve(setup), setup, case.pool, self.effort)
