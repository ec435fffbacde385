"""What a batch costs: its time in the bare model and around it, by workers and size, as numbers.

Read from the ceilings of a results folder, or given by anyone: tests, or a search.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from experiments.base.errors import ExperimentError
from experiments.plan import LIMITS, Cell
from experiments.plan.servers import TORCHSERVE
from experiments.predict.curve import Curve, curve
from experiments.predict.doubts import Doubts
from experiments.predict.simulation import Stalls
from experiments.results.ceilings import Ceiling, Ceilings

# Around the forward pass of handlers/, where it was not measured: reading and writing texts of 15 tokens on
# one core of an AMD EPYC, from the tallies of a sweep's workers (`handle_ms` less `forward_ms`).
HANDLING_BATCH_MS = 0.33
HANDLING_REQUEST_MS = 0.025
# What serving on a CPU has beyond the bare model and the empty handler: fitted on a recorded grid, which
# docs/predicting.md names.
STALLS = Stalls(rate_per_s=3.0, mean_ms=8.0)
LONGEST_MS = 1e9  # of a batch: beyond it, the file is damaged


@dataclass(frozen=True, slots=True)
class Setting:
    """What cells of all batch sizes, delays and loads share: the model as each worker runs it, beside the
    others."""

    mps: bool
    engine: str | None
    precision: str | None
    thread_percentage: int | None
    memory_limit_mib: int | None
    sm_chunks: int | None
    workers: int


NAMES = tuple(each.name for each in fields(Setting))
assert set(LIMITS) < set(NAMES)


@dataclass(frozen=True, slots=True)
class Found:
    """A batch's time in a worker, and how sure it is."""

    batch_ms: float
    doubts: Doubts


@dataclass(frozen=True, slots=True)
class Costs:
    """Times in ms by batch size. `bare`: of a pass in the model alone, all workers of the setting side by
    side; `handled`: of all that the handler does with a batch, where that was measured. `around`: of a batch
    in TorchServe with an empty handler, by workers. `threads` of a worker, 1 where that is not told; `stalls`
    are those of one of them. `on_gpu`: the cores are not what the workers compute on, so that the
    frontend reads and writes requests while they do: only what it costs to pass on a batch of one is left of
    `around`, and nobody stalls."""

    bare: Mapping[Setting, Curve]
    handled: Mapping[Setting, Curve]
    around: Mapping[int, Curve]
    stalls: Stalls = STALLS
    threads: Mapping[Setting, int] = field(default_factory=dict)
    on_gpu: bool = False

    def stalls_of(self, cell: Cell) -> Stalls:
        """Of a worker: it gets on only while all of its threads do."""
        if self.on_gpu:
            return Stalls()
        setting, _ = self._nearest(cell)
        return Stalls(self.stalls.rate_per_s * self.threads.get(setting, 1), self.stalls.mean_ms)

    def of(self, cell: Cell, requests: int) -> Found:
        """What a batch of so many requests takes a worker of `cell`, each with the cell's inputs."""
        inputs = requests * cell.client_batch
        setting, doubts = self._nearest(cell)
        workers = cell.workers / setting.workers if cell.workers > setting.workers else 1.0
        if setting in self.handled:
            time_ms, of = self.handled[setting].at(inputs), self.handled[setting]
        else:
            of = self.bare[setting]
            time_ms = of.at(inputs) + HANDLING_BATCH_MS + HANDLING_REQUEST_MS * inputs
            doubts = doubts.with_("the handler's work around its pass was not measured")
        doubts = doubts.at(of.distance(inputs))
        around_ms, doubts = self._around(cell, requests, doubts)
        return Found(time_ms * workers + around_ms, doubts)

    def bound_rps(self, cell: Cell) -> float:
        """What the bare model alone would reach with the cell's workers, at its best batch, in requests/s."""
        setting, _ = self._nearest(cell)
        more = cell.workers / setting.workers if cell.workers > setting.workers else 1.0
        sizes = range(1, cell.batch_size + 1)
        fastest = max(n / self.bare[setting].at(n * cell.client_batch) for n in sizes)
        return 1e3 * cell.workers * fastest / more

    def _around(self, cell: Cell, requests: int, doubts: Doubts) -> tuple[float, Doubts]:
        if cell.server != TORCHSERVE:
            doubts = doubts.with_("another server, whose own work was not measured")
        if self.on_gpu:
            doubts = doubts.with_("on a GPU")
        if not self.around:
            return 0.0, doubts.with_("the empty handler was not measured")
        nearest = min(self.around, key=lambda workers: abs(workers - cell.workers))
        return self.around[nearest].at(1 if self.on_gpu else requests), doubts

    def _nearest(self, cell: Cell) -> tuple[Setting, Doubts]:
        """The measured setting that is most like the cell's."""
        wanted = setting_of(cell)
        if wanted in self.bare:
            return wanted, Doubts()
        alike = [each for each in self.bare if _but_workers(each) == _but_workers(wanted)]
        if alike:
            why = "the bare model was not measured with as many workers"
            return min(alike, key=lambda each: abs(each.workers - wanted.workers)), Doubts().with_(why)
        nearest = min(self.bare, key=lambda each: _distance(each, wanted))
        return nearest, Doubts().with_("the bare model was not measured with these settings")


def setting_of(row: Cell | Ceiling) -> Setting:
    """That of a cell, or of a row of ceilings."""
    return Setting(**{name: getattr(row, name) for name in NAMES})


def costs_from(ceilings: Ceilings) -> Costs:
    """The costs that ceilings tell. Raises ExperimentError where no bare model was measured."""
    bare = _curves((setting_of(row), row.batch_size, _cycle_ms(row, row.bare_rps)) for row in ceilings.rows)
    if not bare:
        raise ExperimentError(
            "nothing can be predicted: the ceilings hold no bare model; measure them with --ceilings"
        )
    handled = _curves((setting_of(row), row.batch_size, row.handled_batch_ms) for row in ceilings.rows)
    around = _curves((row.workers, row.batch_size, _cycle_ms(row, _full_rps(row))) for row in ceilings.rows)
    threads = {setting_of(row): row.threads for row in ceilings.rows}
    on_gpu = ceilings.datasheet is not None  # known of GPUs alone
    return Costs(bare, handled, around, threads=threads, on_gpu=on_gpu)


def _full_rps(row: Ceiling) -> float | None:
    """Of the empty handler, unless its workers had to wait for requests."""
    in_flight = row.empty_in_flight  # None in files of before it was noted, of mostly full queues
    return None if in_flight is not None and in_flight < row.workers * row.batch_size else row.empty_rps


def _cycle_ms(row: Ceiling, together_rps: float | None) -> float | None:
    """From one batch of a worker to its next, where all workers reach so much together."""
    return 1e3 * row.workers * row.batch_size / together_rps if together_rps else None


def _curves(measured: Iterable[tuple[Any, int, float | None]]) -> dict[Any, Curve]:
    points: dict[Any, dict[int, float]] = {}
    for key, size, time_ms in measured:
        if time_ms and time_ms < LONGEST_MS:
            points.setdefault(key, {})[size] = time_ms
    return {key: curve(of.items()) for key, of in points.items()}


def _but_workers(setting: Setting) -> tuple[Any, ...]:
    return tuple(getattr(setting, name) for name in NAMES if name != "workers")


def _distance(one: Setting, other: Setting) -> tuple[int, int]:
    differing = sum(mine != yours for mine, yours in zip(_but_workers(one), _but_workers(other), strict=True))
    return differing, abs(one.workers - other.workers)
