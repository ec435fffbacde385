"""Virtex's load, on our servers: an open loop at rising rates, with one text in a request or several.

A success is a request of which every answer is right, and latency counts from when a request was due: theirs
counted errors as successes, and from the send. A server's rates end with the first that it can't follow.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich import box
from rich.table import Table

from benchmarks.documents.served import Keep, Setting, all_checked, loaded
from benchmarks.parts.interleaved import Effort, Tell
from experiments.load import Body, LoadResult, OpenLoop
from experiments.servers.dialects import AnswerError, worst_difference
from experiments.servers.served import Running
from experiments.together.asked import Asked as OfModel
from experiments.together.side_by_side import at_work
from experiments.verdict.published import VIRTEX

SERVERS = ("torchserve", "litserve")
FOLLOWS = 0.95  # of the requests that were due, answered in the window: less is too high a rate


@dataclass(frozen=True, slots=True)
class Asked:
    """How the load is put on. `rates` are texts a second, whatever `client_batches` they are sent in."""

    archive: Path
    rates: Sequence[float]
    client_batches: Sequence[int]
    effort: Effort
    settling_s: float
    tokens: int = 10
    workers: int = 1
    batch_size: int = 144
    batch_delay_ms: int = 10
    threads: int = 1
    servers: Sequence[str] = SERVERS


@dataclass(frozen=True, slots=True)
class Found:
    """One load: of `due` requests `answered` came while it lasted, and `right` were right at some time."""

    server: str
    client_batch: int
    rate_texts_rps: float
    run: int
    texts_rps: float
    p50_ms: float
    p99_ms: float
    due: int
    answered: int
    right: int
    cpu_cores: float
    problem: str | None

    @property
    def follows(self) -> bool:
        """Whether the server kept up with the rate, every answer right."""
        return self.right >= self.due and self.answered >= FOLLOWS * self.due


def measure(asked: Asked, tell: Tell, keep: Keep) -> pd.DataFrame:
    """A row for each load, in turns of the servers; `keep` gets them after each rate.

    Raises what starting and checking raise.
    """
    setting = Setting(asked.archive, asked.workers, asked.batch_size, asked.batch_delay_ms, asked.tokens)
    rows: list[Found] = []
    with all_checked(asked.servers, setting, asked.threads, asked.settling_s, tell) as (one, running, _):
        for client_batch in asked.client_batches:
            fallen: set[str] = set()
            for rate in sorted(asked.rates):
                found = list(_at_rate(asked, one, running, client_batch, rate, fallen, tell))
                fallen |= {each.server for each in found if not each.follows}
                rows += found
                keep({"virtex": frame_of(rows)})
    return frame_of(rows)


def frame_of(rows: Sequence[Found]) -> pd.DataFrame:
    """A row for each load."""
    return pd.DataFrame([{name: getattr(each, name) for name in Found.__slots__} for each in rows])


def table(found: pd.DataFrame) -> Table:
    """Medians of the runs by texts in a request and rate; below them the document's for one GPU."""
    shown = Table(box=box.SIMPLE, title="texts/s, latency from when a request was due")
    for heading in ("server", "texts a request", "asked/s", "answered/s", "p50 ms", "p99 ms", "right"):
        shown.add_column(heading, justify="left" if heading == "server" else "right")
    keys = ["client_batch", "server", "rate_texts_rps"]
    for (client_batch, server, rate), runs in found.groupby(keys, sort=False):
        shown.add_row(
            str(server),
            str(client_batch),
            f"{rate:g}",
            f"{runs['texts_rps'].median():.1f}",
            f"{runs['p50_ms'].median():.1f}",
            f"{runs['p99_ms'].median():.1f}",
            f"{runs['right'].sum()} of {runs['due'].sum()}",
        )
    theirs = VIRTEX.figures()
    for row in theirs[theirs["gpus"] == 1].to_dict("records"):
        shown.add_row(
            "published: Virtex, one V100", str(row["client_batch"]), "", f"{row['throughput_rps']:g}"
        )
    return shown


def requests_of(server: Running, one: OfModel, client_batch: int) -> tuple[list[Body], list[list[int]]]:
    """A request for each text with the next ones beside it, and the numbers of the texts in each."""
    count = len(one.inputs)
    numbers = [[(begin + step) % count for step in range(client_batch)] for begin in range(count)]
    return [server.dialect.body(*(one.inputs[n] for n in each)) for each in numbers], numbers


def _at_rate(
    asked: Asked,
    one: OfModel,
    running: dict[str, Running],
    client_batch: int,
    rate: float,
    fallen: set[str],
    tell: Tell,
) -> Iterator[Found]:
    for number in range(asked.effort.rounds):
        names = [name for name in asked.servers if name not in fallen]
        for name in names if number % 2 == 0 else reversed(names):
            found = _loaded(asked, running[name], one, client_batch, rate, number)
            yield found
            tell(
                f"{name}, {client_batch} texts a request, {rate:g} texts/s: {found.texts_rps:.1f} answered, "
                f"p99 {found.p99_ms:.0f} ms, {found.right} of {found.due} requests right"
                + (f"; {found.problem}" if found.problem else "")
            )


def _loaded(
    asked: Asked, server: Running, one: OfModel, client_batch: int, rate: float, number: int
) -> Found:
    bodies, numbers = requests_of(server, one, client_batch)
    load = OpenLoop(rate / client_batch, asked.effort.duration_s, warm_up_s=asked.effort.warm_up_s)
    with at_work(server):
        found, cores = loaded(server, bodies, load)
    assert found.pacing is not None
    due = found.pacing.scheduled
    return Found(
        server=server.server,
        client_batch=client_batch,
        rate_texts_rps=rate,
        run=number,
        texts_rps=found.throughput_rps * client_batch,
        p50_ms=found.latency_ms(50),
        p99_ms=found.latency_ms(99),
        due=due,
        answered=found.pacing.answers,
        right=round(due * right_share(server, one, numbers, found)),
        cpu_cores=cores,
        problem=found.pacing.generator_problem,
    )


def right_share(server: Running, one: OfModel, numbers: Sequence[Sequence[int]], found: LoadResult) -> float:
    """The share of all requests, the warm-up's included, of which every answer is right."""
    assert found.answers is not None
    assert found.pacing is not None
    right = sum(
        count
        for number, answers in found.answers.of.items()
        for answer, count in answers.items()
        if _is_right(server, one, numbers[number], answer)
    )
    unsent = found.pacing.scheduled - found.pacing.sent
    asked = sum(found.statuses.values()) + found.lost_connections + unsent
    return right / asked if asked else 0.0


def _is_right(server: Running, one: OfModel, numbers: Sequence[int], answer: bytes) -> bool:
    try:
        said = [server.dialect.read(answer)] if len(numbers) == 1 else server.dialect.read_each(answer)
    except AnswerError:
        return False
    if len(said) != len(numbers):
        return False
    return worst_difference([one.right[n] for n in numbers], said) <= one.tolerance
