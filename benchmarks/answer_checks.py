"""What keeping every different answer costs: a load with and without it, in turns, on three servers.

`python -m benchmarks.answer_checks`, on an otherwise idle machine; needs nginx. nginx's fixed page and a
model that does nothing bound the generator's own cost; MiniLM is what a sweep measures. The last line is one
JSON object: the throughput with the answers kept as a multiple of that without, the median of the rounds.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.parts import models
from benchmarks.parts.interleaved import BenchmarkError, Comparison, compare
from benchmarks.parts.nginx import serving_nginx
from benchmarks.parts.noop import serving_noop
from benchmarks.parts.served import WORKERS, Setup, host
from experiments.load import Body, ClosedLoop, run
from mps.door import one_line_errors

WARM_UP_S = 1.0
BATCH_SIZE = 16


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each.")] = 9,
    seconds: Annotated[float, typer.Option(min=0.5, help="Measured in each run.")] = 4.0,
) -> None:
    """See the module's docstring."""
    found: dict[str, float] = {}

    def tell(name: str, load: Callable[[bool], float]) -> None:
        comparison = _compared(load, rounds)
        found[name] = round(comparison.ratio, 4)
        typer.echo(f"{name}: kept against not: {comparison}", err=True)

    with one_line_errors(), tempfile.TemporaryDirectory() as folder:
        with serving_nginx() as nginx:
            tell("nginx", partial(_rps, nginx.url, {}, [], 64, seconds))
        with serving_noop() as noop:
            tell(
                "noop",
                partial(_rps, noop.predict_url, noop.headers, [Body(b"hi", "text/plain")], 64, seconds),
            )
        setup = Setup(models.minilm_archive(Path(folder)), WORKERS[-1], BATCH_SIZE)
        with host() as served:
            server = served.serve(setup)
            pool = models.texts(setup.archive, 15)
            load = partial(_rps, server.predict_url, server.headers, pool, setup.connections, seconds)
            load(False)
            tell("minilm", load)
    typer.echo(json.dumps(found))


def _compared(load: Callable[[bool], float], rounds: int) -> Comparison:
    return compare(partial(load, True), partial(load, False), rounds)


def _rps(
    url: str,
    headers: Mapping[str, str],
    pool: Sequence[Body],
    connections: int,
    seconds: float,
    keep_answers: bool,
) -> float:
    """Requests/s of one run. Raises BenchmarkError where a request failed."""
    traffic = ClosedLoop(connections, duration_s=seconds, warm_up_s=WARM_UP_S)
    found = run(url, pool, traffic, headers=headers, keep_answers=keep_answers)
    if problems := found.problems():
        raise BenchmarkError(f"no result: {'; '.join(problems)}")
    return found.throughput_rps


if __name__ == "__main__":
    typer.run(main)
