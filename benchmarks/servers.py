"""The same model behind TorchServe, Triton, LitServe and BentoML, in turns in one session.

`python -m benchmarks.servers`, on an otherwise idle machine; `python -m mps.servers add NAME` makes what it
needs. Two workers of one thread, batches of up to 8, a delay of 10 ms where a server has one (1 ms with two
models at once), 16 requests in flight. Before any figure is taken, the answers of each server, to one request
and under load, are compared with those of the handler alone.
Before that, the engines that our handlers can run on: benchmarks/engines.py, where they are installed.
The last line is one JSON object: ours over each of the others, the lowest of the models'; two models at once
over the best of the others, and its interval; the largest difference of a probability; the engines' marks.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from benchmarks import engines
from benchmarks.parts import models, two_models
from benchmarks.parts.interleaved import Comparison, Effort, Tell, take_turns
from benchmarks.parts.rivals import SETTLING_S, Figures, middle, settle, turn
from experiments.bench.inputs import texts_of_tokens
from experiments.servers import parity
from experiments.servers.known import OTHERS, OURS, servers
from experiments.servers.served import Server
from experiments.serving.registration import Registration
from experiments.together.side_by_side import at_work, side_by_side
from handlers.archive.engines.asked import why_missing
from mps.door import WIDTH_OF_FILES, one_line_errors, to_stderr

WORKERS = 2
THREADS = 1
BATCH_SIZE = 8
DELAY_MS = 10
# Java compiles what has run ten thousand times: with long texts alone that takes half an hour.
SHORT_TEXTS = ["a", "b", "c", "d"]


@dataclass(frozen=True, slots=True)
class Case:
    """A model and the texts that it is sent."""

    archive: Path
    tokens: int

    @property
    def texts(self) -> list[str]:
        """Different ones of exactly so many tokens."""
        return texts_of_tokens(self.archive, self.tokens)

    def __str__(self) -> str:
        return f"{self.archive.stem}, {self.tokens} tokens"


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each server.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.5, help="Measured in each turn.")] = 8.0,
    settling: Annotated[float, typer.Option(min=0.5, help="Seconds of short texts before.")] = SETTLING_S,
    only: Annotated[list[str] | None, typer.Option(help="A server beside TorchServe. [all]")] = None,
    two: Annotated[bool, typer.Option(help="Two models at once, too.")] = True,
    with_engines: Annotated[bool, typer.Option("--engines/--no-engines", help="The engines, too.")] = True,
) -> None:
    """See the module's docstring."""
    console = to_stderr()
    if not console.is_terminal:
        console.width = WIDTH_OF_FILES

    def tell(line: str | Table) -> None:
        console.print(line, markup=False)

    effort = Effort(rounds, seconds, warm_up_s=min(1.0, seconds))
    with one_line_errors(lambda: "the servers are stopped"), tempfile.TemporaryDirectory() as folder:
        others = [each for each in servers(only or list(OTHERS)) if each.name != OURS.name]
        rivals = [OURS, *others]
        marks = _marks_of_engines(rounds, tell) if with_engines else {}
        cases = [
            Case(models.minilm_archive(Path(folder)), 15),
            Case(models.bert_base_archive(Path(folder)), 60),
        ]
        found: dict[str, dict[str, list[Figures]]] = {}
        worst = 0.0
        for case in cases:
            found[str(case)], off = _compared(case, rivals, effort, settling, tell)
            worst = max(worst, off)
            console.print(_table(str(case), found[str(case)]))
            for other in (name for name in found[str(case)] if name != OURS.name):
                tell(f"{case}: {OURS.name} over {other}: {_over(found[str(case)], other)}")
        told: dict[str, float | two_models.Interval | None] = {
            **marks,
            **_ratios(list(found.values())),
            "parity_worst": worst,
        }
        if two:
            limits = two_models.goodputs(rivals, [case.archive for case in cases], effort, tell)
            ratio, interval = two_models.over_best(limits, OURS.name)
            told |= {"two_models_over_best_other": ratio, "two_models_over_best_other_interval": interval}
    typer.echo(json.dumps({name: _rounded(value) for name, value in told.items()}))


def _marks_of_engines(rounds: int, tell: Tell) -> Mapping[str, float | None]:
    """Nothing where they aren't installed, which is told."""
    if why := why_missing(engines.ENGINES):
        tell(f"the engines are left out: {why}")
        return {}
    return engines.compared(Effort(rounds)).marks


def _compared(
    case: Case, rivals: Sequence[Server], effort: Effort, settling_s: float, tell: Tell
) -> tuple[dict[str, list[Figures]], float]:
    """The figures of every server's turns with one model, and the largest difference of a probability."""
    texts = case.texts
    right = parity.direct(case.archive, texts)
    registration = Registration(case.archive, WORKERS, BATCH_SIZE, DELAY_MS)
    tell(f"{case}: starting {', '.join(rival.name for rival in rivals)}")
    worst = 0.0
    with side_by_side(rivals, [registration], THREADS) as running:
        for name, server in running.items():
            with at_work(server):
                alone = parity.check(server, texts, right)
            tell(f"{case}: {name}, {settling_s:g} s of short texts before the rounds")
            settle(server, SHORT_TEXTS, settling_s)
            loaded = parity.judged(server, right, settle(server, texts, effort.duration_s))
            tell(f"{case}: {name} answers as the model, to {alone:.1g} alone, {loaded:.1g} in batches")
            worst = max(worst, alone, loaded)
        turns = {name: partial(turn, server, texts, effort) for name, server in running.items()}
        return take_turns(turns, effort.rounds), worst


def _ratios(cases: Sequence[Mapping[str, Sequence[Figures]]]) -> dict[str, float]:
    """Ours over each of the others: the lowest of the models' median ratios of throughput."""
    return {
        f"over_{other}": min(_over(case, other).ratio for case in cases)
        for other in cases[0]
        if other != OURS.name
    }


def _over(case: Mapping[str, Sequence[Figures]], other: str) -> Comparison:
    return Comparison(*([one.throughput_rps for one in case[name]] for name in (OURS.name, other)))


def _rounded(value: float | two_models.Interval | None) -> float | list[float | None] | None:
    return [_figure(end) for end in value] if isinstance(value, tuple) else _figure(value)


def _figure(value: float | None) -> float | None:
    """To four digits."""
    return value and float(f"{value:.4g}")


def _table(title: str, found: Mapping[str, Sequence[Figures]]) -> Table:
    table = Table(box=box.SIMPLE, title=f"{title}: medians of {len(found[OURS.name])} turns")
    for heading in (
        "server",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "alone ms",
        "CPU ms/request",
        "idle CPU",
        "RSS MB",
    ):
        table.add_column(heading, justify="left" if heading == "server" else "right")
    for name, turns in found.items():
        one = middle(turns)
        table.add_row(
            name,
            f"{one.throughput_rps:.1f}",
            f"{one.p50_ms:.1f}",
            f"{one.p99_ms:.1f}",
            f"{one.alone_ms:.1f}",
            f"{one.cpu_ms:.2f}",
            f"{one.idle_cpu:.1%}",
            f"{one.rss_bytes / 1e6:,.0f}",
        )
    return table


if __name__ == "__main__":
    typer.run(main)
