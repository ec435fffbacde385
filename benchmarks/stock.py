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
from benchmarks.served import WORKERS, Host, Setup, grid, host, throughput_rps
from experiments.load import Body

HERE = Path(__file__).parent
# Tokens -> the batch sizes that ours is tried with. To the stock handler all texts have 150 tokens:
# it is tried with the same batch sizes for all.
TEXTS = {15: (16, 64), 60: (8, 32), 150: (8, 16)}
STOCK_TEXT_BATCHES = (8, 16)
IMAGE_SIZES = ((500, 375), (2000, 1500))
IMAGE_BATCHES = (4, 8)


@dataclass(frozen=True, slots=True)
class Case:
    """What is sent to both handlers, and the batch sizes among which they have their best."""

    name: str
    pool: Sequence[Body]
    our_batches: Sequence[int]
    stock_batches: Sequence[int]


def text_cases(archive: Path) -> list[Case]:
    """Texts of 15, 60 and 150 tokens; the stock handler pads them all to 150."""
    return [
        Case(f"stock_text_{tokens}", models.texts(archive, tokens), batch_sizes, STOCK_TEXT_BATCHES)
        for tokens, batch_sizes in TEXTS.items()
    ]


def image_cases() -> list[Case]:
    """Photographs as a web page has them, and as a phone sends them."""
    return [
        Case(f"stock_image_{width}", models.photographs(width, height), IMAGE_BATCHES, IMAGE_BATCHES)
        for width, height in IMAGE_SIZES
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
            ours_run = self._at_its_best(self.ours, grid(archive, WORKERS, case.our_batches), case)
            stock_run = self._at_its_best(self.stock, grid(stock, WORKERS, case.stock_batches), case)
            found[case.name] = compare(ours_run, stock_run, self.effort.rounds)
            self.tell(f"{case.name}: {found[case.name]}")
        return found

    def _at_its_best(self, host: Host, setups: Sequence[Setup], case: Case) -> Measure:
        """Serves the best of several setups, to be measured."""
        setup = host.best(setups, case.pool, self.effort, self.tell)
        return partial(throughput_rps, host.serve(setup), setup, case.pool, self.effort)
