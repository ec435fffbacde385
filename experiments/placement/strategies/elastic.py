"""gpu-lets: elastic partitioning (Choi et al., USENIX ATC 2022), after the paper, or after its prototype.

With the rules' interference it is the paper's gpulet+int. What takes no turn yet may take one at the end.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from experiments.placement.interference import NOT_FELT
from experiments.placement.placed import Placement
from experiments.placement.problem import Problem, UnplaceableError
from experiments.placement.strategies.draft import Draft, missing
from experiments.placement.strategies.pieces import Piece, by_rate_and_bound, knee, pieces, steepest


@dataclass(frozen=True, slots=True)
class Elastic:
    """Where paper and prototype differ.

    `steepest_knee`: the efficient share ends the steepest step, not where the curve bends. `largest_first`:
    pieces of all models are placed by size, onto empty GPUs before leftovers; otherwise model by model, best
    fit. `readjust`: what found no part is given the free ones, largest first, however small they are.
    `turns_first`: it takes turns on parts in use before that, otherwise after.
    """

    steepest_knee: bool = False
    largest_first: bool = False
    readjust: bool = False
    turns_first: bool = False
    filled: float = 1.0


PAPER = Elastic(turns_first=True)
PROTOTYPE = Elastic(steepest_knee=True, largest_first=True, readjust=True)
TRIED = (
    PAPER,
    PROTOTYPE,
    Elastic(readjust=True, turns_first=True),
    Elastic(readjust=True),
    Elastic(steepest_knee=True, readjust=True, turns_first=True),
    Elastic(steepest_knee=True, readjust=True),
)
"""A greedy's ties decide much: the first that succeeds is taken."""
FILLED_BESIDE = (0.95, 0.9, 0.85, 0.8, 0.7)
"""Where neighbours are felt these are tried one after the other: a part that is filled to what it could serve
alone bears no neighbour. The prototype shrinks such neighbours' batches and places what they lose again."""


def place(problem: Problem, gpus: int, options: Elastic | None = None) -> Placement:
    """A placement on at most so many GPUs, by these options, or by the first of TRIED that finds one.

    Raises UnplaceableError where none does.
    """
    reason: UnplaceableError | None = None
    for each in (options,) if options else _tried(problem):
        try:
            return _place(problem, gpus, each)
        except UnplaceableError as error:
            reason = reason or error
    assert reason is not None
    raise reason


def _tried(problem: Problem) -> Iterator[Elastic]:
    yield from TRIED
    if problem.rules.interference is not NOT_FELT:
        for filled in FILLED_BESIDE:
            yield from (replace(each, filled=filled) for each in (PAPER, PROTOTYPE))


def _place(problem: Problem, gpus: int, options: Elastic) -> Placement:
    draft = Draft(problem, gpus)
    left: dict[int, float] = {}
    for piece in _pieces(problem, options):
        if not draft.best_fit(piece.workload, piece.size, piece.rate_rps, options.largest_first):
            left[piece.workload] = left.get(piece.workload, 0.0) + piece.rate_rps
    for workload, rate_rps in left.items():
        missed_rps = _rest(draft, workload, rate_rps, options)
        if missed_rps:
            raise missing(problem, workload, missed_rps, gpus)
    return draft.placement()


def _pieces(problem: Problem, options: Elastic) -> list[Piece]:
    efficient = steepest if options.steepest_knee else knee
    found = [
        piece
        for workload in by_rate_and_bound(problem)
        for piece in pieces(problem, workload, efficient(problem, workload), options.filled)
    ]
    return sorted(found, key=lambda piece: -piece.size) if options.largest_first else found


def _rest(draft: Draft, workload: int, rate_rps: float, options: Elastic) -> float:
    """Places what found no part. Returns the rate that still has none."""
    if options.turns_first:
        rate_rps = draft.take_turns(workload, rate_rps)
    if rate_rps and options.readjust:
        rate_rps = draft.fill(workload, rate_rps)
    return draft.take_turns(workload, rate_rps) if rate_rps else 0.0
