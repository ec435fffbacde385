"""The instances of a simulated fleet: made, serving, gone; requests are dealt to those that serve."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Protocol

import numpy as np

from experiments.fleet.scaling.batches import Batches, Numbers, Server
from experiments.placement.simulation.arrivals import Times

NEVER = float("inf")


@dataclass(slots=True)
class Life:
    """An instance is there, and paid for, from `begun_s` to `gone_s`; it serves from `ready_s` to
    `leaves_s`."""

    begun_s: float
    ready_s: float
    leaves_s: float = NEVER
    gone_s: float = NEVER

    def serves(self, at_s: float) -> bool:
        return self.ready_s <= at_s < self.leaves_s


class Fleet(Protocol):
    """Instances with their queues. `lives` are all that ever were."""

    lives: list[Life]

    def serve(self, numbers: Numbers, arrived_s: Times, until_s: float) -> None:
        """Takes the requests that come until then, and works until then."""
        ...

    def resize(self, now_s: float, count: int) -> None:
        """There shall be so many: makes some, or lets some go, those that load and the youngest first."""
        ...

    def worked_s(self, now_s: float) -> float:
        """Seconds of work of all instances, those of an instance's workers on average, until then."""
        ...

    def finish(self, answered_s: Times) -> None:
        """Serves what is left, and tells for each request when it was answered."""
        ...


class Pods:
    """Each instance has its own queue and gets every n-th request, as an ingress deals them; one that goes
    gets no more, and answers what it has."""

    def __init__(self, batches: Batches, loading_s: float, count: int) -> None:
        self.batches, self.loading_s, self.turn = batches, loading_s, 0
        self.lives = [Life(0.0, 0.0) for _ in range(count)]
        self.servers = [self._server(life) for life in self.lives]

    def serve(self, numbers: Numbers, arrived_s: Times, until_s: float) -> None:
        begin = 0
        ready_s = sorted(life.ready_s for life in self.lives if life.leaves_s == NEVER)
        for edge_s in [*(at_s for at_s in ready_s if at_s < until_s), until_s]:
            end = int(np.searchsorted(arrived_s, edge_s))
            if end > begin:
                self._deal(numbers[begin:end], arrived_s[begin:end])
                begin = end
        for server, life in zip(self.servers, self.lives, strict=True):
            if life.leaves_s == NEVER:
                server.play(until_s)

    def resize(self, now_s: float, count: int) -> None:
        there = [number for number, life in enumerate(self.lives) if life.leaves_s == NEVER]
        for _ in range(count - len(there)):
            self.lives.append(Life(now_s, now_s + self.loading_s))
            self.servers.append(self._server(self.lives[-1]))
        there.sort(key=lambda number: (self.lives[number].ready_s > now_s, self.lives[number].begun_s))
        for number in there[count:]:
            life, server = self.lives[number], self.servers[number]
            server.play(NEVER)
            life.leaves_s = now_s
            life.gone_s = max(now_s, *server.free_s) if life.ready_s <= now_s else now_s

    def worked_s(self, now_s: float) -> float:
        workers = self.batches.workers
        return sum(
            server.worked_until_s(now_s) / workers + max(0.0, life.ready_s - now_s)
            for server, life in zip(self.servers, self.lives, strict=True)
            if life.ready_s <= now_s or life.leaves_s == NEVER
        )

    def finish(self, answered_s: Times) -> None:
        for server in self.servers:
            server.play(NEVER)
            if server.numbers:
                answered_s[np.concatenate(server.numbers)] = server.queue.answered_s()

    def _server(self, life: Life) -> Server:
        return Server(self.batches, [life.ready_s] * self.batches.workers)

    def _deal(self, numbers: Numbers, arrived_s: Times) -> None:
        serving = [
            server
            for server, life in zip(self.servers, self.lives, strict=True)
            if life.serves(float(arrived_s[0]))
        ]
        for place, server in enumerate(serving):
            mine = slice((place - self.turn) % len(serving), None, len(serving))
            if len(numbers[mine]):
                server.add(numbers[mine], arrived_s[mine])
        self.turn = (self.turn + len(numbers)) % len(serving)


class Workers:
    """The workers of one TorchServe, an instance each: all take from one queue. One that goes answers its
    batch first; TorchServe's own is killed."""

    def __init__(self, batches: Batches, loading_s: float, count: int) -> None:
        self.loading_s = loading_s
        self.lives = [Life(0.0, 0.0) for _ in range(count)]
        self.server = Server(batches, [0.0] * count)

    def serve(self, numbers: Numbers, arrived_s: Times, until_s: float) -> None:
        if len(numbers):
            self.server.add(numbers, arrived_s)
        self.server.play(until_s)

    def resize(self, now_s: float, count: int) -> None:
        there = [life for life in self.lives if life.leaves_s == NEVER]
        for _ in range(count - len(there)):
            self.lives.append(Life(now_s, now_s + self.loading_s))
            heappush(self.server.free_s, self.lives[-1].ready_s)
        there.sort(key=lambda life: (life.ready_s > now_s, life.begun_s))
        for life in reversed(there[count:]):
            life.leaves_s = now_s
            life.gone_s = self._let_go(life, now_s)

    def worked_s(self, now_s: float) -> float:
        loading_s = sum(
            life.ready_s - now_s for life in self.lives if life.ready_s > now_s and life.leaves_s == NEVER
        )
        return self.server.worked_until_s(now_s) + loading_s

    def finish(self, answered_s: Times) -> None:
        self.server.play(NEVER)
        if self.server.numbers:
            answered_s[np.concatenate(self.server.numbers)] = self.server.queue.answered_s()

    def _let_go(self, life: Life, now_s: float) -> float:
        """When it is gone: one that loads at once, else the one that is free first."""
        if life.ready_s > now_s:
            self.server.free_s.remove(life.ready_s)
            heapify(self.server.free_s)
            return now_s
        return max(now_s, heappop(self.server.free_s))
