"""Our handlers against re-created stock ones: same weights, same inputs, same server settings, in turns.

`python -m benchmarks --only stock`. Each handler gets the setup that is best for it among those of one grid,
with the same torch threads to a worker. Where the CPU multiplies bf16 fast, ours is measured in that too (the
stock handlers don't offer it): `stock_text_15` is the better of both, `stock_text_15_fp32` equal arithmetic
on either side. What the stock handlers do is in parts/stock_text.py and parts/stock_image.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.parts import models
from benchmarks.parts.interleaved import Comparison, Effort, Measure, Tell, take_turns
from benchmarks.parts.served import WORKERS, Host, Setup, grid, host, throughput_rps
from experiments.load import Body
from experiments.serving.workers import PRECISION_VARIABLE

HERE = Path(__file__).parent / "parts"
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
    with host() as fp32, host({PRECISION_VARIABLE: "bf16"}) as bf16, host() as stock:
        match = Match(fp32, bf16 if multiplies_bf16() else None, stock, effort, tell)
        texts = match.measure(minilm, HERE / "stock_text.py", text_cases(minilm))
        images = match.measure(resnet50, HERE / "stock_image.py", image_cases())
    return texts | images


def multiplies_bf16() -> bool:
    """Whether this CPU has instructions for it; without, bf16 is slower than fp32."""
    known = Path("/proc/cpuinfo").read_text("utf-8").split() if Path("/proc/cpuinfo").exists() else []
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(known)


@dataclass(frozen=True, slots=True)
class Match:
    """Where our archive, in each precision, and the stock one are served side by side, and with how much
    effort."""

    fp32: Host
    bf16: Host | None
    stock: Host
    effort: Effort
    tell: Tell

    def measure(self, archive: Path, handler: Path, cases: Sequence[Case]) -> dict[str, Comparison]:
        """Our archive against the same weights under a stock handler. Ours has its best batch size in every
        case, with a worker for each core; the stock one its best setup of the first: padded to 150 tokens,
        all texts are alike to it."""
        stock = models.with_handler(archive, handler)
        found: dict[str, Comparison] = {}
        stock_setup: Setup | None = None
        for case in cases:
            self.tell(f"{case.name}: {archive.stem} against {stock.stem}")
            if stock_setup is None:
                grid_ = grid(stock, WORKERS, case.stock_batches)
                stock_setup = self.stock.best(grid_, case.pool, self.effort, self.tell)
            grid_ = grid(archive, WORKERS[-1:], case.our_batches)
            our_setup = self.fp32.best(grid_, case.pool, self.effort, self.tell)
            found |= self._in_turns(case, our_setup, stock_setup)
        return found

    def _in_turns(self, case: Case, our_setup: Setup, stock_setup: Setup) -> dict[str, Comparison]:
        rivals = {
            "fp32": self._served(self.fp32, our_setup, case),
            "stock": self._served(self.stock, stock_setup, case),
        }
        if self.bf16 is not None:
            rivals["bf16"] = self._served(self.bf16, our_setup, case)
        runs = take_turns(rivals, self.effort.rounds)
        stock = runs.pop("stock")
        best = max(runs, key=lambda precision: median(runs[precision]))
        found = {
            case.name: Comparison(runs[best], stock),
            f"{case.name}_fp32": Comparison(runs["fp32"], stock),
        }
        self.tell(f"{case.name}: in {best}, {found[case.name]}")
        self.tell(f"{case.name}: in fp32, {found[f'{case.name}_fp32']}")
        return found

    def _served(self, host: Host, setup: Setup, case: Case) -> Measure:
        return partial(throughput_rps, host.serve(setup), setup, case.pool, self.effort)
