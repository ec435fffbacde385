"""What of a service is in a pod, and what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.base.errors import UsageError
from experiments.fleet.manifests.host import seated
from experiments.fleet.manifests.pods import pods_of
from experiments.fleet.manifests.site import Target
from experiments.fleet.service import Sharing
from tests.experiments.fleet.manifests.services import on_cpu, on_gpu


def test_with_a_daemon_of_its_own_a_pod_is_a_card() -> None:
    service = on_gpu(instances=3, least_instances=1, most_instances=5, instances_per_card=2, workers=2)
    pods = pods_of(service, "kubernetes", "mps-in-pod")
    assert (pods.service.workers, pods.service.capacity_rps) == (4, 2 * service.capacity_rps)
    assert (pods.service.vcpus, pods.service.memory_bytes) == (2 * service.vcpus, 2 * service.memory_bytes)
    assert (pods.count, pods.least, pods.most, pods.per_card) == (2, 1, 3, 1)


def test_with_the_device_plugin_a_pod_is_an_instance() -> None:
    pods = pods_of(on_gpu(instances_per_card=2), "kubernetes", "mps-device-plugin")
    assert (pods.count, pods.per_card, pods.service.workers) == (2, 2, 2)


def test_on_a_cpu_there_is_nothing_to_share() -> None:
    pods = pods_of(on_cpu(), "kubernetes", "mps-device-plugin")
    assert (pods.sharing, pods.share_percent, pods.on_gpu) == ("whole", None, False)


def test_a_worker_has_its_part_of_an_instances_memory() -> None:
    pods = pods_of(on_gpu(workers=2, gpu_memory_bytes=4 * 2**30), "kubernetes", "mps-in-pod")
    assert pods.client_memory_mib == 2048


def test_cards_of_a_host_are_counted_through_its_services() -> None:
    fleet = [
        pods_of(
            on_gpu(name="a", instances=3, most_instances=9, instances_per_card=2), "systemd", "mps-in-pod"
        ),
        pods_of(on_cpu(name="b"), "systemd"),
        pods_of(on_gpu(name="c", instances=2, instances_per_card=1), "systemd", "whole"),
    ]
    assert [(seat.name, seat.card) for seat in seated(fleet)] == [
        ("a-1", 0),
        ("a-2", 0),
        ("a-3", 1),
        ("b-1", None),
        ("b-2", None),
        ("c-1", 2),
        ("c-2", 3),
    ]


@pytest.mark.parametrize(
    ("changes", "target", "sharing", "told"),
    [
        ({"instances_per_card": 1}, "kubernetes", "mps-device-plugin", "2 or more"),
        ({"share_percent": 60}, "kubernetes", "mps-device-plugin", "lets a client have 50 %"),
        ({}, "kubernetes", "whole", "2 instances on a card share it"),
        ({}, "kubernetes", "mig", "no files are written for mig"),
        ({}, "compose", "mps-dra", "Kubernetes' own"),
        ({}, "systemd", "mps-device-plugin", "no device plugin"),
        ({}, "ecs", "mps-device-plugin", "one CUDA process"),
        ({"workers": 1, "gpu_memory_bytes": None}, "ecs", "mps-device-plugin", "gpu_memory_bytes"),
        ({"workers": 25}, "kubernetes", "mps-in-pod", "50 workers on a card, MPS takes 48"),
        ({"least_instances": 3}, "kubernetes", None, "least_instances <= instances"),
        ({"capacity_rps": float("nan")}, "kubernetes", None, "capacity_rps is above 0"),
        ({"workers": 0}, "kubernetes", None, "workers is above 0"),
        ({"loading_s": -1.0}, "kubernetes", None, "loading_s"),
        ({"share_percent": 101}, "kubernetes", None, "from 1 to 100"),
    ],
)
def test_what_can_not_be_is_refused_with_the_remedy(
    changes: dict[str, Any], target: Target, sharing: Sharing | None, told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        pods_of(on_gpu(**changes), target, sharing)


@given(loading_s=st.floats(0, 3600))
def test_a_start_is_waited_for_three_times_as_long_as_it_took(loading_s: float) -> None:
    assert pods_of(on_cpu(loading_s=loading_s), "kubernetes").startup_failures * 5 >= 3 * loading_s
