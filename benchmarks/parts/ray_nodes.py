"""A Ray cluster of several nodes on this machine, each with so many of its cores, on loopback alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.cluster.over_ray.joined import on_loopback
from experiments.load.sources import LOOPBACK

STORE_BYTES = 128 * 2**20


@dataclass(frozen=True, slots=True)
class Nodes:
    """A cluster that runs; `address` is its head's."""

    cluster: Any
    others: list[Any]

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def kill_last(self) -> None:
        """The node's processes are killed, as when its machine loses power."""
        self.cluster.remove_node(self.others.pop(), allow_graceful=False)


@contextmanager
def ray_nodes(folder: Path, *cores: int, load: str | None = None, at: str = LOOPBACK) -> Iterator[Nodes]:
    """A node for each of `cores`, its number of them. The first is the head, and carries the resource `load`,
    the last is reached at the address `at`. `folder` is Ray's own, and its path short. Needs Ray."""
    import ray
    from ray._common.utils import get_default_ray_temp_dir
    from ray.cluster_utils import Cluster

    # Ray notes the cluster's address there whatever its `temp_dir` is, and fails on a machine without it.
    Path(get_default_ray_temp_dir()).mkdir(parents=True, exist_ok=True)
    options = {
        "object_store_memory": STORE_BYTES,
        "include_dashboard": False,
        "node_ip_address": LOOPBACK,
        "temp_dir": str(folder),
    }
    with on_loopback(ray):
        cluster = Cluster(
            initialize_head=True,
            connect=False,
            head_node_args={"num_cpus": cores[0], "resources": {load: 1} if load else {}, **options},
        )
        try:
            others = [cluster.add_node(num_cpus=each, **options) for each in cores[1:-1]]
            last = options | {"node_ip_address": at}
            others += [cluster.add_node(num_cpus=each, **last) for each in cores[1:][-1:]]
            yield Nodes(cluster, others)
        finally:
            cluster.shutdown()
