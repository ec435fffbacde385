"""What is to be placed, and by what rules: what every strategy and the checker start from."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from experiments.base.errors import ExperimentError, UsageError
from experiments.placement.card import PAPER_SHARES, Card
from experiments.placement.demand import Workload
from experiments.placement.interference import NOT_FELT, Interference
from experiments.placement.latencies import Curve, LatencyTable
from experiments.placement.placed import Part


class UnplaceableError(ExperimentError):
    """There is no placement, or a strategy found none: the message says what is in the way."""


@dataclass(frozen=True, slots=True)
class Memory:
    """A GPU's memory, what a process takes of it by being there, and what each model takes, in bytes."""

    gpu_bytes: int
    process_bytes: int = 0
    model_bytes: Mapping[str, int] = field(default_factory=dict)

    def of(self, part: Part, workloads: Sequence[Workload]) -> int:
        """What a part's processes and their models take."""
        models = (workloads[resident.workload].model for resident in part.residents)
        return part.processes * (self.process_bytes + sum(self.model_bytes.get(m, 0) for m in models))


@dataclass(frozen=True, slots=True)
class Rules:
    """What a placement keeps to.

    `models_per_part` may take turns on one part. A batch's latency is `latency_ratio` times what the profile
    says, with the interference of the neighbours and the time on the host (`host_ms`, by model, by batch from
    index 1 on).

    A request waits for the cycle that it just missed and for its own batch. `late_binding`: batches are
    formed when their turn comes, so a cycle and the own batch fit into the bound (Nexus, SOSP 2019).
    Otherwise they are formed before they wait for their turn, as TorchServe does, and a cycle and all batches
    of the part have to fit (also the gpu-let prototype's rule). With one model on a part both are the same.
    """

    card: Card = PAPER_SHARES
    models_per_part: int = 3
    late_binding: bool = False
    latency_ratio: float = 1.0
    host_ms: Mapping[str, Sequence[float]] = field(default_factory=dict)
    interference: Interference = NOT_FELT
    memory: Memory | None = None

    def __post_init__(self) -> None:
        if self.models_per_part < 1:
            raise UsageError(f"{self.models_per_part} models on a part serve nothing: use 1 or more")
        if self.latency_ratio < 1:
            raise UsageError(
                f"a latency ratio of {self.latency_ratio:g} promises more than was measured: use 1"
            )


@dataclass(frozen=True)
class Problem:
    """Workloads, what their batches take, and the rules.

    Raises UsageError for a model that the profile doesn't have, UnplaceableError for one that can't keep its
    bound even alone on a whole GPU.
    """

    workloads: tuple[Workload, ...]
    table: LatencyTable
    rules: Rules = field(default_factory=Rules)

    def __post_init__(self) -> None:
        if not self.workloads:
            raise UsageError("there is nothing to place: name a model")
        for workload in self.workloads:
            if workload.model not in self.table.models():
                raise UsageError(
                    f"{workload.name}: the profile has no {workload.model}, only "
                    f"{', '.join(self.table.models()) or 'nothing'}"
                )
        for number, workload in enumerate(self.workloads):
            self._can_be_met(number, workload)

    def latency_ms(self, workload: int, size: int, processes: int = 1, factor: float | Curve = 1.0) -> Curve:
        """What batches of a workload take by the rules, by batch size; infinite where nothing is known.

        `factor` is that of the neighbours (see Interference), one for all batch sizes or one for each.
        """
        model = self.workloads[workload].model
        alone = self.table.curve(model, size, processes)
        host = np.zeros(len(alone))
        if listed := self.rules.host_ms.get(model):
            known = min(len(listed), len(alone))
            host[:known] = listed[:known]
            host[known:] = listed[-1]
        return np.asarray((alone * factor + host) * self.rules.latency_ratio, dtype=np.float64)

    def felt(self, workload: int, size: int, processes: int = 1) -> tuple[Curve, Curve]:
        """Base and slope of the factor of a workload's batches beside others (see Interference), by batch
        size; 1 and 0 at index 0, as there is no batch of 0."""
        base, slope, _ = self._beside(workload, size, processes)
        return base, slope

    def caused(self, workload: int, size: int, processes: int = 1) -> Curve:
        """The pressure that a workload's batches put on each of their neighbours, by batch size; 0 at index
        0."""
        return self._beside(workload, size, processes)[2]

    def times(self, factor: float) -> "Problem":
        """The same with so many times the rates."""
        workloads = (replace(each, rate_rps=each.rate_rps * factor) for each in self.workloads)
        return replace(self, workloads=tuple(workloads))

    def alone(self, workload: int, size: int, processes: int = 1) -> tuple[int, float]:
        """The batch with which a workload that has a part for itself gets most through, and its latency in
        ms: two of them fit into the bound. (0, inf) where not even a batch of 1 does."""
        return self._alone[workload, size, processes]

    def alone_rps(self, workload: int, size: int, processes: int = 1) -> float:
        """What a workload gets through that way at most; 0 where it can't keep its bound."""
        batch, latency_ms = self.alone(workload, size, processes)
        return 1000 * batch * processes / latency_ms if batch else 0.0

    @cached_property
    def _alone(self) -> dict[tuple[int, int, int], tuple[int, float]]:
        card = self.rules.card
        return {
            (number, size, processes): best_alone(
                self.latency_ms(number, size, processes), self.workloads[number].slo_ms
            )
            for number in range(len(self.workloads))
            for size in card.sizes
            for processes in card.processes
        }

    def _beside(self, workload: int, size: int, processes: int) -> tuple[Curve, Curve, Curve]:
        """What is felt and caused, asked of the rules once for each batch: strategies ask again and again."""
        model, known = self.workloads[workload].model, self._known_beside
        if (model, size, processes) not in known:
            batches = range(1, len(self.table.curve(model, size, processes)))
            felt = [self.rules.interference.felt(model, size, batch) for batch in batches]
            caused = [self.rules.interference.caused(model, size, batch) for batch in batches]
            base, slope = np.array([(1.0, 0.0), *felt]).T
            known[model, size, processes] = base, slope, np.array([0.0, *caused])
        return known[model, size, processes]

    @cached_property
    def settled(self) -> dict[Hashable, tuple[Part, ...] | None]:
        """What was found for the parts of one GPU (strategies/turns.py): strategies try the same again and
        again."""
        return {}

    @cached_property
    def _known_beside(self) -> dict[tuple[str, int, int], tuple[Curve, Curve, Curve]]:
        return {}

    def _can_be_met(self, number: int, workload: Workload) -> None:
        card = self.rules.card
        if any(self.alone(number, size, p)[0] for size in card.sizes for p in card.processes):
            return
        known = [
            float(self.latency_ms(number, size, processes).min())
            for size in card.sizes
            for processes in card.processes
        ]
        least_ms = min(known)
        if least_ms == float("inf"):
            wanted, there = card.sizes, self.table.sizes(workload.model)
            raise UsageError(
                f"{workload.name}: the profile of {workload.model} has none of the sizes "
                f"{', '.join(map(str, wanted))}, only {', '.join(map(str, there))}"
            )
        raise UnplaceableError(
            f"{workload.name}: its fastest batch takes {least_ms:.3g} ms, and waits for one: its bound of "
            f"{workload.slo_ms:g} ms can't be kept, {2 * least_ms:.3g} ms could"
        )


def best_alone(latency_ms: Curve, slo_ms: float) -> tuple[int, float]:
    """Of batches that take so long, by size from index 1 on, the one that gets most through and of which two
    fit into the bound, and its latency; (0, inf) where there is none."""
    rate = np.arange(len(latency_ms)) / latency_ms
    rate[2 * latency_ms > slo_ms * (1 + 1e-12)] = 0
    batch = int(np.argmax(rate))
    return (batch, float(latency_ms[batch])) if rate[batch] > 0 else (0, float("inf"))
