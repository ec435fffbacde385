"""Who sends the loads of a Ray cluster's cards: an actor for each card, on nodes that carry a resource."""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from experiments.base.errors import ExperimentError
from experiments.base.paths import ROOT
from experiments.cluster.dealt import LoadSeat, Seat
from experiments.cluster.messages import Hello
from experiments.cluster.over_ray import at_node
from experiments.cluster.over_ray.joined import first_line
from experiments.cluster.program import LOAD

START_TIMEOUT_S = 180.0  # of a program with its imports, of an archive's way to all nodes


def placed(ray: ModuleType, actor: type, seat: Seat | LoadSeat, *, gpus: int = 0) -> Any:
    """That actor, to be made on the seat's node and no other. What it is asked is answered side by side."""
    place = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(seat.node, soft=False)
    as_actor = ray.remote(num_cpus=len(seat.cores), num_gpus=gpus, max_concurrency=4)(actor)
    return as_actor.options(scheduling_strategy=place)


class RayLoads:
    """An actor and its program for each of `seats`, which are parallel to those of the cards."""

    def __init__(self, ray: ModuleType, seats: Sequence[LoadSeat]) -> None:
        self._ray, self.seats = ray, seats
        self.actors: list[Any] = []
        self.hellos: Mapping[str, Hello] = {}

    def start(self) -> None:
        """All at once. Raises ExperimentError where one can't start."""
        self.actors = [self._actor(seat) for seat in self.seats]
        asked = [actor.events.remote(START_TIMEOUT_S) for actor in self.actors]
        self.hellos = {
            seat.name: self._hello(seat, question) for seat, question in zip(self.seats, asked, strict=True)
        }

    def _actor(self, seat: LoadSeat) -> Any:
        return placed(self._ray, at_node.Actor, seat).remote(str(ROOT), LOAD, seat.cores)

    def _hello(self, seat: LoadSeat, question: Any) -> Hello:
        try:
            told = self._ray.get(question, timeout=START_TIMEOUT_S)
        except self._ray.exceptions.RayError as error:
            raise ExperimentError(f"no loads can come from {seat.name}: {first_line(error)}") from error
        if not told or not isinstance(told[0], Hello):
            raise ExperimentError(f"no loads can come from {seat.name}: look at its node, or leave it out")
        return told[0]
