"""The cards of a Ray cluster: an actor for each.

What is started here is ended here: the actors, never a Ray that was there before.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np

from experiments.base.errors import ExperimentError, UsageError
from experiments.base.paths import ROOT
from experiments.bench import Bench
from experiments.cluster.dealt import LoadSeat, Node, Seat, deal, deal_loads, refuse_without_loads
from experiments.cluster.messages import Done, Event, Failed, Hello, Lost, Measure
from experiments.cluster.over_ray import at_node
from experiments.cluster.over_ray.at_node import ANSWER_S
from experiments.cluster.over_ray.joined import first_line, joined
from experiments.cluster.over_ray.loads import START_TIMEOUT_S, RayLoads, placed
from experiments.plan import Plan

STOP_TIMEOUT_S = 60.0


@contextmanager
def ray_cards(
    address: str, cores_a_card: int | None, *, cpu: bool, archive_bytes: int, load_from: str | None = None
) -> Iterator["RayCards"]:
    """The cards of the Ray cluster at `address` (joined.py), each with a program that has said hello. Their
    loads come from the nodes that carry the resource `load_from`, else from themselves.

    Raises UsageError without Ray, ExperimentError for a cluster that can't be reached or a node that can't
    measure; what `deal` and `deal_loads` raise. At the end the actors are gone, and so is a Ray that was
    started for this.
    """
    with ExitStack() as stack:
        ray = stack.enter_context(joined(address, archive_bytes))
        ray.cloudpickle.register_pickle_by_value(at_node)
        nodes = _nodes(ray, load_from)
        if load_from is not None:
            refuse_without_loads(nodes, load_from)
        seats = deal(nodes, cores_a_card, cpu=cpu)
        load_seats = [] if load_from is None else deal_loads(nodes, seats, load_from)
        cards = RayCards(ray, seats, load_seats)
        stack.callback(cards.close)
        cards.start()
        yield cards


class RayCards:
    """See cards.Cards."""

    def __init__(self, ray: ModuleType, seats: Sequence[Seat], load_seats: Sequence[LoadSeat] = ()) -> None:
        self._ray, self._seats = ray, seats
        self._loads = RayLoads(ray, load_seats)
        self._actors: dict[str, Any] = {}
        self._asked: dict[Any, str] = {}  # the one question for events that each card has open
        self._hellos: dict[str, Hello] = {}

    @property
    def names(self) -> Sequence[str]:
        return list(self._hellos)

    @property
    def hellos(self) -> Mapping[str, Hello]:
        return self._hellos

    @property
    def load_hellos(self) -> Mapping[str, Hello]:
        return self._loads.hellos

    def start(self) -> None:
        """An actor and a program on every seat, all at once. Raises ExperimentError where one can't start."""
        seats = {f"card {number} ({seat.name})": seat for number, seat in enumerate(self._seats, start=1)}
        self._loads.start()
        loads: Sequence[tuple[Any, ...]] = list(zip(self._loads.actors, self._loads.seats, strict=True))
        for (key, seat), load in zip(seats.items(), loads or [()] * len(seats), strict=True):
            self._actors[key] = self._actor(seat, load)
            self._ask(key)
        hellos = self._one_of_each(Hello)
        names = {key: _name(seats[key], hello) for key, hello in hellos.items()}
        self._hellos = {names[key]: hello for key, hello in hellos.items()}
        self._actors = {names[key]: actor for key, actor in self._actors.items()}
        self._asked = {question: names[key] for question, key in self._asked.items()}

    def equip(self, plan: Plan, bench: Bench) -> None:
        common = [plan, replace(bench, card=None), np.fromfile(bench.archive, dtype=np.uint8)]
        stored = [self._ray.put(each) for each in common]  # each node fetches them once
        for actor in self._actors.values():
            actor.equip.remote(*stored)
        self._one_of_each(Done)

    def give(self, card: str, work: Measure) -> None:
        self._actors[card].give.remote(work)

    def happened(self, longest_s: float) -> Sequence[tuple[str, Event]]:
        open_questions = list(self._asked)
        ready, _ = self._ray.wait(open_questions, num_returns=1, timeout=longest_s)
        if ready and len(open_questions) > 1:  # and whoever else has answered by now
            ready, _ = self._ray.wait(open_questions, num_returns=len(open_questions), timeout=0)
        told: list[tuple[str, Event]] = []
        for question in ready:
            card = self._asked.pop(question)
            try:
                events: list[Event] = self._ray.get(question)
            except self._ray.exceptions.RayError as error:
                events = [Lost(first_line(error))]
            told += [(card, event) for event in events]
            if not any(isinstance(event, Lost) for event in events):
                self._ask(card)
        return told

    def close(self) -> None:
        """Stops every program with its servers, all at once, and ends the actors."""
        actors = [*self._actors.values(), *self._loads.actors]
        closing = [actor.close.remote() for actor in actors]
        with suppress(self._ray.exceptions.RayError):
            self._ray.wait(closing, num_returns=len(closing), timeout=STOP_TIMEOUT_S)
        for actor in actors:
            with suppress(self._ray.exceptions.RayError):
                self._ray.kill(actor)

    def _actor(self, seat: Seat, load: tuple[Any, ...]) -> Any:
        device = "gpu" if seat.gpu else "cpu"
        actor = placed(self._ray, at_node.CardActor, seat, gpus=int(seat.gpu))
        return actor.remote(str(ROOT), seat.cores, device, *load)

    def _ask(self, card: str) -> None:
        self._asked[self._actors[card].events.remote(ANSWER_S)] = card

    def _one_of_each(self, kind: type[Hello] | type[Done]) -> dict[str, Any]:
        """What every card tells first of this kind. Raises ExperimentError for one that can't."""
        found: dict[str, Any] = {}
        waits = START_TIMEOUT_S
        while len(found) < len(self._actors):
            told = self.happened(ANSWER_S)
            waits = START_TIMEOUT_S if told else waits - ANSWER_S
            if waits <= 0:
                silent = next(card for card in self._actors if card not in found)
                raise ExperimentError(f"{silent} does not answer: look at its node, or leave it out")
            for card, event in told:
                if isinstance(event, Failed):
                    failure = UsageError if event.exit_code == UsageError.exit_code else ExperimentError
                    raise failure(f"{card}: {event.message}", event.details)
                if isinstance(event, Lost):
                    raise ExperimentError(f"{card} is lost: {event.why}")
                if isinstance(event, kind):
                    found.setdefault(card, event)
        return found


def _name(seat: Seat, hello: Hello) -> str:
    return f"{hello.environment['host']} {hello.gpu.uuid}" if hello.gpu else seat.name


def _nodes(ray: ModuleType, load_from: str | None = None) -> list[Node]:
    """The nodes of the cluster, each looked at. Raises ExperimentError for one that lacks what it needs."""
    alive = [node for node in ray.nodes() if node["Alive"]]
    look = ray.remote(num_cpus=0)(at_node.look)
    place = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
    asked = [
        look.options(scheduling_strategy=place(node["NodeID"], soft=False)).remote(str(ROOT))
        for node in alive
    ]
    try:
        seen = ray.get(asked, timeout=START_TIMEOUT_S)
    except ray.exceptions.RayError as error:
        raise ExperimentError(f"a node of the Ray cluster can't be looked at: {first_line(error)}") from error
    for found in seen:
        if found["lacks"]:
            raise ExperimentError(f"the node {found['host']} lacks {found['lacks']}: install it there too")
    return [
        Node(
            id=node["NodeID"],
            host=found["host"],
            machine=found["machine"],
            cores=tuple(found["cores"]),
            promised=int(node["Resources"].get("CPU", 0)),
            gpus=int(node["Resources"].get("GPU", 0)),
            loads=load_from is not None and node["Resources"].get(load_from, 0) > 0,
            address=node["NodeManagerAddress"],
        )
        for node, found in zip(alive, seen, strict=True)
    ]
