"""The answers that are right, and their file.

Of our own handlers: what the plain forward pass in fp32 on the CPU gives, without short cuts and without MPS,
one input at a time; and how far the same pass in bf16 is from it, which says what rounding alone does to this
model. Of any other archive: what the first trial without MPS answered most often.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from pathlib import Path
from typing import Any

from experiments.answers.compare import difference
from experiments.base.cores import usable_cores
from experiments.base.errors import ExperimentError
from experiments.base.files import bytes_of, write_whole
from experiments.bench import Bench
from experiments.bench.inputs import spread
from experiments.ceilings.bare import Seat, seated_models
from experiments.load import Body
from experiments.plan import Cell, Plan
from experiments.plan.servers import TORCHSERVE
from experiments.results.typed import strictly_parsed
from experiments.serving.workers import ENGINE_VARIABLE

FILE = "reference_answers.json"
SCHEMA_VERSION = 1
MOST = 64  # bodies of a pool, of a larger one evenly spread
FEWEST = 4  # bodies, however many inputs each holds
ON_CPUS = ("bf16",)  # the precisions below fp32 that a CPU's plain forward pass can show
ROUNDING_TIMES, MOST_ALLOWED = 2, 0.2
PLAIN = {"tuned": False, "precision": "fp32", "engine": "torch", "compile": "none", "top_k": 1_000_000}


@dataclass(frozen=True, slots=True)
class Reference:
    """`answers` maps the inputs in a request to the right answers, by the number of the body in its pool.

    `foreign`: they are an earlier trial's, of `cell`. `comparable` is False where the model was seen not to
    agree with itself. `rounding` has, by precision, how far the plain pass in it is from these at most.
    """

    answers: Mapping[int, Mapping[int, Any]] = field(default_factory=dict)
    foreign: bool = False
    cell: Mapping[str, Any] | None = None
    comparable: bool = True
    rounding: Mapping[str, float] = field(default_factory=dict)

    def of(self, inputs: int, precision: str) -> Mapping[int, Any]:
        """The right answers to requests of so many inputs; none where nothing can be compared."""
        return self.answers.get(inputs, {}) if self.comparable and precision not in self.lost() else {}

    def allowed(self, precision: str) -> float:
        """The difference that rounding may make: batches round otherwise than single inputs do."""
        return ROUNDING_TIMES * self.rounding.get(precision, 0.0)

    def lost(self) -> list[str]:
        """The precisions whose rounding changes answers so much that wrong ones would not be noticed."""
        return [precision for precision in self.rounding if self.allowed(precision) > MOST_ALLOWED]

    def is_from(self, cell: Cell) -> bool:
        """Whether `cell`, or its twin, is the one that the answers come from."""
        return self.cell is not None and {"server": TORCHSERVE, **self.cell} == _told(cell)


def reference_of(bench: Bench, plan: Plan) -> Reference:
    """What the archive's handler answers when it takes no short cut. Takes the time of loading it, and of a
    forward pass for each input, once more where cells calculate in bf16. Raises BareModelError."""
    pools = dict(bench.pools)
    if plan.input_as == "form":  # which only a server takes apart
        pools[1] = bench.files
    chosen = {inputs: _chosen(pools[inputs], inputs) for inputs in {1, *plan.client_batch}}
    pool = [pools[inputs][number] for inputs, numbers in chosen.items() for number in numbers]
    right = _plain(bench, pool, "fp32")
    used = {bench.precision_of(cell) for cell in plan.cells()}
    rounding = {p: _largest(right, _plain(bench, pool, p)) for p in ON_CPUS if p in used}
    told = iter(right)
    answers = {inputs: {n: next(told) for n in numbers} for inputs, numbers in chosen.items()}
    return Reference(answers, rounding=rounding)


def _largest(right: Sequence[Any], found: Sequence[Any]) -> float:
    """The largest difference of all; 0 where one is no number, so that nothing is allowed for it."""
    off = max((difference(*pair, inf).worst for pair in zip(right, found, strict=True)), default=0.0)
    return off if isfinite(off) else 0.0


def _plain(bench: Bench, pool: Sequence[Body], precision: str) -> list[Any]:
    """The answers to `pool` of the plain forward pass."""
    # No GPU, whatever there is: what it calculates is what is to be checked.
    seat = Seat({"CUDA_VISIBLE_DEVICES": "", "HANDLER_COMPILE": "none", ENGINE_VARIABLE: "torch"})
    settings = {**PLAIN, "precision": precision}
    with seated_models(
        bench.archive, [seat], threads=usable_cores(), precision=precision, pool=pool, settings=settings
    ) as (model,):
        return [json.loads(answer) for answer in model.answers()]


def reference_from(cell: Cell, answers: Mapping[int, Any]) -> Reference:
    """The answers of a trial of `cell`, as the reference of a foreign archive."""
    return Reference({cell.client_batch: answers}, foreign=True, cell=_told(cell))


def write_reference(folder: Path, reference: Reference) -> None:
    """Puts it beside the results. Raises ExperimentError where that is impossible."""
    try:
        values = {"schema_version": SCHEMA_VERSION, **dataclasses.asdict(reference)}
        write_whole(folder / FILE, json.dumps(values) + "\n")
    except OSError as error:
        raise ExperimentError(f"can't write {folder / FILE}: {error.strerror}") from error


def read_reference(folder: Path) -> Reference | None:
    """The reference of a results folder, None where it has none yet. Raises ExperimentError if damaged."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        values = strictly_parsed(bytes_of(path))
        if values["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"it has schema version {values['schema_version']!r}")
        answers = {
            int(inputs): {int(number): answer for number, answer in of_pool.items()}
            for inputs, of_pool in values["answers"].items()
        }
        rounding = {str(precision): float(off) for precision, off in values.get("rounding", {}).items()}
        told = bool(values["foreign"]), values["cell"], bool(values["comparable"])
        return Reference(answers, *told, rounding)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExperimentError(f"{path} can't be read ({error}): remove it, and it is made anew") from error


def _chosen(pool: Sequence[Body], inputs: int) -> list[int]:
    return spread(range(len(pool)), max(FEWEST, MOST // inputs))


def _told(cell: Cell) -> dict[str, Any]:
    return dataclasses.asdict(dataclasses.replace(cell, twin=False))
