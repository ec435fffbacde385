"""Where the load of a trial came from, when that was another node than its server's: the record."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OWN_MACHINE = "the server's own machine"


@dataclass(frozen=True, slots=True)
class LoadFrom:
    """`node` sent it to a server that listened on `listens_on`.

    `network_ms` is what a TCP handshake between the two took just before, the median of several: latencies
    hold as much of network at least. None where there was none. The two nodes' clocks were compared by what
    went between them: the window of the telemetry is off by `clock_error_ms` at most. `cpu_cores_used` by the
    load generator, `other_cpu_cores` by anything else on the cores that it had: CPU seconds a second, None
    where nobody could tell.
    """

    node: str
    listens_on: str
    network_ms: float | None
    clock_error_ms: float
    cpu_cores_used: float | None
    other_cpu_cores: float | None


def source_in(environment: Mapping[str, Any]) -> str:
    """Where the loads of an environment.json came from, in words: those with equal words can be compared."""
    told = environment.get("load_from")
    if not isinstance(told, Mapping):
        return OWN_MACHINE
    return f"other nodes, those with the resource {told.get('resource')}, each {told.get('kind')}"
