"""GPUs being filled, part by part: best fit, what is free, and who may still take turns."""

from collections.abc import Callable, Iterator, Sequence

from experiments.placement.checker import violations
from experiments.placement.placed import Part, Placement
from experiments.placement.problem import Problem, UnplaceableError
from experiments.placement.strategies.turns import Wanted, occupancy, settled

HALVINGS = 6
"""How closely the most that a part can take is looked for."""
SMALLEST = 1e-6
"""Of a rate: less than that is no request."""

Gpu = tuple[Wanted, ...]


class Draft:
    """A placement on at most `gpus` GPUs that isn't finished. Every step keeps what was promised before."""

    def __init__(self, problem: Problem, gpus: int) -> None:
        self.problem = problem
        self.wanted: list[Gpu] = [()] * gpus
        self.parts: list[tuple[Part, ...]] = [()] * gpus

    def best_fit(self, workload: int, size: int, rate_rps: float, whole_first: bool = False) -> bool:
        """Gives a workload a part of at least `size`, the smallest that is free. False where none will do.

        What would be left over too small for another part is taken along. `whole_first`: empty GPUs come
        before leftovers.
        """
        places = sorted(
            (not (whole_first and free == self._whole), free, gpu)
            for gpu, free in self.free()
            if free >= size
        )
        return any(
            self._put(gpu, (*self.wanted[gpu], Wanted(taken, {workload: rate_rps})))
            for _, _, gpu in places
            for taken in self._sizes(gpu, size)
        )

    def fill(self, workload: int, rate_rps: float) -> float:
        """Gives a workload free parts, the largest first, until it has its rate. Returns what is missing."""
        while rate_rps and (free := sorted((-size, gpu) for gpu, size in self.free())):
            left_rps = rate_rps
            for size, gpu in free:
                rate_rps = self.add(gpu, -size, workload, rate_rps)
            if rate_rps == left_rps:
                break
        return rate_rps

    def add(self, gpu: int, size: int, workload: int, rate_rps: float) -> float:
        """Gives a workload one more part, with as much of its rate as that takes. Returns what is missing."""
        if not rate_rps:
            return 0.0
        before = self.wanted[gpu]

        def more(rate: float) -> Gpu:
            return (*before, Wanted(size, {workload: rate}))

        rate_rps -= self._most(gpu, more, workload, rate_rps, len(before))
        return rate_rps if rate_rps > self._nothing(workload) else 0.0

    def take_turns(self, workload: int, rate_rps: float) -> float:
        """Lets a workload share parts that are in use, the fullest first. Returns what is missing."""
        places = sorted(
            (-occupancy(wanted, part), gpu, place)
            for gpu, parts in enumerate(self.parts)
            for place, (wanted, part) in enumerate(zip(self.wanted[gpu], parts, strict=True))
        )
        for _, gpu, place in places:
            if self._put(gpu, _joined(self.wanted[gpu], place, workload, rate_rps)):
                return 0.0
        for _, gpu, place in places:
            before = self.wanted[gpu]

            def more(rate: float, before: Gpu = before, place: int = place) -> Gpu:
                return _joined(before, place, workload, rate)

            rate_rps -= self._most(gpu, more, workload, rate_rps, place)
            if rate_rps <= self._nothing(workload):
                return 0.0
        return rate_rps

    def free(self) -> Iterator[tuple[int, int]]:
        """GPUs with room, and the largest part that fits on each."""
        card = self.problem.rules.card
        for gpu, wanted in enumerate(self.wanted):
            taken = [part.size for part in wanted]
            if fitting := [size for size in card.sizes if card.holds([*taken, size])]:
                yield gpu, max(fitting)

    def placement(self) -> Placement:
        """What was placed, checked. Raises UnplaceableError where it breaks a rule."""
        return checked(self.problem, [parts for parts in self.parts if parts], len(self.parts))

    @property
    def _whole(self) -> int:
        return self.problem.rules.card.sizes[-1]

    def _sizes(self, gpu: int, least: int) -> list[int]:
        """Sizes that a part of at least `least` may have there: those that leave room, else the largest."""
        card = self.problem.rules.card
        taken = [part.size for part in self.wanted[gpu]]
        fitting = [size for size in card.sizes if size >= least and card.holds([*taken, size])]
        roomy = [
            size for size in fitting if any(card.holds([*taken, size, another]) for another in card.sizes)
        ]
        return [*roomy, fitting[-1]] if fitting[-1] not in roomy else roomy

    def _put(self, gpu: int, wanted: Gpu) -> bool:
        parts = settled(self.problem, wanted)
        if parts is None:
            return False
        self.wanted[gpu], self.parts[gpu] = wanted, parts
        return True

    def _most(
        self, gpu: int, more: Callable[[float], Gpu], workload: int, asked_rps: float, place: int
    ) -> float:
        """Puts as much of a rate there as is possible. Returns how much."""
        low, high, step = 0.0, asked_rps, asked_rps
        for _ in range(HALVINGS):
            if self._put(gpu, more(step)):
                low = step
                spare = low + self._spare_rps(gpu, place, workload)
                if low < asked_rps and spare > low and self._put(gpu, more(min(spare, high))):
                    low = min(spare, high)
                if low == asked_rps:
                    break
            else:
                high = step
            step = (low + high) / 2
        return low

    def _spare_rps(self, gpu: int, place: int, workload: int) -> float:
        part = self.parts[gpu][place]
        can = next(part.capacity_rps(each) for each in part.residents if each.workload == workload)
        return can * (1 - 1e-9) - self.wanted[gpu][place].rates_rps[workload]

    def _nothing(self, workload: int) -> float:
        return SMALLEST * self.problem.workloads[workload].rate_rps


def checked(problem: Problem, gpus: Sequence[tuple[Part, ...]], most: int) -> Placement:
    """A placement that passes the checker. Raises UnplaceableError, with the first rule that it breaks."""
    placement = Placement(tuple(gpus))
    if wrong := violations(placement, problem, most):
        raise UnplaceableError(f"the plan found for {most} GPUs breaks a rule ({wrong[0]}): add GPUs")
    return placement


def missing(problem: Problem, workload: int, rate_rps: float, gpus: int) -> UnplaceableError:
    """The error of a strategy that has no part for `rate_rps` of a workload's rate."""
    asked = problem.workloads[workload]
    return UnplaceableError(
        f"{asked.name}: no part of {gpus} GPUs is left that serves {rate_rps:.4g} of its "
        f"{asked.rate_rps:.4g} requests/s within {asked.slo_ms:g} ms: "
        "add GPUs, lower its rate or raise its bound"
    )


def _joined(wanted: Gpu, place: int, workload: int, rate_rps: float) -> Gpu:
    return tuple(
        part.plus(workload, rate_rps) if number == place else part for number, part in enumerate(wanted)
    )
