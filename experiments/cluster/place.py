"""A cluster as a place that carries out plans: its cards found alike, equipped, and noted."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from experiments.base.errors import UsageError
from experiments.bench import Bench
from experiments.bench.archive import archive_of
from experiments.cluster.alike import refuse_unlike
from experiments.cluster.cards import Cards
from experiments.cluster.driver import carry_out
from experiments.measure import Progress
from experiments.measure.elsewhere import CLUSTER
from experiments.plan import Plan
from experiments.plan.servers import TORCHSERVE
from experiments.results.cards.folders import create_card
from mps.card import Gpu

OF_A_CARD = ("cpu", "cpu_quota_cores", "memory_bytes", "gpus", "gpu_is_stood_in_for", "nvml")


class ClusterPlace:
    """See measure/elsewhere.py. Raises ExperimentError where the cards differ."""

    def __init__(self, cards: Cards, load_from: str | None = None) -> None:
        self._cards = cards
        self._kind = refuse_unlike(cards.hellos)
        self._hello = next(iter(cards.hellos.values()))
        self._load_from = load_from
        self._load_kind = load_from and refuse_unlike(cards.load_hellos, "the nodes that send loads")

    @property
    def device(self) -> str:
        return f"{CLUSTER}{self._kind}"

    @property
    def card(self) -> Gpu | None:
        """One of the GPUs, which are alike; None where the cards are shares of CPUs."""
        return self._hello.gpu

    @property
    def line(self) -> str:
        """What is measured on, in a line."""
        names = list(self._cards.names)
        told = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
        loads = f"; loads come from {', '.join(self._cards.load_hellos)}" if self._load_from else ""
        several = "s" if len(names) > 1 else ""
        return f"{len(names)} card{several} of a Ray cluster, each {self._kind}: {told}{loads}"

    @property
    def told(self) -> Mapping[str, Any]:
        here = self._hello.environment
        gpus = here["gpus"] if self._hello.gpu else []
        told = {**{key: here[key] for key in OF_A_CARD}, "gpus": gpus, "cards": list(self._cards.names)}
        if self._load_from is None:
            return told
        seats = list(self._cards.load_hellos)
        return {**told, "load_from": {"resource": self._load_from, "kind": self._load_kind, "nodes": seats}}

    def carry_out(self, plan: Plan, bench: Bench, folder: Path, progress: Progress) -> None:
        """As the campaign of one machine does; see driver.carry_out."""
        self._cards.equip(plan, bench)
        for card, hello in self._cards.hellos.items():
            create_card(folder, card, hello.environment)
        carry_out(plan, folder, progress, self._cards)


@contextmanager
def cluster_for(
    plan: Plan,
    address: str,
    cores_a_card: int | None,
    *,
    cpu: bool,
    ceilings: bool | None,
    load_from: str | None = None,
) -> Iterator[ClusterPlace]:
    """The Ray cluster at `address` as a place to measure `plan`; its loads come from the nodes that carry the
    resource `load_from`, without one from each card's own.

    Raises UsageError for what can't be measured on several cards, what `ray_cards` raises, ExperimentError
    where the cards are not alike.
    """
    if plan.adaptive:
        option = "--search goes on" if plan.search else "--until-sure races on"
        raise UsageError(f"{option} one card: drop it, or --ray")
    if not plan.noise_floor:
        raise UsageError(
            "--ray measures the twin on every card, to know how far apart they are: drop --no-noise-floor"
        )
    if ceilings:
        raise UsageError("--ceilings are those of one machine: drop it, or --ray")
    if cores_a_card is not None and cores_a_card < 1:
        raise UsageError(f"--card-cores must be 1 or more, not {cores_a_card}")
    others = [server for server in plan.server if server != TORCHSERVE]
    if load_from is not None and others:
        raise UsageError(
            f"--load-from takes a server that asks for a token, {others[0]} doesn't: give --server torchserve"
        )
    archive = archive_of(plan.model)
    from experiments.cluster.over_ray.cards import ray_cards  # Ray is an extra, and takes a second to import

    size = archive.stat().st_size
    with ray_cards(address, cores_a_card, cpu=cpu, archive_bytes=size, load_from=load_from) as cards:
        yield ClusterPlace(cards, load_from)
