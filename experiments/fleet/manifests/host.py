"""What one host takes: a file for docker compose, units for systemd. Cards are counted through the services
in their order, as the driver counts them by their place on the bus."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.fleet.manifests.cluster import File
from experiments.fleet.manifests.pods import PROBE_PERIOD_S, Pods
from experiments.fleet.manifests.rendering import render
from experiments.fleet.manifests.settings import (
    GATEWAY_PORT,
    IN_IMAGE,
    USER_ID,
    Folders,
    Ports,
    command,
    environment,
    gateway_command,
    gateway_probe_command,
    log4j2,
    probe_command,
    properties,
)
from experiments.fleet.manifests.site import Site


@dataclass(frozen=True, slots=True)
class Seat:
    """An instance on the host: the n-th of all, the `number`-th of its service, `card` None on the CPU."""

    pods: Pods
    n: int
    number: int
    card: int | None

    @property
    def name(self) -> str:
        """Of the instance, among all on the host."""
        return f"{self.pods.service.name}-{self.number}"


def seated(fleet: Sequence[Pods]) -> list[Seat]:
    """All instances of a fleet on one host. A service begins with a card of its own."""
    seats: list[Seat] = []
    cards = 0
    for pods in fleet:
        for number in range(pods.count):
            card = cards + number // pods.per_card if pods.on_gpu else None
            seats.append(Seat(pods, len(seats), number + 1, card))
        cards += -(-pods.count // pods.per_card) if pods.on_gpu else 0
    return seats


def compose_files(fleet: Sequence[Pods], site: Site, token: str) -> Iterator[File]:
    """compose.yaml, and what it mounts beside the folder `models`."""
    instances = [
        {
            "name": seat.name,
            "pods": seat.pods,
            "port": GATEWAY_PORT + seat.n,
            "cards": [] if seat.card is None else [str(seat.card)],
            "command": command(seat.pods, own_daemon=seat.pods.sharing == "mps-in-pod"),
            "environment": environment(seat.pods),
            "loaded_probe": probe_command(seat.pods, loaded=True),
            "gateway": gateway_command(seat.pods),
            "gateway_probe": gateway_probe_command(),
        }
        for seat in seated(fleet)
    ]
    yield File(
        "compose.yaml", render("compose/compose.yaml.j2", instances=instances, fleet=fleet, **_values(site))
    )
    yield File("log4j2.xml", log4j2())
    yield File("tokens", f"{token}\n", secret=True)
    for pods in fleet:
        yield File(f"{pods.service.name}/config.properties", properties(pods))


def systemd_files(fleet: Sequence[Pods], site: Site, token: str) -> Iterator[File]:
    """Units for /etc/systemd/system in units/, and what goes to /etc/torchserve-mps in etc/."""
    seats = seated(fleet)
    yield File("sysusers.conf", render("systemd/sysusers.conf.j2"))
    yield File("etc/tokens", f"{token}\n", secret=True)
    yield File("etc/log4j2.xml", log4j2())
    under_mps = [seat.card for seat in seats if seat.pods.sharing == "mps-in-pod" and seat.card is not None]
    cards = sorted(set(under_mps))
    if cards:
        yield File("units/nvidia-mps.service", render("systemd/nvidia-mps.service.j2", cards=cards))
    for seat in seats:
        # A daemon's clients count the cards that it was limited to.
        visible = (
            cards.index(seat.card)
            if seat.pods.sharing == "mps-in-pod" and seat.card is not None
            else seat.card
        )
        yield from _units(seat, site, visible)


def _units(seat: Seat, site: Site, visible_card: int | None) -> Iterator[File]:
    unit = f"torchserve-{seat.name}"
    folders = Folders(
        prefix=site.prefix,
        config=f"/etc/torchserve-mps/{seat.name}",
        models="/var/lib/torchserve-mps/models",
        run=f"/run/{unit}",
        work=f"/var/cache/{unit}",
        tokens="%d/tokens",
    )
    ports = Ports.of(seat.n)
    values: dict[str, Any] = {
        **_values(site),
        "pods": seat.pods,
        "folders": folders,
        "unit": unit,
        "number": seat.number,
        "card": seat.card,
        "visible_card": visible_card,
        "port": ports.gateway,
        "command": command(seat.pods, folders),
        "environment": environment(seat.pods, folders),
        "loaded_probe": probe_command(seat.pods, folders, ports, loaded=True),
        "gateway": gateway_command(seat.pods, folders, ports),
    }
    yield File(f"units/{unit}.service", render("systemd/torchserve.service.j2", **values))
    yield File(f"units/{unit}-gateway.service", render("systemd/gateway.service.j2", **values))
    logging = f"{folders.config}/log4j2.xml"
    text = properties(seat.pods, folders, ports).replace(logging, "/etc/torchserve-mps/log4j2.xml")
    yield File(f"etc/{seat.name}/config.properties", text)


def _values(site: Site) -> dict[str, Any]:
    return {
        "site": site,
        "folders": IN_IMAGE,
        "user_id": USER_ID,
        "gateway_port": GATEWAY_PORT,
        "probe_period_s": PROBE_PERIOD_S,
    }
