"""What of a service is in one pod, task, container or unit, by how it has its part of a card.

With a daemon of the pod's own, and with a claim of DRA, a pod has a card for itself, since neither lets a
daemon serve two pods: the instances that share a card are then workers of one TorchServe. With NVIDIA's
device plugin, Amazon's shares and a daemon on the host, each instance stands alone.
"""

import math
from dataclasses import dataclass, replace

from experiments.base.errors import UsageError
from experiments.fleet.manifests.names import refuse_name
from experiments.fleet.manifests.site import SHARINGS, Target, refuse_part
from experiments.fleet.service import Service, Sharing

PATIENCE = 3  # times what loading took when it was measured, until an instance counts as failed
PROBE_PERIOD_S = 5
MOST_CLIENTS = 48  # of MPS on a card, from Volta on: docs.nvidia.com/deploy/mps


@dataclass(frozen=True, slots=True)
class Pods:
    """`service` is what one pod serves; `count` of them, between `least` and `most`, each with
    `share_percent` of a card for every worker, None for no limit. `per_card` pods are on a card.
    `client_memory_mib` is what a worker may take of a card's memory, where MPS is told so."""

    service: Service
    sharing: Sharing
    archive: str
    count: int
    least: int
    most: int
    share_percent: int | None = None
    per_card: int = 1
    client_memory_mib: int | None = None

    @property
    def on_gpu(self) -> bool:
        """Whether it has a part of a card."""
        return self.service.card is not None

    @property
    def threads(self) -> int:
        """torch's threads in each worker, so that the workers don't ask for more than their vCPUs."""
        return max(1, int(self.service.vcpus) // self.service.workers)

    @property
    def startup_failures(self) -> int:
        """How often a probe, every PROBE_PERIOD_S, may find it not loaded yet."""
        return max(6, math.ceil(PATIENCE * self.service.loading_s / PROBE_PERIOD_S))


def pods_of(service: Service, target: Target, sharing: Sharing | None = None) -> Pods:
    """`sharing`, where given, stands in place of the service's own; a service on a CPU has none.

    Raises UsageError for what the target does not know, and for values that can't be.
    """
    _refuse_values(service)
    archive = refuse_name("archive", service.archive.rpartition("/")[2].removesuffix(".mar") + ".mar")
    how: Sharing = "whole" if service.card is None else sharing or service.sharing
    if service.card is not None:
        _refuse_sharing(service, target, how)
    counts = (service.instances, service.least_instances, service.most_instances)
    if how == "whole":
        return Pods(service, how, archive, *counts)
    n = service.instances_per_card
    _refuse_clients(service.workers * n, service)
    memory = service.gpu_memory_bytes
    memory_mib = None if memory is None else max(1, memory // service.workers // 2**20)
    limits = (service.share_percent, 1, memory_mib)
    if how == "mps-dra" or (how == "mps-in-pod" and target != "systemd"):
        count, least, most = (math.ceil(each / n) for each in counts)
        return Pods(_on_one_card(service), how, archive, count, least, most, *limits)
    return Pods(service, how, archive, *counts, service.share_percent, n, memory_mib)


def _on_one_card(service: Service) -> Service:
    """Its instances on a card as one."""
    n = service.instances_per_card
    return replace(
        service,
        workers=service.workers * n,
        capacity_rps=service.capacity_rps * n,
        vcpus=service.vcpus * n,
        memory_bytes=service.memory_bytes * n,
        instances_per_card=1,
    )


def _refuse_values(service: Service) -> None:
    refuse_name("service", service.name)
    if service.card is not None:
        refuse_name("card", service.card)
    whole = {
        "workers": service.workers,
        "batch_size": service.batch_size,
        "batch_delay_ms": service.batch_delay_ms,
        "most_instances": service.most_instances,
        "instances_per_card": service.instances_per_card,
        "memory_bytes": service.memory_bytes,
        "capacity_rps": service.capacity_rps,
        "vcpus": service.vcpus,
    }
    for name, value in whole.items():
        if not (math.isfinite(value) and value > 0):
            raise UsageError(f"{service.name}: {name} is above 0, not {value:g}")
    refuse_part(service.scale_at)
    if not (math.isfinite(service.loading_s) and service.loading_s >= 0):
        raise UsageError(f"{service.name}: loading_s is no time: {service.loading_s:g}")
    if not 1 <= service.least_instances <= service.instances <= service.most_instances:
        raise UsageError(
            f"{service.name}: give 1 <= least_instances <= instances <= most_instances, not "
            f"{service.least_instances}, {service.instances}, {service.most_instances}"
        )
    if service.share_percent is not None and not 1 <= service.share_percent <= 100:
        raise UsageError(
            f"{service.name}: share_percent is a whole number from 1 to 100, not {service.share_percent}"
        )


def _refuse_sharing(service: Service, target: Target, how: Sharing) -> None:
    name, n = service.name, service.instances_per_card
    if how not in SHARINGS:
        raise UsageError(f"{name}: no files are written for {how}: give --sharing {', '.join(SHARINGS)}")
    if how == "whole" and n > 1:
        raise UsageError(f"{name}: {n} instances on a card share it: give --sharing with one of MPS's ways")
    if how == "mps-dra" and target != "kubernetes":
        raise UsageError(
            f"{name}: claims (mps-dra) are Kubernetes' own: give --sharing mps-in-pod for {target}"
        )
    if how != "mps-device-plugin":
        return
    if target in ("compose", "systemd"):
        raise UsageError(f"{name}: {target} has no device plugin: give --sharing mps-in-pod")
    if target == "ecs":
        if (
            service.workers > 1
        ):  # its limits are variables of a container, which every client takes for its own
            raise UsageError(f"{name}: a share of Amazon ECS is for one CUDA process: give workers: 1")
        if service.gpu_memory_bytes is None:
            raise UsageError(f"{name}: Amazon ECS places shares by their memory: give gpu_memory_bytes")
        return
    if n < 2:
        raise UsageError(
            f"{name}: NVIDIA's device plugin shares a card by 2 or more: give instances_per_card"
        )
    if service.share_percent is not None and service.share_percent > 100 // n:
        raise UsageError(
            f"{name}: with {n} instances on a card NVIDIA's device plugin lets a client have {100 // n} %, "
            f"not {service.share_percent}: give fewer, or --sharing mps-in-pod"
        )


def _refuse_clients(clients: int, service: Service) -> None:
    if clients > MOST_CLIENTS:
        raise UsageError(
            f"{service.name}: {clients} workers on a card, MPS takes {MOST_CLIENTS}: give fewer "
            "instances_per_card"
        )
