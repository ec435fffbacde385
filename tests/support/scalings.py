"""A service to scale, small enough to reckon with."""

from dataclasses import replace

from experiments.fleet.scaling import Batches
from experiments.fleet.service import Service

TEN_A_SECOND = Batches((100.0,))
"""One request at a time, each 100 ms."""


def service(**changed: object) -> Service:
    """Ten requests/s an instance, 30 s to load, 1 to 10 instances, but for what is changed."""
    known = Service(
        name="m",
        archive="m.mar",
        workers=1,
        batch_size=1,
        batch_delay_ms=1,
        instances=1,
        least_instances=1,
        most_instances=10,
        capacity_rps=10.0,
        bound_ms=500.0,
        vcpus=1.0,
        memory_bytes=2**30,
        loading_s=30.0,
    )
    return replace(known, **changed)  # type: ignore[arg-type]
